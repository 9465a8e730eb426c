"""A gateway's listeners and routes by the Gateway objects that select it (``networking/core/gateway.go``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshchaos.mesh.istio.order import namespace_of, oldest_first
from meshchaos.mesh.istio.services import workloads_of
from meshchaos.mesh.istio.virtual_services import for_gateway
from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.translate.matches import is_catch_all
from meshchaos.mesh.local.translate.names import Json, gateway_routes, secure_gateway_routes
from meshchaos.mesh.local.translate.routes import Client, routes
from meshchaos.mesh.local.translate.virtual_hosts import route_configuration
from meshchaos.mesh.local.world import LocalReplica
from meshchaos.mesh.objects import selects


@dataclass(frozen=True, slots=True)
class Server:
    """A server of a Gateway at one gateway proxy. ``number``: the server's own port; ``target``: the container's.
    ``secure``: clients speak TLS to it, of ``versions``; ``redirect``: it answers that they should.
    """

    gateway: str
    number: int
    target: int
    hosts: tuple[str, ...]
    port_name: str = ""
    secure: bool = False
    redirect: bool = False
    versions: tuple[str, str] = ("", "")

    @property
    def names(self) -> tuple[str, ...]:
        """Its hosts without the namespaces that they are served from."""
        return tuple(dict.fromkeys(host.rpartition("/")[2] for host in self.hosts))

    @property
    def any_name(self) -> bool:
        """It serves whatever its clients call it."""
        return "*" in self.names

    @property
    def routes(self) -> str:
        """The name of its route configuration."""
        if self.secure:
            return secure_gateway_routes(self.number, self.port_name, self.gateway)
        return gateway_routes(self.target)


def servers(index: Index, replica: LocalReplica) -> list[Server]:
    """The servers of this gateway, the oldest Gateway's first; a port is spoken to over TLS, or it is not, as the first
    server there has it. A server over TLS for a host that an older one has on that port is left out, as Istio does:
    Envoy takes no listener with two filter chains of one match.
    """
    targets = _targets(index, replica)
    found: list[Server] = []
    secured: dict[int, bool] = {}
    taken: dict[int, set[str]] = {}
    for item in oldest_first(index.of_kind("Gateway"), "Gateway"):
        if not selects(item["spec"].get("selector"), replica.labels):
            continue
        name = f"{namespace_of(item)}/{item['metadata']['name']}"
        for server in item["spec"].get("servers") or ():
            number = int(server["port"]["number"])
            target = targets.get(number, number)
            secure = str(server["port"]["protocol"]).upper() == "HTTPS"
            if secured.setdefault(target, secure) != secure:
                continue
            tls = server.get("tls") or {}
            made = Server(
                name,
                number,
                target,
                tuple(server.get("hosts") or ("*",)),
                str(server["port"].get("name", "")),
                secure,
                bool(tls.get("httpsRedirect")),
                (tls.get("minProtocolVersion") or "", tls.get("maxProtocolVersion") or ""),
            )
            if secure:
                others = taken.setdefault(target, set())
                if not others.isdisjoint(made.names):
                    continue
                others.update(made.names)
            found.append(made)
    return found


def gateway_route_configurations(index: Index, replica: LocalReplica) -> dict[str, Json]:
    """One route configuration for each port, or for each server over TLS, with a virtual host for each host;
    VirtualServices of one host are merged.
    """
    groups: dict[str, list[Server]] = {}
    for server in servers(index, replica):
        groups.setdefault(server.routes, []).append(server)
    return {
        name: route_configuration(name, _virtual_hosts(index, replica, group), any_port=True)
        for name, group in sorted(groups.items())
    }


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
                if server.redirect:
                    by_host[host]["require_tls"] = "ALL"
        for host in server.names if server.redirect else ():
            bare = {"name": f"{host}:{number}", "domains": [host], "routes": [], "include_request_attempt_count": True}
            by_host.setdefault(host, bare)["require_tls"] = "ALL"
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
