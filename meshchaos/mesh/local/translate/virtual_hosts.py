"""Route configurations of sidecars, inbound and outbound (``networking/core/httproute.go``)."""

from __future__ import annotations

from collections.abc import Iterable

from meshchaos.mesh.istio.hosts import short_names
from meshchaos.mesh.istio.order import namespace_of
from meshchaos.mesh.istio.ports import may_be_http
from meshchaos.mesh.istio.services import Service, ServicePort
from meshchaos.mesh.istio.virtual_services import MESH, destinations, hosts_of
from meshchaos.mesh.local.translate.clusters import TUNNEL_CLUSTER
from meshchaos.mesh.local.translate.envoy_filters import inbound_patches, patched
from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.translate.names import (
    BLOCK_ALL,
    DEFAULT_ROUTE,
    HTTP_PROXY,
    Json,
    config,
    inbound_cluster,
    inbound_virtual_host,
    outbound_cluster,
)
from meshchaos.mesh.local.translate.retries import INBOUND
from meshchaos.mesh.local.translate.routes import Client, default_route, routes
from meshchaos.mesh.local.world import LocalReplica, bind_port
from meshchaos.mesh.objects import Manifest

_LARGEST_BODY = 1024 * 1024
_SIDECAR = frozenset({MESH})


def route_configuration(name: str, virtual_hosts: list[Json], *, any_port: bool) -> Json:
    """``any_port``: virtual hosts are found by the name alone, as where a listener stands for one port."""
    return config(
        "route.v3.RouteConfiguration",
        name=name,
        virtual_hosts=virtual_hosts,
        validate_clusters=False,
        max_direct_response_body_size_bytes=_LARGEST_BODY,
        ignore_port_in_host_matching=any_port,
    )


def inbound_routes(index: Index, replica: LocalReplica) -> dict[str, Json]:
    """The route configurations of a sidecar's inbound ports, by name. Only EnvoyFilters, Services and the replica's
    own labels can change them.
    """
    if replica.gateway:
        return {}
    patches = inbound_patches(index, replica)
    result = {}
    for target in index.targets(replica):
        if not may_be_http(target.port.protocol):
            continue
        name = inbound_cluster(target.number)
        action: Json = {
            "cluster": name,
            "timeout": "0s",
            "max_stream_duration": {"max_stream_duration": "0s", "grpc_timeout_header_max": "0s"},
        }
        if target.port.protocol not in {"grpc", "grpc-web"}:
            action["retry_policy"] = INBOUND
        virtual_host = inbound_virtual_host(target.port.number)
        route = patched(
            {"name": DEFAULT_ROUTE, "match": {"prefix": "/"}, "route": action},
            patches,
            configuration=name,
            port=target.number,
            virtual_host=virtual_host,
        )
        hosts: list[Json] = [{"name": virtual_host, "domains": ["*"], "routes": [route]}]
        result[name] = config("route.v3.RouteConfiguration", name=name, virtual_hosts=hosts, validate_clusters=False)
    return result


def sidecar_routes(index: Index, replica: LocalReplica) -> dict[str, Json]:
    """A sidecar's outbound route configurations by name: the HTTP proxy's, and one for each service port with a
    listener of its own. The same objects for clients that are alike.
    """
    key = (index.client_class(replica), tuple(sorted(replica.service_ports)))
    found = index.routes.get(key)
    if found is None:
        found = index.routes[key] = _sidecar_routes(index, replica)
    return dict(found)


def _sidecar_routes(index: Index, replica: LocalReplica) -> dict[str, Json]:
    proxied: list[Json] = []
    result = {}
    taken: set[str] = set()
    for service in index.services_of(replica.namespace).values():
        for port in service.ports:
            if port.protocol == "udp":
                continue
            host = _virtual_host(index, replica, service, port)
            domains = [domain for domain in host["domains"] if domain not in taken]
            taken.update(domains)
            proxied.append(host if len(domains) == len(host["domains"]) else {**host, "domains": domains})
            name = f"{service.host}:{port.number}"
            if name in replica.service_ports and may_be_http(port.protocol):
                # A listener of its own takes all that comes: who it is for is clear.
                own = {**host, "domains": ["*"], "routes": host["routes"][1:]}
                result[name] = route_configuration(name, [own], any_port=True)
    proxied.extend(_foreign_hosts(index, replica, taken))
    proxied.sort(key=lambda host: str(host["name"]))
    result[HTTP_PROXY] = route_configuration(HTTP_PROXY, [*proxied, _BLOCK_ALL], any_port=False)
    return result


