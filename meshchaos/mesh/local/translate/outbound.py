"""Listeners for what a proxy sends: a sidecar's HTTP proxy and service ports, a gateway's ports."""

from __future__ import annotations

from meshchaos.mesh.istio.ports import is_http, may_be_http
from meshchaos.mesh.local.translate.clusters import TUNNEL_LISTENER
from meshchaos.mesh.local.translate.gateway import Server, servers
from meshchaos.mesh.local.translate.http_manager import connection_manager
from meshchaos.mesh.local.translate.inbound import TLS_INSPECTOR, tcp_proxy
from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.translate.names import (
    HTTP_PROXY,
    VIRTUAL_OUTBOUND,
    Json,
    config,
    extension,
    outbound_cluster,
    socket_address,
)
from meshchaos.mesh.local.translate.security import security_filters
from meshchaos.mesh.local.translate.tls import ANY_NAME, downstream_simple
from meshchaos.mesh.local.world import OUTBOUND_PORT, LocalReplica, bind_port


def sidecar_listeners(index: Index, replica: LocalReplica) -> list[Json]:
    """The explicit HTTP proxy, the inside of its tunnels, and a listener for each service port that has one."""
    headers = index.world.log_headers
    proxy = connection_manager(
        replica, "outbound", stat_prefix=f"outbound_0.0.0.0_{OUTBOUND_PORT}", routes=HTTP_PROXY,
        log_headers=headers, proxy=True,
    )  # fmt: skip
    tunnel = connection_manager(
        replica, "outbound", stat_prefix="outbound_connect", routes=HTTP_PROXY, log_headers=headers
    )
    inside = _listener(TUNNEL_LISTENER, [{"filters": [tunnel]}])
    inside["internal_listener"] = {}
    own = [
        _service_port(index, replica, name, bound)
        for name, bound in sorted(replica.service_ports.items())
        if _known(index, replica, name)
    ]
    return [_bound(VIRTUAL_OUTBOUND, replica, OUTBOUND_PORT, [{"filters": [proxy]}]), inside, *own]


def gateway_listeners(index: Index, replica: LocalReplica) -> list[Json]:
    """One listener for each port that a Gateway of this proxy serves; over TLS with a chain for each server."""
    by_target: dict[int, list[Server]] = {}
    for server in servers(index, replica):
        by_target.setdefault(server.target, []).append(server)
    result = []
    security = security_filters(index, replica).http
    for target, group in sorted(by_target.items()):
        name = f"0.0.0.0_{target}"
        secure = [server for server in group if server.secure]
        chains = []
        for server in secure or group[:1]:
            manager = connection_manager(
                replica,
                "gateway",
                stat_prefix=f"outbound_{name}",
                routes=server.routes,
                log_headers=index.world.log_headers,
                security=security,
            )
            chains.append({"filters": [manager], **(_by_sni(server) if secure else {})})
        listener = _bound(name, replica, bind_port(target), chains)
        if secure:
            listener["listener_filters"] = [TLS_INSPECTOR]
        result.append(listener)
    return result


def _by_sni(server: Server) -> Json:
    names = [ANY_NAME] if server.any_name else sorted(server.names)
    chain: Json = {"name": server.routes, "transport_socket": downstream_simple(names, server.versions)}
    if not server.any_name:
        chain["filter_chain_match"] = {"server_names": list(server.names)}
    return chain


def _known(index: Index, replica: LocalReplica, name: str) -> bool:
    host, _, number = name.rpartition(":")
    service = index.services_of(replica.namespace).get(host)
    return service is not None and service.port(int(number)) is not None


def _service_port(index: Index, replica: LocalReplica, name: str, bound: int) -> Json:
    """HTTP where the port says so, else TCP, and what the client speaks first where it says nothing."""
    host, _, number = name.rpartition(":")
    port = index.services_of(replica.namespace)[host].port(int(number))
    protocol = port.protocol if port else "tcp"
    cluster = outbound_cluster(int(number), "", host)
    chains: list[Json] = []
    if may_be_http(protocol):
        manager = connection_manager(
            replica, "outbound", stat_prefix=f"outbound_{name}", routes=name, log_headers=index.world.log_headers
        )
        match = {"transport_protocol": "raw_buffer", "application_protocols": ["http/1.1", "h2c"]}
        chains.append({"filters": [manager], **({} if is_http(protocol) else {"filter_chain_match": match})})
    if not is_http(protocol):
        chains.append({"filters": [tcp_proxy(replica, "outbound", cluster, stat_prefix=cluster)]})
    listener = _bound(name, replica, bound, chains)
    if protocol == "auto":
        listener["listener_filters"] = [
            {
                "name": "envoy.filters.listener.http_inspector",
                "typed_config": extension("filters.listener.http_inspector.v3.HttpInspector"),
            }
        ]
        listener["listener_filters_timeout"] = "0s"
        listener["continue_on_listener_filters_timeout"] = True
    return listener


def _bound(name: str, replica: LocalReplica, port: int, chains: list[Json]) -> Json:
    return {**_listener(name, chains), "address": socket_address(replica.address, port)}


def _listener(name: str, chains: list[Json]) -> Json:
    return config("listener.v3.Listener", name=name, traffic_direction="OUTBOUND", filter_chains=chains)
