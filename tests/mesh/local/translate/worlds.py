"""Objects and replicas of the tests: a page that calls ratings (two versions), and a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshchaos.mesh.local.addresses import AddressBlock
from meshchaos.mesh.local.translate import Index, outbound_routes
from meshchaos.mesh.local.world import LocalReplica, World
from meshchaos.mesh.objects import Manifest

_clock = iter(range(10**6))


def made(kind: str, name: str, namespace: str, spec: dict[str, Any], **metadata: Any) -> Manifest:
    """An object as the store keeps it, each younger than the one before."""
    second = next(_clock)
    stamp = f"2026-01-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"
    return {
        "apiVersion": "x",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": stamp, "uid": str(second), **metadata},
        "spec": spec,
    }


def service(name: str, namespace: str = "shop", port: int = 9080, /, **fields: Any) -> Manifest:
    ports = [{"name": "http", "port": port, **fields}]
    return made("Service", name, namespace, {"selector": {"app": name}, "ports": ports})


def virtual_service(host: str, *http: dict[str, Any], name: str = "", **spec: Any) -> Manifest:
    return made("VirtualService", name or host, "shop", {"hosts": [host], "http": list(http), **spec})


def to(host: str = "ratings", subset: str = "", weight: int | None = None, **extra: Any) -> dict[str, Any]:
    destination: dict[str, Any] = {"host": host, **({"subset": subset} if subset else {})}
    return {"destination": destination, **({} if weight is None else {"weight": weight}), **extra}


def destination_rule(host: str = "ratings", name: str = "", namespace: str = "shop", **spec: Any) -> Manifest:
    return made("DestinationRule", name or host, namespace, {"host": host, **spec})


SUBSETS = [{"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {"version": "v2"}}]


def server_fault(fault: dict[str, Any], app: str = "ratings", name: str = "chaos-1", **match: Any) -> Manifest:
    """The fault at the server's own proxy, as an EnvoyFilter."""
    fields = {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault", **fault}
    vhost = {"name": "inbound|http|9080", "route": {"name": "default"}}
    patch = {
        "applyTo": "HTTP_ROUTE",
        "match": {"context": "SIDECAR_INBOUND", "routeConfiguration": {"name": "inbound|9080||", "vhost": vhost}},
        "patch": {
            "operation": "MERGE",
            "value": {"typed_per_filter_config": {"envoy.filters.http.fault": fields}},
        },
    }
    spec = {"workloadSelector": {"labels": {"app": app, **match}}, "configPatches": [patch]}
    return made("EnvoyFilter", name, "shop", spec)


def aborted(status: int, share: float = 100) -> dict[str, Any]:
    percentage = {"numerator": int(share * 10_000), "denominator": "MILLION"}
    return {"abort": {"http_status": status, "percentage": percentage}}


def base_objects() -> list[Manifest]:
    gateway = {
        "selector": {"istio": "ingressgateway"},
        "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["shop.example"]}],
    }
    ingress = {
        "selector": {"istio": "ingressgateway"},
        "ports": [{"name": "http2", "port": 80, "targetPort": 8080}],
    }
    return [
        service("page"),
        service("ratings"),
        *(
            made("Service", name, "shop", {"selector": {"app": "ratings"}, "ports": [{"name": port, "port": number}]})
            for name, port, number in (("sniffed", "", 7000), ("raw", "tcp-raw", 7001))
        ),
        made("Service", "istio-ingressgateway", "istio-system", ingress),
        made("Gateway", "shop", "shop", gateway),
        virtual_service("shop.example", {"route": [to("ratings")]}, name="way-in", gateways=["shop"]),
    ]


def replica(name: str, address: str, **fields: Any) -> LocalReplica:
    values: dict[str, Any] = {
        "namespace": "shop",
        "workload": name,
        "labels": {"app": name},
        "service_account": name,
        "sidecar": True,
        "gateway": False,
        "serving": True,
        "applications": {9080: "127.0.0.1:1"},
        "service_ports": {},
        "directory": "/nowhere",
        "admin": "/nowhere/admin.sock",
        "xds": "/nowhere/xds.sock",
    }
    return LocalReplica(name=name, address=address, **{**values, **fields})


def base_replicas(block: AddressBlock) -> list[LocalReplica]:
    def ratings(version: str) -> LocalReplica:
        labels = {"app": "ratings", "version": version}
        name = f"ratings-{version}"
        return replica(name, block.replica(), labels=labels, service_account="ratings")

    known = ("ratings.shop", 9080, 16000), ("sniffed.shop", 7000, 16001), ("raw.shop", 7001, 16002)
    ports = {f"{name}.svc.cluster.local:{port}": bound for name, port, bound in known}
    return [
        replica("page", block.replica(), service_ports=ports),
        ratings("v1"),
        ratings("v2"),
        replica(
            "gateway",
            block.replica(),
            namespace="istio-system",
            labels={"istio": "ingressgateway"},
            gateway=True,
            applications={},
        ),
    ]


PAGE = replica("page", "127.64.0.2", service_ports={"ratings.shop.svc.cluster.local:9080": 16000})
RATINGS = replica("ratings-v1", "127.64.0.3", labels={"app": "ratings", "version": "v1"}, service_account="ratings")
GATEWAY = replica(
    "gateway", "127.64.0.4", namespace="istio-system", labels={"istio": "ingressgateway"}, gateway=True, applications={}
)
REPLICAS = (PAGE, RATINGS, GATEWAY)
HOST = "ratings.shop.svc.cluster.local"


def index(*extra: Manifest, replicas: tuple[LocalReplica, ...] = REPLICAS, before: Index | None = None) -> Index:
    return Index(World((*BASE, *extra), replicas, service_addresses={HOST: "127.64.15.1"}), before)


BASE = base_objects()


def virtual_host(routes: Mapping[str, Any], name: str) -> Any:
    return next(host for host in routes["http_proxy"]["virtual_hosts"] if host["name"] == name)


def routes_of(*rules: dict[str, Any], **spec: Any) -> Any:
    found = outbound_routes(index(virtual_service("ratings", *rules, **spec)), PAGE)
    return virtual_host(found, f"{HOST}:9080")["routes"][1:]
