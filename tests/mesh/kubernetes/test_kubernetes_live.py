"""Where a change shows in a proxy's dump. The dumps are cut from those of a real Istio."""

from __future__ import annotations

from typing import Any

import pytest

from meshchaos.mesh.changes import Create, EditObject
from meshchaos.mesh.edits import InsertNamed, SetField
from meshchaos.mesh.kubernetes.dumps import within
from meshchaos.mesh.kubernetes.live import Footprint, Sign, Target, signs_of
from meshchaos.mesh.kubernetes.observing import log_filters, mark
from meshchaos.mesh.objects import Manifest, Ref
from meshchaos.mesh.seam import Replica, Workload

ADMIN = "type.googleapis.com/envoy.admin.v3"
BIN = Ref("VirtualService", "demo", "bin")
OWNER: Manifest = {
    "kind": "VirtualService",
    "metadata": {"name": "bin", "namespace": "demo"},
    "spec": {"hosts": ["bin.example"], "gateways": ["bin"], "http": [{"route": []}]},
}


def target(app: str = "httpbin", namespace: str = "demo", *, gateway: bool = False) -> Target:
    return Target(Replica(f"{app}-1", app, namespace, "10.0.0.1", {"app": app}, "x", not gateway), gateway)


def marked(name: str | None, config: str = "/apis/networking.istio.io/v1/namespaces/demo/virtual-service/bin") -> Any:
    metadata = {"metadata": {"filter_metadata": {"istio": {"config": config}}}} if config else {}
    return {**({"name": name} if name else {}), "route": {"cluster": "outbound|8000||httpbin"}, **metadata}


def routes(*found: Any, alone: bool = True) -> Any:
    item = {
        "route_config": {
            "name": "http.8080",
            "virtual_hosts": [{"name": "bin.example:80", "domains": ["bin.example"], "routes": list(found)}],
        }
    }
    if alone:  # as it comes when this resource alone is asked for
        return {"configs": [{"@type": f"{ADMIN}.RoutesConfigDump.DynamicRouteConfig", **item}]}
    return {"configs": [{"@type": f"{ADMIN}.RoutesConfigDump", "dynamic_route_configs": [item]}]}


def inbound(*, active: Any = (), draining: Any = (), text: str = "") -> Any:
    def listener(fault: Any) -> Any:
        route = {"name": "default", "typed_per_filter_config": fault} if fault else {"name": "default"}
        manager = {"route_config": {"virtual_hosts": [{"name": "inbound|http|8000", "routes": [route]}]}, "x": text}
        chains = [{"filters": [{"typed_config": manager}]} for _ in range(2)]
        return {"listener": {"name": "virtualInbound", "filter_chains": chains}}

    item = {"name": "virtualInbound", "active_state": listener(active), "draining_state": listener(draining)}
    return {"configs": [{"@type": f"{ADMIN}.ListenersConfigDump.DynamicListener", **item}]}


def one(change: Any, stored: Manifest | None = None) -> Sign:
    (found,) = signs_of(change, stored, "istio-system", "cluster.local")
    return found


DELAY = {"delay": {"fixed_delay": "0.3s", "percentage": {"numerator": 500000, "denominator": "MILLION"}}}
SHOWN = {"delay": {"fixed_delay": "0.300s", "percentage": {"numerator": 500000, "denominator": "MILLION"}}}


def fault_filter(value: Any, namespace: str = "demo") -> Create:
    route = {"vhost": {"name": "inbound|http|8000", "route": {"name": "default"}}}
    patch = {
        "applyTo": "HTTP_ROUTE",
        "match": {"context": "SIDECAR_INBOUND", "routeConfiguration": route},
        "patch": {"operation": "MERGE", "value": {"typed_per_filter_config": {"envoy.filters.http.fault": value}}},
    }
    spec = {"workloadSelector": {"labels": {"app": "httpbin"}}, "configPatches": [patch]}
    return Create({"kind": "EnvoyFilter", "metadata": {"name": "chaos-1-0", "namespace": namespace}, "spec": spec})


def test_a_named_route_of_an_owner_is_looked_for_where_its_routes_are() -> None:
    element = {"name": "chaos-1-0", "route": []}
    sign = one(EditObject(BIN, (InsertNamed(("spec", "http"), 0, element),)), OWNER)
    for alone in (True, False):
        assert sign.shows(routes(marked(None), alone=alone)) is False
        assert sign.shows(routes(marked("chaos-1-0"), marked(None), alone=alone)) is True
    assert sign.shows(routes(marked("chaos-1-0.match"))) is True
    assert sign.shows(routes(marked("chaos-1-01"))) is False
    assert sign.shows(routes(marked(None, ""))) is None
    assert sign.concerns(target(gateway=True))
    assert not sign.concerns(target())


def test_a_route_for_some_clients_concerns_them_alone() -> None:
    match = [{"sourceLabels": {"app": "web"}, "gateways": ["mesh"]}]
    sign = one(EditObject(BIN, (InsertNamed(("spec", "http"), 0, {"name": "chaos-1-0", "match": match}),)), OWNER)
    assert sign.concerns(target("web"))
    assert not sign.concerns(target("httpbin"))
    assert not sign.concerns(target("web", gateway=True))


