"""How a client gets into the local mesh for one URL; pure."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from meshchaos.errors import UserError
from meshchaos.mesh.istio.hosts import matches
from meshchaos.mesh.istio.services import did_you_mean, find_service
from meshchaos.mesh.local.translate.gateway import Server, servers
from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.world import OUTBOUND_PORT, LocalReplica, World, bind_port
from meshchaos.mesh.objects import selects
from meshchaos.mesh.seam import Entry, Tls

_DEFAULT_PORTS = {"http": 80, "https": 443, "grpc": 80}


def entry_for(world: World, source: str, url: str, namespace: str, root: str = "") -> Entry:
    """See ``Mesh.entry``. ``root``: the certificate that signed the gateway's, PEM text. Raises UserError, which lists
    what exists.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and source != "gateway":
        raise UserError(f"{url}: https is what a gateway speaks; from {source} use http, and the mesh adds mutual TLS")
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise UserError(f"{url} is not a URL of the form http://host[:port]/path")
    if source == "gateway":
        return _through_gateway(world, parts, root)
    if source == "outside":
        return _from_outside(world, parts, namespace)
    return _from_workload(world, source, parts, namespace)


def _through_gateway(world: World, parts: SplitResult, root: str) -> Entry:
    secure = parts.scheme == "https"
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    running = [replica for replica in world.replicas if replica.gateway and replica.serving]
    if not running:
        raise UserError("the mesh has no gateway: its manifests hold no Gateway object whose selector finds one")
    index = Index(world)
    served = [(replica, server) for replica in running for server in servers(index, replica)]
    host = str(parts.hostname)
    fitting = [
        (replica, server)
        for replica, server in served
        if server.number == port and server.secure == secure and any(matches(pattern, host) for pattern in server.names)
    ]
    if not fitting:
        there = "; ".join(sorted({_told(server) for _, server in served}))
        how = "over TLS" if secure else "in plaintext"
        raise UserError(f"no Gateway serves {host} on port {port} {how}; there are: {there or 'none'}")
    replica, server = fitting[0]
    words = f"through the gateway {replica.workload}.{replica.namespace}{', over TLS' if secure else ''}"
    # As Envoy chooses among its filter chains: by the name in full, then by wildcards, then what takes any.
    named = any(matches(pattern, host) for _, one in fitting for pattern in one.names if pattern != "*")
    tls = Tls(host, root, check_name=named) if secure else None
    return Entry(f"{replica.address}:{bind_port(server.target)}", parts.netloc, proxied=False, words=words, tls=tls)


def _told(server: Server) -> str:
    return f"{', '.join(server.hosts)} on port {server.number} ({'TLS' if server.secure else 'plaintext'})"


def _from_workload(world: World, source: str, parts: SplitResult, namespace: str) -> Entry:
    name, _, place = source.partition(".")
    place = place or namespace
    chosen = [r for r in world.replicas if r.workload == name and r.namespace == place]
    chosen = chosen or [r for r in world.replicas if r.labels.get("app") == name and r.namespace == place]
    if not chosen:
        raise UserError(_unknown(world, source, place))
    clients = [replica for replica in chosen if replica.sidecar and replica.serving]
    if not clients:
        why = "is down" if any(replica.sidecar for replica in chosen) else "has no sidecar: use `from: outside`"
        raise UserError(f"workload {source} {why}")
    replica = clients[0]
    words = f"through the sidecar of {replica.workload}.{replica.namespace}"
    return Entry(f"{replica.address}:{OUTBOUND_PORT}", parts.netloc, proxied=True, words=words)


def _unknown(world: World, source: str, namespace: str) -> str:
    here = sorted({r.workload for r in world.replicas if r.namespace == namespace and not r.gateway})
    elsewhere = sorted(
        {f"{r.workload}.{r.namespace}" for r in world.replicas if r.namespace != namespace and not r.gateway}
    )
    hint = did_you_mean(source, [*here, *elsewhere, "gateway", "outside"])
    known = [*here, *elsewhere]
    return f"there is no workload {source!r} in namespace {namespace}{hint}; there are {', '.join(known)}"


def _from_outside(world: World, parts: SplitResult, namespace: str) -> Entry:
    service = find_service(world.objects, str(parts.hostname), namespace).service
    number = parts.port or _DEFAULT_PORTS[parts.scheme]
    if service.port(number) is None:
        there = ", ".join(str(port.number) for port in service.ports)
        raise UserError(f"service {service} has no port {number}; it has {there or 'none'}")
    ready = _endpoints(world, service.selector, service.namespace)
    if not ready:
        raise UserError(f"service {service} has no ready endpoint")
    address = world.service_addresses[service.host]
    words = f"from outside the mesh, in plaintext, to {service}:{number}"
    return Entry(f"{address}:{bind_port(number)}", parts.netloc, proxied=False, words=words)


def _endpoints(world: World, selector: object, namespace: str) -> list[LocalReplica]:
    if not isinstance(selector, dict) or not selector:
        return []
    return [r for r in world.replicas if r.serving and r.namespace == namespace and selects(selector, r.labels)]
