"""Pods that call for a run: on the API server of the tests, with real agents, generators and calls beside it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_runner
import pytest
import yaml
from fake_api import Failure, FakeApi
from fake_shop import TOGETHER, experiment, settle, state

from meshchaos.checks.kind import Verdict
from meshchaos.errors import UserError
from meshchaos.faults.kind import Placement, Proof
from meshchaos.mesh.kubernetes.api import Api
from meshchaos.mesh.kubernetes.caller_pod import counted_by
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.spec import ClusterSpec
from meshchaos.mesh.seam import Call
from meshchaos.run import wiring
from meshchaos.run.callers import proved_by_callers_too
from meshchaos.run.clock import SystemClock
from meshchaos.run.healing import heal
from meshchaos.run.rooms import Observer, Scene
from tests.agents import Away
from tests.load.load_server import Server

EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: inside}
spec:
  load: {target: "http://stars:8000/x", from: %s, rate: 60, arrivals: uniform, timeout: 2s}
  phases: {warmup: 1s, observe: 2s}
  expect:
    - success: 90%%
"""
POD = ("pods", "shop", "chaos-0123abcd-from-page")
OWNER = ("configmaps", "shop", "chaos-0123abcd-callers")


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Away]]:
    """An agent for each Pod that a port-forward is made to, by the Pod's name."""
    made: dict[str, Away] = {}

    def tunnel(_api: Api, _namespace: str, pod: str, port: int) -> Any:
        assert port == 15990
        if pod not in made:
            made[pod] = Away(tmp_path / pod)
        return made[pod].connect()

    monkeypatch.setattr(Api, "tunnel", tunnel)
    yield made
    for one in made.values():
        one.close()


