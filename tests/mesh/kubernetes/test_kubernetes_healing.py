"""``meshchaos heal --mesh`` on a cluster: who may be alive is watched, not guessed from clocks."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import yaml
from fake_api import FakeApi

from meshchaos.errors import UserError
from meshchaos.mesh.apply import apply_change
from meshchaos.mesh.changes import Create
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.spec import ClusterSpec
from meshchaos.run.healing import heal

ELSEWHERE = "somebody@another-machine, process 7"
FILTER = Create(
    {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "chaos-1-0", "namespace": "shop"},
        "spec": {"configPatches": []},
    }
)


@pytest.fixture
def config(api: FakeApi, tmp_path: Path) -> Path:
    cluster = {"context": "fake", "namespaces": ["shop"], "kubeconfig": str(api.kubeconfig(tmp_path))}
    file = tmp_path / "meshchaos.yaml"
    file.write_text(yaml.safe_dump({"meshes": {"real": {"kubernetes": cluster}}}), "utf-8")
    return file


def held(api: FakeApi, folder: Path, lifetime: float) -> KubernetesMesh:
    mesh = KubernetesMesh.open(ClusterSpec("real", "fake", ("shop",), folder / "kubeconfig"), folder, guarded=False)
    mesh.journal.open("1", ELSEWHERE, [FILTER], lifetime)
    apply_change(mesh, FILTER, "1")
    return mesh


def ours(api: FakeApi) -> list[tuple[str, str, str]]:
    return sorted(key for key in api.objects if key[0] in ("leases", "configmaps", "envoyfilters"))


def test_what_nobody_renews_is_put_back(api: FakeApi, config: Path, tmp_path: Path) -> None:
    with held(api, tmp_path, lifetime=2):
        done = heal(mesh="real", config=config, force=False)
    assert done.exit_code == 0
    assert done.lines == (f"mesh real: run 1 ({ELSEWHERE}): put back and verified: EnvoyFilter chaos-1-0.shop",)
    assert ours(api) == []
    assert heal(mesh="real", config=config, force=False).lines == ("mesh real: nothing to heal",)


def test_what_somebody_renews_is_left_to_him(api: FakeApi, config: Path, tmp_path: Path) -> None:
    with held(api, tmp_path, lifetime=600) as mesh:
        over = threading.Event()

        def renew() -> None:
            while not over.wait(0.1):
                mesh.journal.renew("1", 600)

        thread = threading.Thread(target=renew)
        thread.start()
        try:
            done = heal(mesh="real", config=config, force=False)
        finally:
            over.set()
            thread.join()
    assert done.exit_code == 4
    assert f"run 1 ({ELSEWHERE}) holds it and may be alive" in done.lines[0]
    assert len(ours(api)) == 3


def test_force_waits_for_nobody(api: FakeApi, config: Path, tmp_path: Path) -> None:
    with held(api, tmp_path, lifetime=600):
        done = heal(mesh="real", config=config, force=True)
    assert done.exit_code == 0
    assert ours(api) == []


def test_a_cluster_that_does_not_say_its_namespaces(tmp_path: Path) -> None:
    file = tmp_path / "meshchaos.yaml"
    file.write_text("meshes: {real: {kubernetes: {context: fake}}}", "utf-8")
    with pytest.raises(UserError, match=r"meshes.real.kubernetes: name the namespaces that experiments may be about"):
        heal(mesh="real", config=file, force=False)
