"""Hand-made meshes like bookinfo, for faults that are computed without one."""

from __future__ import annotations

import copy
from typing import Any

from meshchaos.mesh.objects import Manifest
from meshchaos.mesh.seam import Replica, Snapshot, Workload

NAMESPACE = "bookinfo"
RATINGS = "ratings.bookinfo.svc.cluster.local"
REVIEWS = "reviews.bookinfo.svc.cluster.local"


def manifest(kind: str, name: str, spec: dict[str, Any], namespace: str = NAMESPACE, **metadata: Any) -> Manifest:
    meta = {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z", **metadata}
    return {"kind": kind, "metadata": meta, "spec": spec}


def service(name: str, *, port: int = 9080, port_name: str = "http", **more: Any) -> Manifest:
    spec = {"selector": {"app": name}, "ports": [{"port": port, "name": port_name}], **more}
    return manifest("Service", name, spec)


def workload(
    app: str, version: str = "v1", *, replicas: int = 1, account: str | None = None, sidecar: bool = True
) -> Workload:
    labels = {"app": app, "version": version}
    name = f"{app}-{version}"
    pods = tuple(
        Replica(
            name=f"{name}-{number}",
            workload=name,
            namespace=NAMESPACE,
            address=f"127.64.0.{number + 2}",
            labels={**labels, "pod-template-hash": "abc"},
            service_account=account or f"bookinfo-{app}",
            sidecar=sidecar,
        )
        for number in range(replicas)
    )
    return Workload(name, NAMESPACE, labels, account or f"bookinfo-{app}", sidecar, False, pods)


def gateway_workload() -> Workload:
    labels = {"istio": "ingressgateway"}
    pod = Replica("ingress-0", "ingress", "istio-system", "127.64.0.99", labels, "ingress", False)
    return Workload("ingress", "istio-system", labels, "ingress", False, True, (pod,))


def virtual_service(name: str, hosts: list[str], http: list[dict[str, Any]], **more: Any) -> Manifest:
    extra = {key: more.pop(key) for key in ("gateways", "exportTo") if key in more}
    return manifest("VirtualService", name, {"hosts": hosts, **extra, "http": http}, **more)


STARS = {
    "name": "stars",
    "route": [{"destination": {"host": "ratings"}}],
    "timeout": "500ms",
    "retries": {"attempts": 5, "retryOn": "5xx"},
}


def bookinfo(*objects: Manifest, without: tuple[str, ...] = (), workloads: tuple[Workload, ...] = ()) -> Snapshot:
    """The shop: productpage, details, reviews v1..v3, ratings (two replicas), a gateway. ``objects`` are added,
    objects named in ``without`` left out, ``workloads`` replace those of their name or are added.
    """
    base: list[Manifest] = [
        *(service(name) for name in ("productpage", "details", "reviews", "ratings")),
        manifest(
            "Gateway",
            "bookinfo",
            {"selector": {"istio": "ingressgateway"}, "servers": [{"hosts": ["bookinfo.example"]}]},
        ),
        virtual_service(
            "bookinfo",
            ["bookinfo.example"],
            [
                {
                    "name": "page",
                    "match": [{"uri": {"exact": "/productpage"}, "name": "exact"}, {"uri": {"prefix": "/static"}}],
                    "route": [{"destination": {"host": "productpage", "port": {"number": 9080}}}],
                }
            ],
            gateways=["bookinfo"],
        ),
        virtual_service("ratings", ["ratings"], [STARS]),
        *objects,
    ]
    known = {
        one.name: one
        for one in (
            workload("productpage"),
            workload("details"),
            *(workload("reviews", version) for version in ("v1", "v2", "v3")),
            workload("ratings", replicas=2),
            gateway_workload(),
            *workloads,
        )
    }
    kept = [
        copy.deepcopy(item) for item in base if item["metadata"]["name"] not in without or item["kind"] == "Service"
    ]
    return Snapshot(tuple(copy.deepcopy(kept)), tuple(known.values()), (NAMESPACE,))