@pytest.fixture
def shop(config: Path, api: FakeApi, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration; Pods of ours get a sidecar and start, as in an enabled namespace. Nothing is reached from
    here.
    """
    document = yaml.safe_load(config.read_text("utf-8"))
    document["meshes"]["real"]["kubernetes"]["image"] = "example/meshchaos:1"
    config.write_text(yaml.safe_dump(document), "utf-8")
    host, _, port = server.address.rpartition(":")
    api.edit("services", "shop", "stars", lambda one: one["spec"]["ports"][0].update(port=int(port)))
    assert host == "127.0.0.1"
    api.admit = inject
    api.settle = lambda _: (settle(api), start(api))
    monkeypatch.setattr("meshchaos.mesh.kubernetes.reach.Reach.here", lambda *_: False)
    return config


def inject(manifest: dict[str, Any]) -> dict[str, Any]:
    labels = manifest["metadata"].get("labels") or {}
    if manifest["kind"] != "Pod" or labels.get("sidecar.istio.io/inject") == "false":
        return manifest
    found = copy.deepcopy(manifest)
    found["spec"]["initContainers"] = [{"name": "istio-proxy", "restartPolicy": "Always"}]
    return found


def start(api: FakeApi) -> None:
    for key, one in api.objects.items():
        if key[0] == "pods" and "status" not in one:
            conditions = [{"type": "ContainersReady", "status": "True"}, {"type": "Ready", "status": "False"}]
            api.edit(*key, lambda pod, conditions=conditions: pod.update(status={"conditions": conditions}))


def written(folder: Path, source: str, server: Server, text: str = EXPERIMENT) -> Path:
    file = folder / "inside.chaos.yaml"
    port = server.address.rpartition(":")[2]
    file.write_text((text % source).replace("stars:8000", f"stars:{port}"), "utf-8")
    return file


def run(file: Path, config: Path, folder: Path, **more: Any) -> Any:
    (folder / "run").mkdir(exist_ok=True)
    return fake_runner.run(file, config, folder / "run", clock=SystemClock(), calling=True, **more)


@pytest.mark.parametrize("source", ["page", "outside"])
def test_a_load_is_sent_from_a_pod_and_nothing_is_left(
    api: FakeApi, shop: Path, server: Server, agents: dict[str, Away], source: str
) -> None:
    name, folder = f"chaos-0123abcd-from-{source}", shop.parent
    before = state(api)
    seen: list[dict[str, Any]] = []
    api.behind = lambda _: seen.extend(one for key, one in api.objects.items() if key[2] == name)
    result = run(written(folder, source, server), shop, folder)
    assert (result.verdict, result.exit_code) == (Verdict.PASS, 0), result.reason
    assert list(agents) == [name]
    assert result.findings[0].n is not None
    assert 115 <= result.findings[0].n <= 121
    assert state(api) == before
    pod = seen[-1]
    assert bool(pod["spec"].get("initContainers")) is (source == "page")
    assert api.requests.index("POST /api/v1/namespaces/shop/configmaps") < api.requests.index(
        "POST /api/v1/namespaces/shop/pods"
    )


def test_the_pod_has_the_workloads_identity_and_none_of_its_requests(shop: Path, api: FakeApi, tmp_path: Path) -> None:
    def dress(deployment: dict[str, Any]) -> None:
        template = deployment["spec"]["template"]
        template["metadata"]["annotations"] = {"proxy.istio.io/config": "x", "prometheus.io/scrape": "true"}
        template["spec"]["nodeSelector"] = {"disk": "fast"}

    api.edit("deployments", "shop", "page", dress)
    with opened(api, tmp_path) as mesh:
        mesh.journal.open("0123abcd", "me", [], 30)
        assert mesh.callers([Call("page", "http://page:8000/", "shop")]) == {"page.shop": ()}
        with pytest.raises(KeyboardInterrupt):
            mesh.deploy(["page.shop"], _stop)
        pod, owner = api.objects[POD], api.objects[OWNER]
        snapshot = mesh.snapshot()
        mesh.journal.close("0123abcd")
    meta, spec = pod["metadata"], pod["spec"]
    assert meta["labels"] == {"app": "page", "sidecar.istio.io/inject": "true"}
    assert meta["annotations"] == {
        "proxy.istio.io/config": "x",
        "meshchaos.dev/caller": "page",
        "meshchaos.dev/run": "0123abcd",
    }
    assert spec["serviceAccountName"] == "page"
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert spec["readinessGates"] == [{"conditionType": "meshchaos.dev/never"}]
    assert spec["containers"][0]["image"] == "example/meshchaos:1"
    (owned,) = meta["ownerReferences"]
    assert (owned["uid"], owned["controller"]) == (owner["metadata"]["uid"], True)
    (page,) = [one for one in snapshot.workloads if one.name == "page"]
    assert len(page.replicas) == 2, "it is no replica"
    assert POD not in api.objects
    assert OWNER not in api.objects


def _stop() -> None:
    raise KeyboardInterrupt


def opened(api: FakeApi, folder: Path) -> KubernetesMesh:
    spec = ClusterSpec("real", "fake", ("shop",), api.kubeconfig(folder), image="example/meshchaos:1")
    return KubernetesMesh.open(spec, folder, guarded=False)


PROBES = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: inside}
spec:
  phases: {warmup: 1s, observe: 2s}
  expect:
    - denied: {from: %s, to: stars, paths: /x}
    - allowed: {from: page, to: stars, paths: /y}
"""


def test_probes_are_sent_from_pods(
    api: FakeApi, shop: Path, server: Server, tmp_path: Path, agents: dict[str, Away]
) -> None:
    before = state(api)

    def observers(scene: Scene) -> list[Observer]:
        prober = wiring._prober(scene)  # without the watch of the edges: there are no proxies here
        assert prober is not None
        return [prober]

    file = written(tmp_path, "outside", server, PROBES)
    run(file, shop, tmp_path, observers=observers)
    rows = [json.loads(line) for line in (tmp_path / "run" / "probes.jsonl").read_text("utf-8").splitlines()]
    calls = [(matrix, status) for kind, matrix, _, phase, _, _, _, status, _ in rows if phase == "observe"]
    assert {status for _, status in calls} == {200}
    assert {matrix for matrix, _ in calls} == {0, 1}
    assert sorted(agents) == ["chaos-0123abcd-from-outside", "chaos-0123abcd-from-page"]
    sent = {row[4] for row in rows if row[0] == "probe"}
    assert {message.headers["x-request-id"] for _, message in server.seen} >= sent
    assert state(api) == before


def test_whatever_dies_the_pods_go_with_what_owns_them(
    api: FakeApi, shop: Path, tmp_path: Path, agents: dict[str, Away]
) -> None:
    before = state(api)
    dead = opened(api, tmp_path)
    dead.journal.open("0123abcd", "me", [], 1)
    dead.callers([Call("page", "http://page:8000/", "shop")])
    dead.deploy(["page.shop"], lambda: None)
    assert dead.caller("page.shop").submit({"op": "hello"}).result(5)["version"]
    assert POD in api.objects
    done = heal(mesh="real", config=shop, force=True)
    assert done.exit_code == 0, done.lines
    assert state(api) == before
    dead.close()


def refused(shop: Path, server: Server, tmp_path: Path, source: str = "page", text: str = EXPERIMENT) -> str:
    with pytest.raises(UserError) as caught:
        run(written(tmp_path, source, server, text), shop, tmp_path)
    return str(caught.value)


def test_what_cannot_be_is_said_at_its_place_before_anything_is_done(
    api: FakeApi, shop: Path, server: Server, tmp_path: Path
) -> None:
    before = state(api)
    place = "inside.chaos.yaml:5:3: spec.load: "
    api.admit = lambda manifest: manifest
    found = refused(shop, server, tmp_path)
    assert f"{place}a Pod that calls as page.shop would get no sidecar" in found
    api.admit = inject
    api.fail.append(Failure("POST /api/v1/namespaces/shop/pods", 403, reason="Forbidden"))
    assert f"{place}context fake may not do this (403)" in refused(shop, server, tmp_path)
    api.edit("services", "shop", "page", lambda one: one["spec"].update(publishNotReadyAddresses=True))
    assert "Service page.shop has publishNotReadyAddresses" in refused(shop, server, tmp_path)
    assert refused(shop, server, tmp_path, "page", PROBES).count("publishNotReadyAddresses") == 1
    api.edit("services", "shop", "page", lambda one: one["spec"].pop("publishNotReadyAddresses"))
    document = yaml.safe_load(shop.read_text("utf-8"))
    del document["meshes"]["real"]["kubernetes"]["image"]
    shop.write_text(yaml.safe_dump(document), "utf-8")
    assert "name one in meshchaos.yaml, as in kubernetes: {image: " in refused(shop, server, tmp_path)
    assert refused(shop, server, tmp_path, "page", PROBES).startswith(
        f"{tmp_path}/inside.chaos.yaml:7:7: spec.expect[0]"
    )
    tokens = experiment(tmp_path, "tokens", *(one for one in TOGETHER["server"] if "requestAuth" in one))
    with pytest.raises(
        UserError, match=r"tokens.chaos.yaml:\d+:\d+: spec.faults\[0\].requestAuthentication: from: page: a Pod"
    ):
        run(tokens, shop, tmp_path)
    assert state(api) == before


FELL_OVER = {"exitCode": 127, "reason": "Error", "message": "starting\npython: cannot open shared object file\n"}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            {"containerStatuses": [{"name": "meshchaos", "state": {"waiting": {"reason": "ErrImagePull"}}}]},
            "chaos-0123abcd-from-page.shop, from which this run calls, does not start: "
            "container meshchaos: ErrImagePull",
        ),
        ({"phase": "Failed", "message": "The node was low on memory."}, "it has ended: The node was low on memory."),
        (
            {"phase": "Failed", "containerStatuses": [{"name": "meshchaos", "state": {"terminated": FELL_OVER}}]},
            "it has ended: container meshchaos with exit code 127: python: cannot open shared object file",
        ),
    ],
)
def test_a_pod_that_does_not_start_ends_the_run_and_goes(
    api: FakeApi, shop: Path, server: Server, status: dict[str, Any], words: str
) -> None:
    before = state(api)

    def fail(api: FakeApi) -> None:
        settle(api)
        if POD in api.objects and "status" not in api.objects[POD]:
            api.edit(*POD, lambda pod: pod.update(status=status))

    api.settle = fail
    result = run(written(shop.parent, "page", server), shop, shop.parent)
    assert (result.verdict, result.exit_code) == (Verdict.ERROR, 5)
    assert words in result.reason
    assert state(api) == before


