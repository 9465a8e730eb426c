"""A sidecar's inbound listener (``listener_inbound.go``, ``filterchain_options.go``).

One listener on the replica's own address, bound to each container port that a Service leads to: the filter chains
match the port that was called, as under Istio, where iptables redirects to one port.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from meshchaos.mesh.istio.peer_authentication import Mode
from meshchaos.mesh.istio.ports import is_http
from meshchaos.mesh.local.translate.access_log import connection_log
from meshchaos.mesh.local.translate.http_manager import connection_manager
from meshchaos.mesh.local.translate.index import Index, Target
from meshchaos.mesh.local.translate.names import (
    BLACK_HOLE_CLUSTER,
    ISTIO_MTLS_ALPN,
    VIRTUAL_INBOUND,
    Json,
    config,
    extension,
    inbound_cluster,
    socket_address,
)
from meshchaos.mesh.local.translate.security import SecurityFilters, security_filters
from meshchaos.mesh.local.translate.tls import downstream_mutual
from meshchaos.mesh.local.world import INBOUND_PORT, LocalReplica, bind_port

_MTLS_HTTP = ("istio-http/1.0", "istio-http/1.1", "istio-h2")
_MTLS_TCP = ("istio-peer-exchange", "istio")
_PLAIN_HTTP = ("http/1.1", "h2c")

TLS_INSPECTOR: Json = {
    "name": "envoy.filters.listener.tls_inspector",
    "typed_config": extension("filters.listener.tls_inspector.v3.TlsInspector"),
}


@dataclass(frozen=True, slots=True)
class _Chain:
    """What one filter chain of a port takes: ``tls`` terminated by us (``mutual``), passed on, or plaintext."""

    http: bool
    tls: bool
    mutual: bool = False
    alpn: tuple[str, ...] = ()


_Kind = Literal["http", "auto", "tcp"]

_CHAINS: dict[tuple[_Kind, Mode], tuple[_Chain, ...]] = {
    ("http", "PERMISSIVE"): (
        _Chain(http=True, tls=True, mutual=True, alpn=ISTIO_MTLS_ALPN),
        _Chain(http=True, tls=False),
    ),
    ("http", "STRICT"): (_Chain(http=True, tls=True, mutual=True),),
    ("http", "DISABLE"): (_Chain(http=True, tls=False),),
    ("auto", "PERMISSIVE"): (
        _Chain(http=True, tls=True, mutual=True, alpn=_MTLS_HTTP),
        _Chain(http=True, tls=False, alpn=_PLAIN_HTTP),
        _Chain(http=False, tls=True, mutual=True, alpn=_MTLS_TCP),
        _Chain(http=False, tls=False),
        _Chain(http=False, tls=True),
    ),
    ("auto", "STRICT"): (
        _Chain(http=True, tls=True, mutual=True, alpn=_MTLS_HTTP),
        _Chain(http=False, tls=True, mutual=True),
    ),
    ("auto", "DISABLE"): (_Chain(http=True, tls=False, alpn=_PLAIN_HTTP), _Chain(http=False, tls=False)),
    ("tcp", "PERMISSIVE"): (
        _Chain(http=False, tls=True, mutual=True, alpn=ISTIO_MTLS_ALPN),
        _Chain(http=False, tls=True),
        _Chain(http=False, tls=False),
    ),
    ("tcp", "STRICT"): (_Chain(http=False, tls=True, mutual=True),),
    ("tcp", "DISABLE"): (_Chain(http=False, tls=False),),
}


def inbound_listener(index: Index, replica: LocalReplica) -> Json:
    """``virtualInbound`` of a sidecar."""
    targets = [target for target in index.targets(replica) if target.number in replica.applications]
    chains = [_black_hole()]
    filters = security_filters(index, replica)
    sniffed: list[int] = []
    for target in targets:
        kind: _Kind = "http" if is_http(target.port.protocol) else "auto" if target.port.protocol == "auto" else "tcp"
        demanded = index.mode(replica, target.number)
        if kind == "auto" and demanded != "STRICT":
            sniffed.append(target.number)
        chains += [_filter_chain(index, replica, target, chain, filters) for chain in _CHAINS[kind, demanded]]
    return config(
        "listener.v3.Listener",
        name=VIRTUAL_INBOUND,
        address=socket_address(replica.address, INBOUND_PORT),
        additional_addresses=[
            {"address": socket_address(replica.address, bind_port(target.number))} for target in targets
        ],
        traffic_direction="INBOUND",
        filter_chains=chains,
        listener_filters=_inspectors(targets, sniffed),
        listener_filters_timeout="0s",
        continue_on_listener_filters_timeout=True,
    )


def _filter_chain(
    index: Index, replica: LocalReplica, target: Target, chain: _Chain, security: SecurityFilters
) -> Json:
    name = f"0.0.0.0_{target.number}"
    match: Json = {
        "destination_port": bind_port(target.number),
        "transport_protocol": "tls" if chain.tls else "raw_buffer",
    }
    if chain.alpn:
        match["application_protocols"] = list(chain.alpn)
    headers = index.world.log_headers
    cluster = inbound_cluster(target.number)
    if chain.http:
        filters = [
            connection_manager(
                replica,
                "inbound",
                stat_prefix=f"inbound_{name}",
                routes=cluster,
                log_headers=headers,
                security=security.http,
            )
        ]
    else:
        filters = [*security.tcp, tcp_proxy(replica, "inbound", cluster, stat_prefix=cluster)]
    fields: Json = {"name": name, "filter_chain_match": match, "filters": filters}
    if chain.mutual:
        fields["transport_socket"] = downstream_mutual(http=chain.http)
    return fields


def tcp_proxy(replica: LocalReplica, side: str, cluster: str, *, stat_prefix: str) -> Json:
    """The network filter of a TCP filter chain; its log lines have no method."""
    fields = extension(
        "filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix=stat_prefix,
        cluster=cluster,
        **connection_log(replica.logs or replica.directory, side),
    )
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": fields}


def _black_hole() -> Json:
    """Requests to the inbound port itself go nowhere, so that none can loop."""
    fields = extension(
        "filters.network.tcp_proxy.v3.TcpProxy", stat_prefix=BLACK_HOLE_CLUSTER, cluster=BLACK_HOLE_CLUSTER
    )
    return {
        "name": "virtualInbound-blackhole",
        "filter_chain_match": {"destination_port": INBOUND_PORT},
        "filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": fields}],
    }


def _inspectors(targets: list[Target], sniffed: list[int]) -> list[Json]:
    filters = [TLS_INSPECTOR]
    if sniffed:
        inspector: Json = {
            "name": "envoy.filters.listener.http_inspector",
            "typed_config": extension("filters.listener.http_inspector.v3.HttpInspector"),
        }
        others = [bind_port(target.number) for target in targets if target.number not in sniffed]
        # A server that speaks first would wait for ever behind an inspector that waits for the client.
        if others:
            inspector["filter_disabled"] = _ports(others)
        filters.append(inspector)
    return filters


def _ports(ports: list[int]) -> Json:
    ranges = [{"destination_port_range": {"start": port, "end": port + 1}} for port in sorted(ports)]
    return ranges[0] if len(ranges) == 1 else {"or_match": {"rules": ranges}}
