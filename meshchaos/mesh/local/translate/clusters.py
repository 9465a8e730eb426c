"""Clusters and endpoints of one proxy (``networking/core/cluster.go``, ``cluster_builder.go``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshchaos.mesh.istio.destination_rules import subset as subset_of
from meshchaos.mesh.istio.destination_rules import traffic_policy
from meshchaos.mesh.istio.services import Service, ServicePort
from meshchaos.mesh.local.translate.index import Index, Target
from meshchaos.mesh.local.translate.marks import renewed
from meshchaos.mesh.local.translate.names import (
    BLACK_HOLE_CLUSTER,
    PASSTHROUGH_CLUSTER,
    Json,
    config,
    extension,
    host_and_port,
    inbound_cluster,
    metadata,
    outbound_cluster,
    sni,
    socket_address,
    stat_name,
)
from meshchaos.mesh.local.translate.static_endpoints import far_sources, static_assignment
from meshchaos.mesh.local.translate.tls import RAW_BUFFER, socket_matches, upstream_mutual
from meshchaos.mesh.local.translate.traffic_policy import (
    HTTP_PROTOCOL_OPTIONS,
    connection_pool,
    http_protocol_options,
    load_balancer,
    outlier_detection,
    speaks_http2,
)
from meshchaos.mesh.local.world import LocalReplica, bind_port, config_source
from meshchaos.mesh.objects import Manifest, selects

TUNNEL_CLUSTER = "connect_http"
"""Leads CONNECT requests for HTTP ports back into this proxy, so that their content meets its routes."""
TUNNEL_LISTENER = "connect_http"


def clusters(index: Index, replica: LocalReplica) -> dict[str, Json]:
    """All clusters of a proxy by name. The outbound ones are shared (the same objects) by like clients."""
    result = {name: renewed(replica, cluster) for name, cluster in _outbound(index, replica).items()}
    result[BLACK_HOLE_CLUSTER] = _BLACK_HOLE
    result[PASSTHROUGH_CLUSTER] = _PASSTHROUGH
    if not replica.gateway:
        result[TUNNEL_CLUSTER] = _TUNNEL
        for target in index.targets(replica):
            application = replica.applications.get(target.number)
            if application is not None:
                result[inbound_cluster(target.number)] = _inbound(index, replica, target, application)
    return result


def endpoints(index: Index, replica: LocalReplica) -> dict[str, Json]:
    """The load assignments of a proxy's outbound clusters by name: the same objects for like clients."""
    key = index.rule_class(replica)
    found = index.endpoint_sets.get(key)
    if found is None:
        found = index.endpoint_sets[key] = {
            outbound_cluster(port.number, subset, service.host): _assignment(index, service, port, subset, rule)
            for service, port, subset, rule in _destinations(index, replica)
        }
    return found


def _destinations(index: Index, replica: LocalReplica) -> list[tuple[Service, ServicePort, str, Manifest | None]]:
    found: list[tuple[Service, ServicePort, str, Manifest | None]] = []
    for service in index.services_of(replica.namespace).values():
        rule = index.rule(service.host, replica)
        names = ["", *(str(item["name"]) for item in (rule or {}).get("spec", {}).get("subsets") or ())]
        for port in service.ports:
            if port.protocol != "udp":
                found.extend((service, port, name, rule) for name in names)
    return found


def _outbound(index: Index, replica: LocalReplica) -> dict[str, Json]:
    key = index.rule_class(replica)
    found = index.clusters.get(key)
    if found is None:
        found = index.clusters[key] = {}
        for service, port, subset, rule in _destinations(index, replica):
            place = (key, service.host, port.number, subset)
            entry = service if service.entry else None
            inputs = (rule, index.identities_of(service), index.namespace_mode(service.namespace), entry)
            kept = index.single_clusters.get(place)
            if kept is None or kept[0] != inputs:
                kept = index.single_clusters[place] = (inputs, _cluster(index, service, port, subset, rule))
            found[outbound_cluster(port.number, subset, service.host)] = kept[1]
    return found


def _cluster(index: Index, service: Service, port: ServicePort, subset: str, rule: Manifest | None) -> Json:
    name = outbound_cluster(port.number, subset, service.host)
    policy = traffic_policy(rule, port.number, subset or None)
    protocol = port.protocol
    fields: Json = config(
        "cluster.v3.Cluster",
        name=name,
        alt_stat_name=stat_name(name),
        type="EDS",
        eds_cluster_config={"eds_config": config_source(), "service_name": name},
        **connection_pool(policy),
        **load_balancer(policy),
        **outlier_detection(policy),
    )
    options = http_protocol_options(policy, protocol)
    if options:
        fields["typed_extension_protocol_options"] = options
    fields.update(_transport(index, service, port, subset, policy))
    if service.entry:
        fields.update(far_sources(service))
    fields["metadata"] = metadata(
        owner=rule,
        services=[{"host": service.host, "name": service.name, "namespace": service.namespace}],
        **({"subset": subset} if subset else {}),
    )
    return fields


