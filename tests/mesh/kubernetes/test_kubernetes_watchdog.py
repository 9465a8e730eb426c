"""Who puts back what a runner cannot: real processes, one of them killed, against an API server of the tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_api import Failure, FakeApi

from meshchaos.errors import Locked, MeshError
from meshchaos.mesh.apply import apply_change
from meshchaos.mesh.changes import Create
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.spec import ClusterSpec
from meshchaos.mesh.kubernetes.watchdog import LOG

FILTER = Create(
    {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "chaos-1-0", "namespace": "shop"},
        "spec": {"configPatches": []},
    }
)
RUNNER = """
import json, sys, time
from pathlib import Path
from meshchaos.mesh.apply import apply_change
from meshchaos.mesh.changes import load
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.spec import ClusterSpec
folder = Path(sys.argv[1])
mesh = KubernetesMesh.open(ClusterSpec("shop", "fake", ("shop",), folder / "kubeconfig"), folder)
change = load(json.loads(sys.argv[2]))
mesh.journal.open("1", "me", [change], {lifetime})
apply_change(mesh, change, "1")
print("applied", flush=True)
time.sleep(600)
"""


@contextmanager
def runner(folder: Path, lifetime: float = 600) -> Iterator[subprocess.Popen[str]]:
    from meshchaos.mesh.changes import dump

    code = RUNNER.format(lifetime=lifetime)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder), json.dumps(dump(FILTER))], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "applied\n"
            yield process
        finally:
            process.kill()


def ours(api: FakeApi) -> list[tuple[str, str, str]]:
    with api.lock:
        return sorted(key for key in api.objects if key[0] in ("leases", "configmaps", "envoyfilters"))


def until(condition: Callable[[], object], folder: Path, timeout: float = 30.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, (folder / LOG).read_text("utf-8")
        time.sleep(0.05)


def test_a_runner_that_is_killed_is_healed_by_nobodys_hand(api: FakeApi, tmp_path: Path) -> None:
    api.kubeconfig(tmp_path)
    with runner(tmp_path) as process:
        assert len(ours(api)) == 3
        process.send_signal(signal.SIGKILL)
        until(lambda: not ours(api), tmp_path)
    until(lambda: "put back and verified: EnvoyFilter chaos-1-0.shop" in (tmp_path / LOG).read_text("utf-8"), tmp_path)
    assert "the runner is gone" in (tmp_path / LOG).read_text("utf-8")


def test_a_runner_that_hangs_loses_its_lease_and_writes_nothing(api: FakeApi, tmp_path: Path) -> None:
    api.kubeconfig(tmp_path)
    with runner(tmp_path, lifetime=2) as process:
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: not ours(api), tmp_path)
    assert "did not renew its lease" in (tmp_path / LOG).read_text("utf-8")


def test_a_server_that_fails_meanwhile_is_tried_again(api: FakeApi, tmp_path: Path) -> None:
    api.kubeconfig(tmp_path)
    with runner(tmp_path) as process:
        api.fail = [
            Failure("DELETE /apis/networking.istio.io", 403, 1, reason="Forbidden"),
            Failure("DELETE /api/v1", 500, 2),
        ]
        process.send_signal(signal.SIGKILL)
        until(lambda: not ours(api), tmp_path)
    assert [failure.times for failure in api.fail] == [0, 0]


def test_nothing_is_changed_where_nobody_watches(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ClusterSpec("shop", "fake", ("shop",), api.kubeconfig(tmp_path))
    with KubernetesMesh.open(spec, tmp_path) as mesh:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        mesh.journal.open("1", "me", [FILTER], 30)
        with pytest.raises(MeshError, match="does not watch, so nothing is changed"):
            apply_change(mesh, FILTER, "1")
        mesh.journal.close("1")
    assert ours(api) == []


def test_a_run_that_ends_well_leaves_no_watchdog(api: FakeApi, tmp_path: Path) -> None:
    spec = ClusterSpec("shop", "fake", ("shop",), api.kubeconfig(tmp_path))
    with KubernetesMesh.open(spec, tmp_path) as mesh:
        mesh.journal.open("1", "me", [FILTER], 30)
        apply_change(mesh, FILTER, "1")
        watchdog = mesh._guards._watchdog
        assert watchdog is not None
        mesh.delete(FILTER.ref, mesh.get(FILTER.ref)["metadata"]["uid"])
        mesh.journal.close("1")
        assert watchdog._process.returncode == 0
        with pytest.raises(Locked):
            mesh.journal.renew("1", 30)
    assert (tmp_path / LOG).read_text("utf-8") == ""
