"""Edges as they are found on a mesh, and what is known of them beforehand."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshchaos.history.asks import EdgeAsk
from meshchaos.mesh.objects import Manifest
from meshchaos.mesh.seam import Replica, Snapshot, Workload
from meshchaos.run.edges import edge_of
from tests.mesh.local.small_mesh import NAMESPACE, manifests

ASK = EdgeAsk("api", ("web",))


def workload(name: str) -> Workload:
    replica = Replica(f"{name}-1", name, NAMESPACE, "10.0.0.1", {"app": name}, name, sidecar=True)
    return Workload(name, NAMESPACE, {"app": name}, name, sidecar=True, gateway=False, replicas=(replica,))


def route(attempts: int) -> Manifest:
    return {
        "kind": "VirtualService",
        "metadata": {"name": "api", "namespace": NAMESPACE},
        "spec": {"hosts": ["api"], "http": [{"retries": {"attempts": attempts}}]},
    }


def mesh_config(text: dict[str, Any]) -> Manifest:
    meta = {"name": "istio", "namespace": "istio-system"}
    return {"kind": "ConfigMap", "metadata": meta, "data": {"mesh": yaml.safe_dump(text)}}


@pytest.mark.parametrize(
    ("before", "under", "most"),
    [
        ([], [], 3),
        ([route(5)], [], 6),
        ([route(5)], [route(9)], 10),
        ([route(5)], [route(0)], 6),
        ([mesh_config({"defaultHttpRetryPolicy": {"attempts": 7}})], [], 8),
        ([{"kind": "HTTPRoute", "metadata": {}, "spec": {"rules": [{"retry": {"attempts": 4}}]}}], [], 5),
    ],
)
def test_the_most_attempts_are_those_of_any_route_before_or_under_the_faults(
    before: list[Manifest], under: list[Manifest], most: int
) -> None:
    objects = tuple(one for one in manifests() if one["metadata"]["name"] != "istio")
    mesh = Snapshot((*objects, *before), (workload("web"), workload("api")), (NAMESPACE,))
    record = edge_of(ASK, mesh, NAMESPACE, under)
    assert record.most_attempts == most
    assert [peer.identity for peer in record.clients] == [f"spiffe://cluster.local/ns/{NAMESPACE}/sa/web"]
