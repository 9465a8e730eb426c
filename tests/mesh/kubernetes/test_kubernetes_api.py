"""The API server's answers, good and bad, against a server that speaks the few calls that are made."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_api import CUT, Failure, FakeApi

from meshchaos.errors import Conflict, MeshError, NotFound, Refused, UserError
from meshchaos.mesh.apply import OWNER_ANNOTATION, apply_change, undo_change
from meshchaos.mesh.changes import Create, EditObject, recorded
from meshchaos.mesh.edits import MISSING, InsertNamed, SetField
from meshchaos.mesh.kubernetes import api as module
from meshchaos.mesh.kubernetes.api import connect
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.kinds import Kinds, Place
from meshchaos.mesh.kubernetes.spec import ClusterSpec
from meshchaos.mesh.kubernetes.status import Forbidden
from meshchaos.mesh.objects import Manifest, Ref

WEB = Ref("DestinationRule", "shop", "web")
"""A kind whose writes are not looked for in proxies here: there are none."""
FILTER: Manifest = {
    "apiVersion": "networking.istio.io/v1alpha3",
    "kind": "EnvoyFilter",
    "metadata": {"name": "chaos-1-0", "namespace": "shop"},
    "spec": {"configPatches": []},
}


def spec(api: FakeApi, folder: Path, *namespaces: str, context: str = "fake") -> ClusterSpec:
    return ClusterSpec("shop", context, namespaces or ("shop",), api.kubeconfig(folder))


def web(api: FakeApi, **rest: object) -> Manifest:
    policy = {"trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 5}}}}
    meta = {"name": "web", "namespace": "shop"}
    kind = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule"}
    return api.put("destinationrules", {**kind, "metadata": meta, "spec": {"host": "web", **policy, **rest}})


def edit_of(manifest: Manifest) -> EditObject:
    path = ("spec", "trafficPolicy", "connectionPool", "tcp", "maxConnections")
    return recorded(manifest, EditObject(WEB, (SetField(path, MISSING, 1),)))


@pytest.mark.parametrize("aggregated", [True, False])
def test_kinds_are_found_where_the_server_has_them(api: FakeApi, tmp_path: Path, aggregated: bool) -> None:
    api.aggregated = aggregated
    kinds = Kinds.ask(connect("fake", api.kubeconfig(tmp_path)))
    assert kinds.path(Ref("VirtualService", "shop", "a")) == (
        "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/a"
    )
    assert kinds.as_served({"kind": "EnvoyFilter"})["apiVersion"] == "networking.istio.io/v1alpha3"
    assert not kinds.has("ScaledObject")
    with pytest.raises(NotFound, match=r"serves no HTTPRoute \(gateway.networking.k8s.io\)"):
        kinds.path(Ref("HTTPRoute", "shop", "a"))


def test_a_kind_that_nobody_knows_is_never_taken_for_gone(api: FakeApi, tmp_path: Path) -> None:
    kinds = Kinds.ask(connect("fake", api.kubeconfig(tmp_path)))
    with pytest.raises(Refused, match="it is not clear which WasmPlugin of the cluster is meant"):
        kinds.path(Ref("WasmPlugin", "shop", "a"))
    with pytest.raises(Refused, match=r"the cluster has no kind WasmPlugin in extensions.istio.io"):
        kinds.learn({"kind": "WasmPlugin", "apiVersion": "extensions.istio.io/v1alpha1"})


def test_a_kind_of_the_users_is_found_by_its_group() -> None:
    gateway, thing = Place("x.example/v1", "gateways", True), Place("x.example/v1", "things", True)
    kinds = Kinds({("x.example", "Gateway"): gateway, ("x.example", "Thing"): thing})
    with pytest.raises(Refused, match=r"Gateway of x.example cannot be written: Gateway is networking.istio.io's"):
        kinds.learn({"kind": "Gateway", "apiVersion": "x.example/v1"})
    kinds.learn({"kind": "Thing", "apiVersion": "x.example/v1"})
    assert kinds.path(Ref("Thing", "shop", "a")) == "/apis/x.example/v1/namespaces/shop/things/a"


def test_a_listing_comes_in_chunks_and_whole(api: FakeApi, tmp_path: Path) -> None:
    for number in range(7):
        api.put("configmaps", {"metadata": {"name": f"c{number}", "namespace": "shop"}})
    api.put("configmaps", {"metadata": {"name": "other", "namespace": "elsewhere"}})
    client = connect("fake", api.kubeconfig(tmp_path))
    found = client.listing("/api/v1/namespaces/shop/configmaps", chunk=3)
    assert [one["metadata"]["name"] for one in found] == [f"c{number}" for number in range(7)]
    assert {(one["kind"], one["apiVersion"]) for one in found} == {("ConfigMap", "v1")}
    assert len(api.requests) == 3


def test_a_listing_that_expired_under_way_is_begun_again(api: FakeApi, tmp_path: Path) -> None:
    for number in range(4):
        api.put("configmaps", {"metadata": {"name": f"c{number}", "namespace": "shop"}})
    api.fail = [Failure("GET /api/v1/namespaces/shop/configmaps", 410, reason="Expired")]
    found = connect("fake", api.kubeconfig(tmp_path)).listing("/api/v1/namespaces/shop/configmaps", chunk=3)
    assert len(found) == 4


@pytest.mark.parametrize("status", [429, 500, 503, CUT])
def test_what_may_pass_is_tried_again(api: FakeApi, tmp_path: Path, status: int) -> None:
    api.fail = [Failure("GET /version", status, 2, {"Retry-After": "0"})]
    found = connect("fake", api.kubeconfig(tmp_path)).get("/version")
    assert found["gitVersion"] == "v1.34.4"
    assert len(api.requests) == 3


def test_retry_after_is_kept_to(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waited.append)
    api.fail = [Failure("GET /version", 429, 1, {"Retry-After": "3"})]
    connect("fake", api.kubeconfig(tmp_path)).get("/version")
    assert waited == [3.0]


def test_what_does_not_pass_is_told(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    api.fail = [Failure("GET /version", 500, 99)]
    with pytest.raises(MeshError, match=r"answers 500 to GET /version: scripted 500"):
        connect("fake", api.kubeconfig(tmp_path)).get("/version")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, Forbidden, r"context fake is not let in \(401\): its credentials are wrong or have expired; log in anew"),
        (403, Forbidden, r"context fake may not do this \(403\): scripted 403; give it the right, by a Role"),
        (404, NotFound, "scripted 404"),
        (409, Conflict, "scripted 409"),
        (422, Refused, "scripted 422"),
    ],
)
def test_what_is_refused_is_told_at_once(
    api: FakeApi, tmp_path: Path, status: int, kind: type[Exception], words: str
) -> None:
    api.fail = [Failure("GET /version", status, 99)]
    with pytest.raises(kind, match=words):
        connect("fake", api.kubeconfig(tmp_path)).get("/version")
    assert len(api.requests) == 1


def test_mistakes_are_one_line(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def line(given: ClusterSpec) -> str:
        with pytest.raises(UserError) as caught:
            KubernetesMesh.open(given, tmp_path)
        return str(caught.value)

    path = tmp_path / "kubeconfig"
    assert line(spec(api, tmp_path, context="fase")) == (
        f"the kubeconfig {path} has no context 'fase'; did you mean 'fake'?; it has fake"
    )
    assert line(ClusterSpec("shop", "fake", ("shop",), tmp_path / "nowhere")).startswith(
        f"the kubeconfig {tmp_path / 'nowhere'} cannot be used: "
    )
    assert line(spec(api, tmp_path, "shopp")) == "context fake: the cluster has no namespace 'shopp'; it has shop"
    assert line(spec(api, tmp_path, "kube-system")) == "namespace kube-system is protected: no experiment is about it"
    api.fail = [Failure("GET /apis", 401)]
    assert line(spec(api, tmp_path)).startswith("mesh shop: context fake is not let in (401)")
    api.fail = []
    closed = spec(api, tmp_path)
    api.close()
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    assert line(closed) == (
        f"mesh shop: the API server of context fake ({api.url}) does not answer: Connection refused"
    )


def test_a_cluster_without_istio_is_told(api: FakeApi, tmp_path: Path) -> None:
    api.fail = [Failure("GET /apis", 200)]
    with pytest.raises(UserError, match=r"context fake: the cluster has no Istio"):
        KubernetesMesh.open(spec(api, tmp_path), tmp_path)


def test_an_edit_meets_a_conflict_and_keeps_the_others_edit(api: FakeApi, mesh: KubernetesMesh) -> None:
    change = edit_of(web(api))
    before = {**mesh.get(WEB)}
    replace = mesh.replace

    def racing(manifest: Manifest) -> Manifest:
        if "x" not in mesh.get(WEB)["spec"]:
            web(api, x="somebody's")
        return replace(manifest)

    mesh.replace = racing  # type: ignore[method-assign]
    apply_change(mesh, change, "1")
    assert mesh.get(WEB)["spec"]["x"] == "somebody's"
    assert mesh.get(WEB)["spec"]["trafficPolicy"]["connectionPool"]["tcp"] == {"maxConnections": 1}
    assert undo_change(mesh, change, "1") == []
    assert mesh.get(WEB)["spec"] == {**before["spec"], "x": "somebody's"}


def test_a_write_whose_answer_was_cut_is_known_again(api: FakeApi, mesh: KubernetesMesh) -> None:
    change = edit_of(web(api))
    api.fail = [
        Failure("POST /apis/networking.istio.io/v1alpha3/namespaces/shop/envoyfilters", CUT),
        Failure("PUT /apis/networking.istio.io/v1/namespaces/shop/destinationrules/web", CUT),
        Failure("DELETE /apis/networking.istio.io/v1alpha3", CUT),
    ]
    assert apply_change(mesh, Create(FILTER), "1")["metadata"]["annotations"] == {OWNER_ANNOTATION: "1"}
    apply_change(mesh, change, "1")
    assert mesh.get(WEB)["spec"]["trafficPolicy"]["connectionPool"]["tcp"] == {"maxConnections": 1}
    assert undo_change(mesh, Create(FILTER), "1") == []
    assert undo_change(mesh, change, "1") == []
    assert not [key for key in api.objects if key[0] == "envoyfilters"]
    assert [failure.times for failure in api.fail] == [0, 0, 0]


def test_somebody_elses_object_of_that_name_is_not_ours(api: FakeApi, mesh: KubernetesMesh) -> None:
    api.put("envoyfilters", {**FILTER, "metadata": {**FILTER["metadata"]}})
    with pytest.raises(MeshError, match="AlreadyExists"):
        apply_change(mesh, Create(FILTER), "1")
    assert undo_change(mesh, Create(FILTER), "1") == [
        "EnvoyFilter chaos-1-0.shop is not of run 1 any more; left as it is"
    ]


def test_a_dry_run_changes_nothing_and_sees_edits_together(api: FakeApi, mesh: KubernetesMesh) -> None:
    owner = web(api, subsets=[])
    first = recorded(owner, EditObject(WEB, (InsertNamed(("spec", "subsets"), 0, {"name": "chaos-a"}),)))
    second = recorded(owner, EditObject(WEB, (InsertNamed(("spec", "subsets"), 0, {"name": "chaos-b"}),)))
    before = {key: dict(value) for key, value in api.objects.items()}
    mesh.dry_run([Create(FILTER), first, second])
    assert api.objects == before
    with pytest.raises(Refused, match="a Secret is never changed"):
        mesh.dry_run([Create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}})])


def test_a_dry_run_sees_an_edit_of_what_it_would_create(api: FakeApi, mesh: KubernetesMesh) -> None:
    """As two faults on a service that no VirtualService governs: the second changes what the first would make."""
    ref = Ref("EnvoyFilter", "shop", "chaos-1-0")
    change = recorded(FILTER, EditObject(ref, (SetField(("spec", "priority"), MISSING, 5),)))
    before = {key: dict(value) for key, value in api.objects.items()}
    mesh.dry_run([Create(FILTER), change])
    assert api.objects == before
    posts = [one for one in api.requests if one.startswith("POST") and one.endswith("/envoyfilters")]
    assert len(posts) == 2
    assert not [one for one in api.requests if one.startswith("PUT")]


def test_a_snapshot_reads_no_namespace_that_is_not_named(api: FakeApi, mesh: KubernetesMesh) -> None:
    api.put("services", {"metadata": {"name": "web", "namespace": "shop"}, "spec": {}})
    api.put("services", {"metadata": {"name": "other", "namespace": "elsewhere"}, "spec": {}})
    found = mesh.snapshot()
    assert [one["metadata"]["name"] for one in found.of_kind("Service")] == ["web"]
    assert found.namespaces == ("shop",)
    asked = {path.split("/namespaces/")[1].split("/")[0] for path in api.requests if "/namespaces/" in path}
    assert asked == {"shop", "istio-system"}


def test_what_must_be_read_and_may_not_is_the_users(api: FakeApi, mesh: KubernetesMesh) -> None:
    api.fail = [Failure("GET /apis/networking.istio.io/v1/namespaces/shop/gateways", 403, reason="Forbidden")]
    with pytest.raises(UserError, match=r"may not do this \(403\)"):
        mesh.snapshot()
    api.fail = [Failure("GET /apis/networking.istio.io/v1/namespaces/istio-system", 403, 99, reason="Forbidden")]
    assert mesh.snapshot().root_namespace == "istio-system"