def _transport(index: Index, service: Service, port: ServicePort, subset: str, policy: Any) -> Json:
    tls = policy.get("tls")
    server_name = sni(port.number, subset, service.host)
    identities = index.identities_of(service)
    http2 = speaks_http2(policy, port.protocol)
    if tls is None:
        if service.external or index.namespace_mode(service.namespace) == "DISABLE":
            return {}
        return {"transport_socket_matches": socket_matches(upstream_mutual(server_name, identities, http2=http2))}
    if tls.get("mode") == "ISTIO_MUTUAL":
        names = tls.get("subjectAltNames") or identities
        return {"transport_socket": upstream_mutual(tls.get("sni") or server_name, names, http2=http2)}
    # DISABLE; other modes are refused when the object is stored.
    return {"transport_socket": RAW_BUFFER}


def _assignment(index: Index, service: Service, port: ServicePort, subset: str, rule: Manifest | None) -> Json:
    chosen = subset_of(rule, subset) if subset else None
    labels = dict((chosen or {}).get("labels") or {})
    if service.endpoints:
        return static_assignment(index, service, port, subset, labels)
    if service.entry:
        return _of_members(index, service, port, subset, labels)
    key = (service.host, port.number, subset, tuple(sorted(labels.items())))
    found = index.endpoints.get(key)
    if found is None:
        found = index.endpoints[key] = _of_members(index, service, port, subset, labels)
    return found


def _of_members(index: Index, service: Service, port: ServicePort, subset: str, labels: Mapping[str, str]) -> Json:
    hosts = [
        endpoint
        for member in index.members(service)
        if member.serving and selects(labels, member.labels)
        if (endpoint := _endpoint(index, member, port)) is not None
    ]
    return config(
        "endpoint.v3.ClusterLoadAssignment",
        cluster_name=outbound_cluster(port.number, subset, service.host),
        endpoints=[{"locality": {}, "lb_endpoints": hosts, "load_balancing_weight": len(hosts)}] if hosts else [],
    )


def _endpoint(index: Index, member: LocalReplica, port: ServicePort) -> Json | None:
    number = index.target_port(port, member)
    if number is None:
        return None
    workload = f"{member.workload};{member.namespace};{member.labels.get('app', '')};{member.labels.get('version', '')}"
    fields: Json = {"istio": {"workload": workload}}
    if member.sidecar and not member.gateway:
        # A server that takes no mutual TLS is spoken to in plaintext (``xds/endpoints/mtls_checker.go``).
        if index.mode(member, number) != "DISABLE":
            fields["envoy.transport_socket_match"] = {"tlsMode": "istio"}
        address = socket_address(member.address, bind_port(number))
    elif member.gateway:
        address = socket_address(member.address, bind_port(number))
    elif number in member.applications:
        address = host_and_port(member.applications[number])
    else:
        return None
    return {
        "endpoint": {"address": address},
        "health_status": "HEALTHY",
        "load_balancing_weight": 1,
        "metadata": {"filter_metadata": fields},
    }


def _inbound(index: Index, replica: LocalReplica, target: Target, application: str) -> Json:
    """To the replica's own program. The rule's connectionPool acts here too, its outlierDetection does not."""
    name = inbound_cluster(target.number)
    policy = traffic_policy(index.rule(target.service.host, replica), target.port.number)
    fields = config(
        "cluster.v3.Cluster",
        name=name,
        alt_stat_name=stat_name(name),
        type="STATIC",
        lb_policy="ROUND_ROBIN",
        load_assignment={
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": host_and_port(application)}}]}],
        },
        **connection_pool(policy),
    )
    options = http_protocol_options(policy, target.port.protocol, inbound=True)
    if options:
        fields["typed_extension_protocol_options"] = options
    return fields


_BLACK_HOLE: Json = config(
    "cluster.v3.Cluster", name=BLACK_HOLE_CLUSTER, type="STATIC", connect_timeout="10s", lb_policy="ROUND_ROBIN"
)

_PASSTHROUGH: Json = config(
    "cluster.v3.Cluster",
    name=PASSTHROUGH_CLUSTER,
    type="ORIGINAL_DST",
    lb_policy="CLUSTER_PROVIDED",
    **connection_pool({}),
    typed_extension_protocol_options={
        HTTP_PROTOCOL_OPTIONS: extension(
            "upstreams.http.v3.HttpProtocolOptions",
            use_downstream_protocol_config={"http_protocol_options": {}, "http2_protocol_options": {}},
        )
    },
)

_TUNNEL: Json = config(
    "cluster.v3.Cluster",
    name=TUNNEL_CLUSTER,
    type="STATIC",
    **connection_pool({}),
    load_assignment={
        "cluster_name": TUNNEL_CLUSTER,
        "endpoints": [
            {
                "lb_endpoints": [
                    {"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": TUNNEL_LISTENER}}}}
                ]
            }
        ],
    },
)