def _virtual_host(index: Index, replica: LocalReplica, service: Service, port: ServicePort) -> Json:
    """The virtual host of one service port. Its first route takes CONNECT."""
    owners = index.owners(replica.namespace).of(service.host) if may_be_http(port.protocol) else ()
    key = (index.client_class(replica), service.host, port.number)
    hosts = {service.host, *(host for owner in owners for host in _destinations(owner))}
    known = index.services_of(replica.namespace)
    entries = [known[host] for host in sorted(hosts) if host in known and known[host].entry]
    inputs = (owners, [index.rule(host, replica) for host in sorted(hosts)], entries)
    kept = index.virtual_hosts.get(key)
    if kept is not None and kept[0] == inputs:
        found: Json = kept[1]
        return found
    client = Client(replica, port.number, _SIDECAR)
    http = may_be_http(port.protocol)
    cluster = TUNNEL_CLUSTER if http else outbound_cluster(port.number, "", service.host)
    made: list[Json] = [_connect(cluster)]
    if http:
        ruled = (own for owner in owners if (own := routes(index, client, owner)))
        made += next(ruled, [default_route(index, client, service, port)])
    host = {
        "name": f"{service.host}:{port.number}",
        "domains": _domains(index, replica, service, port.number),
        "routes": made,
        "include_request_attempt_count": True,
    }
    index.virtual_hosts[key] = (inputs, host)
    return host


def _destinations(virtual_service: Manifest) -> Iterable[str]:
    """The full names of all hosts that a VirtualService sends requests to."""
    namespace = namespace_of(virtual_service)
    for rule in virtual_service["spec"].get("http") or ():
        for host, _, _ in destinations(rule, namespace):
            yield host


def _domains(index: Index, replica: LocalReplica, service: Service, port: int) -> list[str]:
    names = [service.host, f"{service.host}.", *short_names(service.host, replica.namespace)]
    address = None if service.entry else index.world.service_addresses.get(service.host)
    names += service.addresses
    plain = [*names, *([address] if address else [])] if port == 80 else []
    ported = [f"{name}:{port}" for name in names]
    if address:
        ported += [f"{address}:{number}" for number in sorted({port, bind_port(port)})]
    return plain + ported


def _foreign_hosts(index: Index, replica: LocalReplica, taken: set[str]) -> Iterable[Json]:
    """Hosts of VirtualServices that are no Service's: on the ports of its other hosts, else on 80, as in Istio."""
    known = index.services_of(replica.namespace)
    for owner in index.owners(replica.namespace).ordered:
        hosts = hosts_of(owner)
        foreign = [host for host in hosts if host not in known]
        ports = sorted({p.number for h in hosts if h in known for p in known[h].ports}) or [80]
        for host in foreign:
            if host == "*" or _covers_service(known, host):
                continue
            for port in ports:
                domains = [*([host] if port == 80 else []), f"{host}:{port}"]
                free = [domain for domain in domains if domain not in taken]
                made = routes(index, Client(replica, port, _SIDECAR), owner) if free else []
                if made:
                    taken.update(free)
                    yield {
                        "name": f"{host}:{port}",
                        "domains": free,
                        "routes": made,
                        "include_request_attempt_count": True,
                    }


def _covers_service(known: Iterable[str], pattern: str) -> bool:
    return pattern.startswith("*") and any(host.endswith(pattern[1:]) for host in known)


def _connect(cluster: str) -> Json:
    return {
        "name": "connect",
        "match": {"connect_matcher": {}},
        "route": {
            "cluster": cluster,
            "timeout": "0s",
            "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
        },
    }


def _refusal(match: Json) -> Json:
    body = "no Service of this mesh has this name and port\n"
    return {
        "name": BLOCK_ALL,
        "match": match,
        "direct_response": {"status": 502, "body": {"inline_string": body}},
    }


_BLOCK_ALL: Json = {
    "name": BLOCK_ALL,
    "domains": ["*"],
    "routes": [_refusal({"connect_matcher": {}}), _refusal({"prefix": "/"})],
    "include_request_attempt_count": True,
}