@pytest.mark.usefixtures("agents")
def test_an_image_of_another_version_is_named(
    shop: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshchaos.mesh.kubernetes.callers.meshchaos.__version__", "9.9")
    result = run(written(tmp_path, "page", server), shop, tmp_path)
    assert "image example/meshchaos:1 has meshchaos 0.1.0, and this is 9.9: use one that has the same" in result.reason


def test_the_rights_that_calling_takes(api: FakeApi, shop: Path, tmp_path: Path) -> None:
    with opened(api, tmp_path) as mesh:
        _, *roles = mesh.rights([], [], mesh.callers([Call("page", "http://page:8000/", "shop")]))
    verbs = {
        resource: rule["verbs"]
        for role in roles
        if role["metadata"]["namespace"] == "shop"
        for rule in role["rules"]
        for resource in rule["resources"]
    }
    assert verbs["pods"] == ["create", "delete", "get", "list"]
    assert verbs["pods/portforward"] == ["create", "get"]
    assert verbs["configmaps"] == ["create", "delete", "get", "list"]


def test_who_counts_the_pod_as_a_replica_is_told(api: FakeApi, shop: Path, tmp_path: Path) -> None:
    meta = {"name": "page", "namespace": "shop", "uid": "1"}
    scaler = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": meta,
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "page"}},
    }
    budget = {
        "kind": "PodDisruptionBudget",
        "metadata": meta,
        "spec": {"selector": {"matchLabels": {"app": "page"}}},
    }
    with opened(api, tmp_path) as mesh:
        snapshot = mesh.snapshot()
    told = list(counted_by("page.shop", replace(snapshot, objects=(*snapshot.objects, scaler, budget))))
    assert told == [
        "HorizontalPodAutoscaler page.shop counts the Pod that calls as page as a replica that is not ready",
        "PodDisruptionBudget page.shop counts the Pod that calls as page as a replica that is not healthy",
    ]
    assert list(counted_by("stars.shop", replace(snapshot, objects=(*snapshot.objects, scaler, budget)))) == []


def test_its_proxy_is_among_those_that_prove_a_fault_at_the_client(
    api: FakeApi, shop: Path, tmp_path: Path, agents: dict[str, Away]
) -> None:
    with opened(api, tmp_path) as mesh:
        mesh.journal.open("0123abcd", "me", [], 30)
        mesh.callers([Call("page", "http://page:8000/", "shop")])
        mesh.deploy(["page.shop"], lambda: None)
        there = {one.name: one.replica for one in mesh.proxies()}
        name = "chaos-0123abcd-from-page.shop"
        assert (there[name].workload, there[name].caller, there[name].ready) == ("page", True, True)
        assert len(mesh.proxies("page")) == 3
        own = tuple(one for one in there if one.startswith("page-"))
        proof = Proof(own, "outbound", "DI", "", 1.0)
        placement = Placement("f", "delay", "client", "page -> stars", "", (), proof)
        assert proved_by_callers_too(mesh, placement).proof.replicas == (*own, name)  # type: ignore[union-attr]
        at_server = replace(placement, proof=replace(proof, side="inbound"))
        assert proved_by_callers_too(mesh, at_server) == at_server
        mesh.journal.close("0123abcd")
