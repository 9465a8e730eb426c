"""A gateway's listeners and routes by the Gateway objects that select it (``networking/core/gateway.go``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshchaos.mesh.istio.order import namespace_of, oldest_first
from meshchaos.mesh.istio.services import workloads_of
from meshchaos.mesh.istio.virtual_services import for_gateway
from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.translate.matches import is_catch_all
from meshchaos.mesh.local.translate.names import Json, gateway_routes
from meshchaos.mesh.local.translate.routes import Client, routes
from meshchaos.mesh.local.translate.virtual_hosts import route_configuration
from meshchaos.mesh.local.world import LocalReplica
from meshchaos.mesh.objects import selects


@dataclass(frozen=True, slots=True)
class Server:
    """A server of a Gateway at one gateway proxy. ``number``: the server's own port; ``target``: the container's."""

    gateway: str
    number: int
    target: int
    hosts: tuple[str, ...]


def servers(index: Index, replica: LocalReplica) -> list[Server]:
    """The HTTP servers of this gateway, the oldest Gateway's first."""
    targets = _targets(index, replica)
    found = []
    for item in oldest_first(index.of_kind("Gateway"), "Gateway"):
        if not selects(item["spec"].get("selector"), replica.labels):
            continue
        name = f"{namespace_of(item)}/{item['metadata']['name']}"
        for server in item["spec"].get("servers") or ():
            number = int(server["port"]["number"])
            found.append(Server(name, number, targets.get(number, number), tuple(server.get("hosts") or ("*",))))
    return found


def gateway_route_configurations(index: Index, replica: LocalReplica) -> dict[str, Json]:
    """One route configuration for each port, a virtual host for each host; VirtualServices of one host are merged."""
    by_port: dict[int, list[Server]] = {}
    for server in servers(index, replica):
        by_port.setdefault(server.target, []).append(server)
    result = {}
    for target, group in sorted(by_port.items()):
        name = gateway_routes(target)
        result[name] = route_configuration(name, _virtual_hosts(index, replica, group), any_port=True)
    return result


def _virtual_hosts(index: Index, replica: LocalReplica, group: list[Server]) -> list[Json]:
    number = group[0].number
    by_host: dict[str, Json] = {}
    bound = index.of_kind("VirtualService")
    for server in group:
        client = Client(replica, server.number, frozenset({server.gateway}))
        for item, hosts in for_gateway(bound, server.gateway, replica.namespace, server.hosts):
            made = routes(index, client, item)
            for host in hosts if made else ():
                kept = by_host.get(host)
                if kept is None:
                    by_host[host] = {
                        "name": f"{host}:{number}",
                        "domains": [host],
                        "routes": list(made),
                        "include_request_attempt_count": True,
                    }
                else:
                    kept["routes"].extend(made)
    if not by_host:
        return [{"name": f"blackhole:{number}", "domains": ["*"], "routes": []}]
    for virtual_host in by_host.values():
        # What catches all comes last, whichever VirtualService it is from.
        virtual_host["routes"].sort(key=lambda route: is_catch_all(route["match"]))
    return [by_host[host] for host in sorted(by_host)]


def _targets(index: Index, replica: LocalReplica) -> Mapping[int, int]:
    """Port of the gateway's Services -> port of its container."""
    result: dict[int, int] = {}
    for service in index.services:
        if workloads_of(service, (replica,)):
            for port in service.ports:
                number = index.target_port(port, replica)
                if number is not None:
                    result.setdefault(port.number, number)
    return result