def test_a_virtual_service_of_ours_shows_at_whoever_has_its_host() -> None:
    manifest = {
        "kind": "VirtualService",
        "metadata": {"name": "chaos-1-0", "namespace": "demo"},
        "spec": {"hosts": ["bin.example"], "http": [{"name": "chaos-1-0"}, {"name": "chaos-1-0-rest"}]},
    }
    sign = one(Create(manifest))
    assert sign.shows(routes(marked(None, ""))) is False
    assert sign.shows(routes(marked("chaos-1-0", ""))) is True
    assert sign.shows({"configs": []}) is None


def test_a_fault_at_the_server_must_be_in_every_active_chain() -> None:
    sign = one(fault_filter(DELAY))
    fault = {"envoy.filters.http.fault": SHOWN}
    assert sign.shows(inbound(active=fault)) is True
    assert sign.shows(inbound(draining=fault)) is False
    assert sign.shows({"configs": []}) is None
    half = inbound(active=fault)
    del half["configs"][0]["active_state"]["listener"]["filter_chains"][0]["filters"][0]["typed_config"][
        "route_config"
    ]["virtual_hosts"][0]["routes"][0]["typed_per_filter_config"]
    assert sign.shows(half) is False
    assert sign.concerns(target())
    assert not sign.concerns(target("other"))
    assert not sign.concerns(target(namespace="elsewhere"))


@pytest.mark.parametrize(
    ("ours", "theirs", "fits"),
    [
        ({"a": "0.25s"}, {"a": "0.250s", "b": 1}, True),
        ({"a": "0.25s"}, {"a": "0.260s"}, False),
        ({"a": 0, "b": False}, {}, True),
        ({"a": 1}, {}, False),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, True),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"d": "HUNDRED"}, {}, True),
        ({"a": {"b": ""}}, {}, True),
    ],
)
def test_what_envoy_leaves_out_and_writes_otherwise(ours: Any, theirs: Any, fits: bool) -> None:
    assert within(ours, theirs) is fits


def test_an_authorization_policy_shows_by_its_name_at_whom_it_selects() -> None:
    spec = {"selector": {"matchLabels": {"app": "httpbin"}}, "rules": [{}]}
    meta = {"name": "chaos-1-0", "namespace": "demo"}
    sign = one(Create({"kind": "AuthorizationPolicy", "metadata": meta, "spec": spec}))
    assert sign.shows(inbound(text="ns[demo]-policy[chaos-1-0]-rule[0]")) is True
    assert sign.shows(inbound(text="ns[demo]-policy[chaos-1-01]-rule[0]")) is False
    assert sign.concerns(target())
    assert not sign.concerns(target("other"))


def test_a_changed_field_shows_by_other_routes_of_that_object_alone() -> None:
    sign = one(EditObject(BIN, (SetField(("spec", "x"), 1, 2),)), OWNER)
    assert isinstance(sign, Footprint)
    other = marked(None, "/apis/networking.istio.io/v1/namespaces/demo/virtual-service/binary")
    before = sign.digest(routes(marked(None), other))
    assert before is not None
    assert sign.digest(routes(marked(None))) == before
    assert sign.digest(routes({**marked(None), "route": {"timeout": "2s"}}, other)) != before
    assert sign.digest(routes(other)) is None


def test_what_no_proxy_shows_is_the_apis_word() -> None:
    pod = EditObject(Ref("Pod", "demo", "a"), (SetField(("metadata", "labels", "x"), None, "true"),))
    assert signs_of(pod, None, "istio-system", "cluster.local") == []


def test_logs_are_added_to_namespaces_and_to_gateways_by_their_labels() -> None:
    def workload(name: str, namespace: str, *, gateway: bool = False, sidecar: bool = True) -> Workload:
        labels = {"app": name, "pod-template-hash": "1"}
        return Workload(name, namespace, labels, "x", sidecar and not gateway, gateway, ())

    made = log_filters(
        "7",
        [
            workload("a", "demo"),
            workload("b", "demo"),
            workload("bare", "plain", sidecar=False),
            workload("ingress", "istio-system", gateway=True),
        ],
        ["x-user"],
        "istio-system",
    )
    assert [(str(one.ref), (one.manifest["spec"].get("workloadSelector") or {}).get("labels")) for one in made] == [
        ("EnvoyFilter chaos-7-log.demo", None),
        ("EnvoyFilter chaos-7-log-ingress.istio-system", {"app": "ingress"}),
    ]
    fields = made[0].manifest["spec"]["configPatches"][0]["patch"]["value"]["typed_config"]["access_log"][0][
        "typed_config"
    ]["log_format"]["json_format"]
    assert fields["headers"] == {"x-user": "%REQ(x-user)%"}
    assert mark("7") == b'"meshchaos":"chaos-7-log"'
    signs = signs_of(made[0], None, "istio-system", "cluster.local")
    assert all(sign.shows(inbound(text='chaos-7-log"')) is False for sign in signs)
    logged = inbound()
    logged["configs"][0]["active_state"]["listener"]["access_log"] = {"meshchaos": "chaos-7-log"}
    assert all(sign.shows(logged) for sign in signs)
