"""Pods in the words of the seam, and how a client gets in."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from meshchaos.errors import UserError
from meshchaos.mesh.kubernetes.entry import away, entry_for
from meshchaos.mesh.kubernetes.views import living, replica_of, workloads_of
from meshchaos.mesh.objects import Manifest
from meshchaos.mesh.seam import Entry, Snapshot, Tls


def pod(name: str, *, hash_: str = "77", kind: str = "ReplicaSet", proxy: str = "containers", **more: Any) -> Manifest:
    app, _, _ = name.partition("-")
    owner = f"{app}-{hash_}" if kind == "ReplicaSet" else app
    labels = {"app": app, **({"pod-template-hash": hash_} if kind == "ReplicaSet" else {})}
    spec: dict[str, Any] = {"containers": [{"name": app}], "serviceAccountName": "me"}
    if proxy:
        spec.setdefault(proxy, []).append({"name": "istio-proxy", "args": more.pop("args", ["proxy", "sidecar"])})
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": more.pop("namespace", "shop"),
            "labels": labels,
            "ownerReferences": [{"kind": kind, "name": owner, "controller": True}],
            **more,
        },
        "spec": spec,
        "status": {
            "podIP": "10.0.0.7",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": app, "restartCount": 2}],
            "initContainerStatuses": [{"name": "istio-proxy", "restartCount": 1}],
        },
    }


def test_a_pod_is_a_replica_of_its_deployment() -> None:
    found = replica_of(pod("web-77-x"))
    assert (found.workload, found.address, found.service_account) == ("web", "10.0.0.7", "me")
    assert (found.sidecar, found.ready, found.restarts) == (True, True, 3)
    assert replica_of(pod("db-0", kind="StatefulSet")).workload == "db"
    assert replica_of(pod("web-77-x", proxy="initContainers")).sidecar
    assert not replica_of(pod("web-77-x", proxy="")).sidecar
    assert not replica_of(pod("gate-77-x", args=["proxy", "router"])).sidecar


def test_a_pod_that_ends_serves_no_more() -> None:
    ending = pod("web-77-x", deletionTimestamp="2026-01-01T00:00:00Z")
    assert not replica_of(ending).ready
    assert not living(ending)


def test_beside_the_named_namespaces_only_gateways_are_workloads() -> None:
    pods = [
        pod("web-77-x"),
        pod("gate-77-x", args=["proxy", "router"], namespace="istio-system"),
        pod("istiod-77-x", proxy="", namespace="istio-system"),
    ]
    template = {"metadata": {"labels": {"app": "empty"}}, "spec": {}}
    empty = {"metadata": {"name": "empty", "namespace": "shop"}, "spec": {"template": template}}
    namespaces = {"shop": {"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}}}
    found = workloads_of(pods, [empty], namespaces, [], ["shop"])
    assert [(one.name, one.sidecar, one.gateway, len(one.replicas)) for one in found] == [
        ("gate", False, True, 1),
        ("empty", True, False, 0),
        ("web", True, False, 1),
    ]


def service(name: str, namespace: str, app: str, port: int, **more: Any) -> Manifest:
    spec = {"selector": {"app": app}, "ports": [{"port": port, "name": "http"}], "clusterIP": "10.9.0.1"}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {**spec, **more.pop("spec", {})}, **more}


GATEWAY: Manifest = {
    "kind": "Gateway",
    "metadata": {"name": "g", "namespace": "shop"},
    "spec": {
        "selector": {"app": "gate"},
        "servers": [
            {"port": {"number": 80, "protocol": "HTTP"}, "hosts": ["shop/*.example"]},
            {"port": {"number": 443, "protocol": "HTTPS"}, "hosts": ["shop/*.example"]},
        ],
    },
}


def snapshot(*objects: Manifest) -> Snapshot:
    pods = [pod("web-77-x"), pod("gate-77-x", args=["proxy", "router"], namespace="istio-system")]
    workloads = workloads_of(pods, [], {}, [GATEWAY], ["shop"])
    return Snapshot((GATEWAY, service("web", "shop", "web", 8000), *objects), tuple(workloads), ("shop",))


def test_through_the_gateway_that_serves_the_host() -> None:
    gate = service("ingress", "istio-system", "gate", 80)
    found = entry_for(snapshot(gate), "gateway", "http://a.example/x", "shop")
    assert (found.address, found.host, found.proxied) == ("10.9.0.1:80", "a.example", False)
    assert found.words == "through the gateway ingress.istio-system, at its cluster IP"
    balanced = {**gate, "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}}
    found = entry_for(snapshot(balanced), "gateway", "http://a.example/x", "shop")
    assert (found.address, found.words) == ("203.0.113.7:80", "through the gateway ingress.istio-system")


def test_the_gateway_that_meshchaos_yaml_names() -> None:
    def to(**more: Any) -> str:
        return entry_for(snapshot(), "gateway", "http://a.example/x", "shop", **more).address

    assert to(gateway_address="10.0.0.5") == "10.0.0.5:80"
    assert to(gateway_address="10.0.0.5:8080") == "10.0.0.5:8080"
    assert to(gateway_address="[fd00::1]:8080") == "[fd00::1]:8080"
    with pytest.raises(UserError, match=r"there is no Service nope.istio-system"):
        to(gateway_service="nope")


def test_over_tls_to_the_gateway() -> None:
    ports = {"ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}]}
    gate = service("ingress", "istio-system", "gate", 80, spec=ports)
    found = entry_for(snapshot(gate), "gateway", "https://a.example/x", "shop", gateway_tls=Tls("", "PEM", "c", "k"))
    assert (found.address, found.host, found.tls) == ("10.9.0.1:443", "a.example", Tls("a.example", "PEM", "c", "k"))
    assert found.words.endswith(", over TLS")
    assert Entry.of(asdict(found)) == found
    assert entry_for(snapshot(gate), "gateway", "http://a.example/x", "shop").tls is None
    named = entry_for(snapshot(), "gateway", "https://a.example:8443/", "shop", gateway_address="10.0.0.5")
    assert (named.address, named.host, named.tls) == ("10.0.0.5:8443", "a.example:8443", Tls("a.example"))
    with pytest.raises(UserError, match="certFile stays on this machine"):
        away(found, "gateway", snapshot(gate), "https://a.example/x", "shop")


def test_from_outside_to_the_service() -> None:
    found = entry_for(snapshot(), "outside", "http://web:8000/", "shop")
    assert (found.address, found.host) == ("10.9.0.1:8000", "web:8000")


@pytest.mark.parametrize(
    ("source", "url", "words"),
    [
        ("gateway", "https://a.org/", r"no gateway that was found serves a.org on port 443 with TLS; .*443 \(HTTPS\)"),
        ("gateway", "http://a.example:443/", r"no gateway that was found serves a.example on port 443 with HTTP; "),
        ("outside", "https://web:8000/", "https is what a gateway speaks; from outside use http"),
        (
            "gateway",
            "http://elsewhere.org/",
            r"no gateway that was found serves elsewhere.org on port 80 with HTTP; .*\*.example on",
        ),
        ("outside", "http://web:81/", r"Service web.shop has no port 81; it has 8000"),
        ("wep", "http://web:8000/", r"there is no workload 'wep' in namespace shop"),
        ("gateway", "ftp://a/", "is not a URL of the form"),
    ],
)
def test_mistakes_say_what_there_is(source: str, url: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        entry_for(snapshot(service("ingress", "istio-system", "gate", 80)), source, url, "shop")


def test_a_service_without_an_address() -> None:
    headless = service("h", "shop", "web", 8000, spec={"clusterIP": "None"})
    with pytest.raises(UserError, match=r"Service h.shop has no address of its own"):
        entry_for(snapshot(headless), "outside", "http://h:8000/", "shop")


def test_from_a_workload_by_a_pod_with_its_identity() -> None:
    headless = service("h", "shop", "web", 8000, spec={"clusterIP": "None"})
    mesh = snapshot(service("web", "shop", "web", 8000), headless)
    found = entry_for(mesh, "web", "http://web:8000/x", "shop")
    assert (found.address, found.host, found.proxied, found.at) == ("10.9.0.1:8000", "web:8000", False, "web.shop")
    assert found.words == "from a Pod with the identity of web.shop, through its sidecar"
    assert entry_for(mesh, "web", "http://h:8000/", "shop").address == "h:8000", "looked up in the Pod"
    with pytest.raises(UserError, match=r"Service web.shop has no port 81; it has 8000"):
        entry_for(mesh, "web", "http://web:81/", "shop")


def test_a_machine_that_reaches_nothing_sends_from_a_pod_without_a_sidecar() -> None:
    front = service("front", "shop", "web", 8000)
    balanced = {**front, "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}}
    mesh, url = snapshot(balanced), "http://front:8000/"
    here = entry_for(mesh, "outside", url, "shop")
    found = away(here, "outside", mesh, url, "shop")
    assert (here.address, found.address, found.at) == ("203.0.113.7:8000", "10.9.0.1:8000", "outside.shop")
    assert found.words.endswith("to front.shop:8000, from a Pod without a sidecar")
