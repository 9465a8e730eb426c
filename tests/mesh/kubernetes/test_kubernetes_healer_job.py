"""The Job that heals when the runner and its machine are gone: a real process of it, on the API server of the tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fake_runner
import pytest
import yaml
from click.testing import CliRunner
from fake_api import FakeApi
from fake_nodes import Nodes
from fake_shop import TOGETHER, experiment, state

from meshchaos.checks.kind import Verdict
from meshchaos.cli.app import cli
from meshchaos.errors import MeshError, NotLive, UserError
from meshchaos.experiment.config import read_config
from meshchaos.mesh.apply import apply_change
from meshchaos.mesh.changes import Create
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.healer import GRACE, yielding
from meshchaos.mesh.kubernetes.spec import ClusterSpec, HealerSpec

FILTER = Create(
    {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "chaos-1-0", "namespace": "shop"},
        "spec": {"configPatches": []},
    }
)
ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "healer", "namespace": "shop"}}
HEALER = HealerSpec("healer", "registry.example/meshchaos:1")
MADE = ("leases", "configmaps", "envoyfilters", "jobs", "pods")


def nothing() -> None:
    pass


@pytest.fixture
def nodes(api: FakeApi, tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(api, tmp_path)
    api.settle = made.settle
    api.put("serviceaccounts", ACCOUNT)
    yield made
    made.close()


@pytest.fixture
def mesh(nodes: Nodes, tmp_path: Path) -> Iterator[KubernetesMesh]:
    spec = ClusterSpec("shop", "fake", ("shop",), tmp_path / "kubeconfig", healer=HEALER)
    with KubernetesMesh.open(spec, tmp_path) as opened:
        yield opened


def ours(api: FakeApi) -> list[tuple[str, str, str]]:
    with api.lock:
        return sorted(key for key in api.objects if key[0] in MADE)


def until(condition: Callable[[], object], nodes: Nodes) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, nodes.log.read_text("utf-8")
        time.sleep(0.05)


def test_it_heals_when_the_runner_and_all_beside_it_are_gone(api: FakeApi, nodes: Nodes, mesh: KubernetesMesh) -> None:
    mesh.journal.open("1", "me", [FILTER], 4)
    mesh.deploy((), nothing)
    apply_change(mesh, FILTER, "1")
    watchdog = mesh._guards._watchdog
    assert watchdog is not None
    watchdog._process.kill()
    assert {key[0] for key in ours(api)} == set(MADE)
    until(lambda: not ours(api), nodes)
    said = nodes.log.read_text("utf-8")
    assert "did not renew its lease: putting back" in said
    until(lambda: nodes.processes[0].poll() is not None, nodes)


def test_a_run_that_ends_well_leaves_none(api: FakeApi, nodes: Nodes, mesh: KubernetesMesh) -> None:
    mesh.journal.open("1", "me", [FILTER], 30)
    with pytest.raises(MeshError, match="not there yet, so nothing is changed"):
        apply_change(mesh, FILTER, "1")
    mesh.deploy((), nothing)
    apply_change(mesh, FILTER, "1")
    mesh.delete(FILTER.ref, mesh.get(FILTER.ref)["metadata"]["uid"])
    mesh.journal.close("1")
    assert ours(api) == []
    until(lambda: nodes.processes[0].poll() is not None, nodes)
    assert nodes.log.read_text("utf-8") == ""


def test_it_reviews_its_rights_before_anything_is_changed(api: FakeApi, nodes: Nodes, mesh: KubernetesMesh) -> None:
    api.denied = {"delete envoyfilters in shop", "create pods/portforward in shop"}
    mesh.journal.open("1", "me", [FILTER], 30)
    words = "may not create pods/portforward in shop, delete envoyfilters.networking.istio.io in shop: `meshchaos rbac`"
    with pytest.raises(NotLive, match=words):
        mesh.deploy((), nothing)
    mesh.journal.close("1")
    assert ours(api) == []
    assert not [one for one in api.written if "envoyfilters" in one]


def test_an_image_that_is_not_there_is_said(api: FakeApi, nodes: Nodes, mesh: KubernetesMesh) -> None:
    nodes.waits = "ImagePullBackOff"
    mesh.journal.open("1", "me", [], 30)
    with pytest.raises(NotLive, match=r"Job chaos-1-healer, which heals .* container healer: ImagePullBackOff"):
        mesh.deploy((), nothing)
    mesh.journal.close("1")
    assert ours(api) == []


def test_what_stops_the_run_stops_waiting(api: FakeApi, nodes: Nodes, mesh: KubernetesMesh) -> None:
    def tick() -> None:
        raise KeyboardInterrupt

    mesh.journal.open("1", "me", [], 30)
    with pytest.raises(KeyboardInterrupt):
        mesh.deploy((), tick)
    mesh.journal.close("1")
    assert ours(api) == []


def test_without_its_account_nothing_is_planned(api: FakeApi, mesh: KubernetesMesh) -> None:
    del api.objects["serviceaccounts", "shop", "healer"]
    with pytest.raises(UserError, match=r"there is no ServiceAccount healer\.shop.*`meshchaos rbac` prints it"):
        mesh.dry_run([FILTER])


def test_whoever_heals_already_is_given_time() -> None:
    ends: list[float | None] = [100.0, 0.0, 0.0, None]
    now = [5.0]
    asked = yielding(lambda: ends.pop(0), lambda: now[0])
    assert asked() == 100.0
    assert asked() == 5.0 + GRACE
    now[0] = 50.0
    assert asked() == 5.0 + GRACE
    assert asked() is None


def with_healer(config: Path) -> Path:
    form = yaml.safe_load(config.read_text("utf-8"))
    cluster = form["meshes"]["real"]["kubernetes"]
    cluster["healer"] = {"serviceAccount": "healer", "image": "registry.example/meshchaos:1"}
    config.write_text(yaml.safe_dump(form), "utf-8")
    return config


def test_a_whole_run_has_one_and_says_so(api: FakeApi, config: Path) -> None:
    nodes = Nodes(api, config.parent)
    api.settle = nodes.settle
    api.put("serviceaccounts", ACCOUNT)
    before = state(api)
    folder = config.parent / "run"
    folder.mkdir()
    file = experiment(config.parent, "routes", *TOGETHER["routes"])
    try:
        result = fake_runner.run(file, with_healer(config), folder, guarded=True)
    finally:
        nodes.close()
    assert result.verdict is not Verdict.ERROR, result.reason
    assert result.healers == ("a process of its own on the runner's machine", "a Job in namespace shop")
    assert len(nodes.processes) == 1
    assert state(api) == before


def test_its_roles_are_printed_before_they_are_there(api: FakeApi, config: Path) -> None:
    file = experiment(config.parent, "routes", "trafficShift: {to: stars, weights: {all: 50, some: 50}}")
    done = CliRunner().invoke(cli, ["rbac", "--config", str(with_healer(config)), "--mesh", "real", str(file)])
    assert done.exit_code == 0, done.output
    found = [one for one in yaml.safe_load_all(done.stdout) if one["metadata"]["name"] == "healer"]
    assert [one["kind"] for one in found] == ["ServiceAccount", "Role", "RoleBinding"]
    rules = {resource: rule["verbs"] for rule in found[1]["rules"] for resource in rule["resources"]}
    assert rules == {
        "virtualservices": ["get", "update"],
        "envoyfilters": ["delete", "get"],
        "configmaps": ["delete", "list"],
        "leases": ["delete", "get", "update"],
        "pods": ["list"],
        "pods/portforward": ["create", "get"],
    }


def test_one_without_an_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "meshchaos.yaml"
    cluster = {"context": "fake", "namespaces": ["shop"], "healer": {"serviceAccount": "healer"}}
    path.write_text(yaml.safe_dump({"meshes": {"real": {"kubernetes": cluster}}}), "utf-8")
    with pytest.raises(UserError, match="healer needs an image with meshchaos in it"):
        read_config(path)
