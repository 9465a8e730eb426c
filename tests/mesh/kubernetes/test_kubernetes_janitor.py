"""The janitor: what nobody renews is put back with nobody there, what somebody renews is left to him."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from fake_api import Failure, FakeApi

from meshchaos.mesh.apply import apply_change
from meshchaos.mesh.changes import Create
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.spec import ClusterSpec
from meshchaos.run.janitor import GRACE, Janitor

FILTER = Create(
    {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "chaos-1-0", "namespace": "shop"},
        "spec": {"configPatches": []},
    }
)
BACK = "run 1 (me): put back and verified: EnvoyFilter chaos-1-0.shop"


class Hand:
    """A janitor with a clock that is moved by hand, which its mesh goes by, too."""

    def __init__(self, mesh: KubernetesMesh) -> None:
        self.said: list[str] = []
        self.time = 5000.0
        mesh.journal._clock = lambda: self.time
        self._janitor = Janitor(mesh, self.said.append, lambda: self.time)

    def look(self, after: float = 0.0) -> bool:
        self.time += after
        return self._janitor.look()


@pytest.fixture
def hand(mesh: KubernetesMesh) -> Hand:
    return Hand(mesh)


@pytest.fixture
def run(api: FakeApi, mesh: KubernetesMesh, tmp_path: Path) -> Iterator[KubernetesMesh]:
    with KubernetesMesh.open(mesh._spec, tmp_path, guarded=False) as opened:
        opened.journal.open("1", "me", [FILTER], 30)
        apply_change(opened, FILTER, "1")
        yield opened


def ours(api: FakeApi) -> list[tuple[str, str, str]]:
    with api.lock:
        return sorted(key for key in api.objects if key[0] in ("leases", "configmaps", "envoyfilters"))


def test_what_nobody_renews_is_put_back(api: FakeApi, hand: Hand, run: KubernetesMesh) -> None:
    assert not hand.look()
    assert not hand.look(after=29)
    assert (hand.said, len(ours(api))) == ([], 3)
    assert hand.look(after=2)
    assert (hand.said, ours(api)) == ([BACK], [])
    assert not hand.look()


def test_what_somebody_renews_is_left_to_him(api: FakeApi, hand: Hand, run: KubernetesMesh) -> None:
    for _ in range(5):
        assert not hand.look(after=20)
        run.journal.renew("1", 30)
    assert (hand.said, len(ours(api))) == ([], 3)


def test_a_healer_is_given_time_and_followed_when_it_died(api: FakeApi, hand: Hand, run: KubernetesMesh) -> None:
    run.journal.take_over("1")
    assert not hand.look()
    assert not hand.look(after=GRACE - 1)
    assert hand.look(after=2)
    assert (hand.said, ours(api)) == ([BACK], [])


def test_what_it_cannot_do_is_told_once_and_tried_again(api: FakeApi, hand: Hand, run: KubernetesMesh) -> None:
    hand.look()
    api.fail = [Failure("GET /apis/coordination", 403, 1, reason="Forbidden")]
    assert not hand.look(after=1)
    assert "may not do this (403)" in hand.said.pop()
    api.fail = [Failure("DELETE /apis/networking", 403, 2, reason="Forbidden")]
    assert not hand.look(after=31)
    assert not hand.look(after=GRACE)
    assert not hand.look(after=GRACE)
    assert [line.partition(":")[0] for line in hand.said] == ["run 1"]
    assert "could not put back" in hand.said.pop()
    assert hand.look(after=1)
    assert (hand.said, ours(api)) == ([BACK], [])


@contextmanager
def janitor(api: FakeApi, folder: Path) -> Iterator[subprocess.Popen[str]]:
    cluster = {"context": "fake", "namespaces": ["shop"], "kubeconfig": str(api.kubeconfig(folder))}
    (folder / "meshchaos.yaml").write_text(yaml.safe_dump({"meshes": {"real": {"kubernetes": cluster}}}), "utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "meshchaos", "janitor"],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_as_a_command_it_stays_until_it_is_ended(api: FakeApi, tmp_path: Path) -> None:
    spec = ClusterSpec("real", "fake", ("shop",), api.kubeconfig(tmp_path))
    with KubernetesMesh.open(spec, tmp_path, guarded=False) as dead:
        dead.journal.open("1", "me", [FILTER], 1)
        apply_change(dead, FILTER, "1")
    with janitor(api, tmp_path) as process:
        assert process.stdout is not None
        assert "mesh real: context fake, namespaces shop: looking every 5s" in process.stdout.readline()
        assert BACK in process.stdout.readline()
        end = time.monotonic() + 30
        while ours(api):
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
