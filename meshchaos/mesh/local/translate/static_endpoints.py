"""Endpoints that ServiceEntries name themselves (``xds/endpoints/endpoint_builder.go``)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from meshchaos.mesh.istio.peer_authentication import mode
from meshchaos.mesh.istio.services import Service, ServicePort, StaticEndpoint
from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.translate.names import Json, config, outbound_cluster, socket_address
from meshchaos.mesh.objects import selects

_LOCALITY = ("region", "zone", "sub_zone")


def static_assignment(
    index: Index, service: Service, port: ServicePort, subset: str, labels: Mapping[str, str]
) -> Json:
    """The load assignment of one cluster: those with the subset's labels, by locality."""
    by_locality: dict[str, list[Json]] = {}
    for one in service.endpoints:
        number = one.ports.get(port.number)
        if number is not None and selects(labels, one.labels):
            by_locality.setdefault(one.locality, []).append(_endpoint(index, service, one, number))
    return config(
        "endpoint.v3.ClusterLoadAssignment",
        cluster_name=outbound_cluster(port.number, subset, service.host),
        endpoints=[
            {
                "locality": dict(zip(_LOCALITY, locality.split("/"), strict=False)) if locality else {},
                "lb_endpoints": hosts,
                "load_balancing_weight": sum(host["load_balancing_weight"] for host in hosts),
            }
            for locality, hosts in sorted(by_locality.items())
        ],
    )


def far_sources(service: Service) -> Json:
    """Where an endpoint is not on loopback, its connections cannot come from a replica's own loopback address."""
    near = all(ipaddress.ip_address(one.address).is_loopback for one in service.endpoints)
    return {} if near else {"upstream_bind_config": {"source_address": {"address": "0.0.0.0", "port_value": 0}}}


def _endpoint(index: Index, service: Service, one: StaticEndpoint, number: int) -> Json:
    workload = f"{one.entry};{service.namespace};{one.labels.get('app', '')};{one.labels.get('version', '')}"
    fields: Json = {"istio": {"workload": workload}}
    # As for replicas: whoever is told to take no mutual TLS is spoken to in plaintext.
    demands = index.of_kind("PeerAuthentication")
    if one.mutual and mode(demands, service.namespace, one.labels, number) != "DISABLE":
        fields["envoy.transport_socket_match"] = {"tlsMode": "istio"}
    return {
        "endpoint": {"address": socket_address(one.address, number)},
        "health_status": "HEALTHY",
        "load_balancing_weight": one.weight,
        "metadata": {"filter_metadata": fields},
    }
