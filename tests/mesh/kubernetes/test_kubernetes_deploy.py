"""The manifests in deploy/: what they mount is read, what they call is there, and the janitor's rights suffice."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import fake_runner
import pytest
import yaml
from fake_api import Asked, Failure, FakeApi, nobody
from fake_shop import TOGETHER, experiment, state

from meshchaos.cli.app import cli
from meshchaos.experiment.config import read_config
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.spec import ClusterSpec
from meshchaos.run.catalog import open_catalog
from meshchaos.run.janitor import GRACE, Janitor
from meshchaos.run.meshes import cluster_spec

DEPLOY = Path(__file__).parents[3] / "deploy"
FOLDERS = ("janitor", "job")


def documents(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one]


@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_mounted_is_read_and_what_is_called_is_there(name: str) -> None:
    folder = DEPLOY / name
    (top,) = documents(folder / "kustomization.yaml")
    objects = [one for file in top["resources"] for one in documents(folder / file)]
    (generated,) = top["configMapGenerator"]
    assert all((folder / file).is_file() for file in generated["files"])
    spec = cluster_spec(read_config(folder / "meshchaos.yaml"), "here")
    assert spec is not None
    assert (spec.context, spec.namespaces[0]) == ("in-cluster", top["namespace"])
    (workload,) = (one for one in objects if one["kind"] in ("Deployment", "Job"))
    pod = workload["spec"]["template"]
    assert pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    assert {"kind": "ServiceAccount", "name": pod["spec"]["serviceAccountName"]} in [
        {"kind": one["kind"], "name": one["metadata"]["name"]} for one in objects
    ]
    (container,) = pod["spec"]["containers"]
    assert container["image"] == top["images"][0]["name"]
    assert {one["configMap"]["name"] for one in pod["spec"]["volumes"] if "configMap" in one} == {generated["name"]}
    _, command, *words = container["command"]
    found = cli.get_command(None, command)  # type: ignore[arg-type]
    assert found is not None
    known = {option for one in found.params for option in one.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_jobs_experiments_are_read() -> None:
    folder = DEPLOY / "job"
    catalog = open_catalog(config=folder / "meshchaos.yaml")
    assert [one.name for one in catalog.read([folder], ())] == ["slow-web"]


def allowed(asked: Asked) -> bool:
    """By the janitor's Role, and what everybody who is known may do."""
    if not asked.right:
        return True
    (role,) = (one for one in documents(DEPLOY / "janitor" / "rights.yaml") if one["kind"] == "Role")
    verb, plural, _, namespace = asked.right.split(" ", 3)
    return namespace == "shop" and any(plural in rule["resources"] and verb in rule["verbs"] for rule in role["rules"])


@pytest.mark.parametrize("name", TOGETHER)
def test_the_janitors_role_suffices(api: FakeApi, config: Path, name: str) -> None:
    before = state(api)
    most: list[dict[Any, Any]] = []
    api.behind = lambda asked: most.append(copy.deepcopy(api.objects)) if asked.writes else None
    folder = config.parent / "run"
    folder.mkdir()
    fake_runner.run(experiment(config.parent, name, *TOGETHER[name]), config, folder)
    api.behind = nobody
    api.objects = most[len(most) // 2]
    assert state(api) != before
    refused: list[str] = []

    def ahead(asked: Asked) -> Failure | None:
        if allowed(asked):
            return None
        refused.append(asked.right)
        return Failure("", 403, 1, reason="Forbidden")

    api.ahead = ahead
    now = [5000.0]
    said: list[str] = []
    spec = ClusterSpec("real", "fake", ("shop",), config.parent / "kubeconfig")
    with KubernetesMesh.open(spec, config.parent, guarded=False) as mesh:
        mesh.journal._clock = lambda: now[0]
        janitor = Janitor(mesh, said.append, lambda: now[0])
        assert not janitor.look()
        now[0] += GRACE
        assert janitor.look(), said
    assert state(api) == before
    beside = {"get namespaces in the cluster", "get configmaps in istio-system", "list pods in istio-system"}
    assert set(refused) <= beside, "which it does without"
