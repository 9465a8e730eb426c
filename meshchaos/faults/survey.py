"""Which routes of which VirtualServices a client-side fault has to copy, found by looking through every client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from meshchaos.errors import CannotPlace
from meshchaos.faults.edge import Edge, HttpFault
from meshchaos.mesh.istio import sidecars
from meshchaos.mesh.istio import virtual_services as vs
from meshchaos.mesh.istio.hosts import most_specific
from meshchaos.mesh.istio.order import namespace_of
from meshchaos.mesh.objects import Manifest, Ref, ref_of, selects
from meshchaos.mesh.seam import Snapshot, Workload


@dataclass(slots=True)
class Survey:
    """What was found. ``routes`` lead to the service (whole or in part); ``owners`` hold them; ``ungoverned`` are
    namespaces whose sidecars no VirtualService rules for the host; ``clients`` have a proxy that is concerned;
    ``gateways`` (``namespace/name``) are those that they serve; ``bare`` clients have no sidecar;
    ``blind`` ones have a Sidecar object that hides the service from them.
    """

    fault: HttpFault
    edge: Edge
    mesh: Snapshot
    routes: dict[tuple[Ref, int], vs.HttpRoute] = field(default_factory=dict)
    owners: dict[Ref, Manifest] = field(default_factory=dict)
    ungoverned: list[str] = field(default_factory=list)
    clients: dict[tuple[str, str], Workload] = field(default_factory=dict)
    gateways: set[str] = field(default_factory=set)
    bare: list[str] = field(default_factory=list)
    blind: dict[str, Ref] = field(default_factory=dict)
    _ruling: dict[str, tuple[list[Manifest], Manifest | None]] = field(default_factory=dict)
    """By namespaces of clients (``_rulers``)."""

    def of_owner(self, ref: Ref) -> list[vs.HttpRoute]:
        """The routes found in one VirtualService, in its order."""
        return sorted((route for route in self.routes.values() if route.owner == ref), key=lambda r: r.position)

    def sidecar(self, client: Workload) -> None:
        if client.namespace not in self._ruling:
            self._ruling[client.namespace] = self._rulers(client.namespace)
        owners, ruler = self._ruling[client.namespace]
        for owner in owners:
            self._through(client, owner, [vs.MESH])
        if ruler is None:
            if client.namespace not in self.ungoverned:
                self.ungoverned.append(client.namespace)
            self.clients[(client.namespace, client.name)] = client

    def _rulers(self, namespace: str) -> tuple[list[Manifest], Manifest | None]:
        """The VirtualServices that rule any host in the sidecars of a namespace, and the one that rules ours."""
        bound = vs.bound(self.mesh.objects, vs.MESH, namespace)
        by_host = vs.rulers(bound, self.mesh.domain)
        best = most_specific(self.edge.service.host, by_host)
        ruling = {id(one) for one in by_host.values()}
        return [one for one in bound if id(one) in ruling], by_host[best] if best is not None else None

    def gateway(self, client: Workload) -> None:
        for gateway in self.mesh.of_kind("Gateway"):
            spec = gateway.get("spec") or {}
            if not spec.get("selector") or not selects(spec["selector"], client.labels):
                continue
            name = f"{namespace_of(gateway)}/{gateway['metadata']['name']}"
            self.gateways.add(name)
            hosts = [str(host) for server in spec.get("servers") or () for host in server.get("hosts") or ()]
            for owner, _ in vs.for_gateway(self.mesh.objects, name, client.namespace, hosts, self.mesh.domain):
                self._through(client, owner, [name])

    def _through(self, client: Workload, owner: Manifest, gateways: Sequence[str]) -> None:
        namespace = namespace_of(owner)
        for root in vs.http_routes(owner):
            taken = any(
                vs.source_matches(match, client.labels, client.namespace, gateways, namespace)
                for match in root.route.get("match") or [None]
            )
            for holder, route in self._delegated(owner, root) if taken else ():
                if vs.leads_to(route.route, namespace_of(holder), self.edge.service.host, self.mesh.domain):
                    self.routes[(route.owner, route.position)] = route
                    self.owners[route.owner] = holder
                    self.clients[(client.namespace, client.name)] = client

    def _delegated(self, owner: Manifest, route: vs.HttpRoute) -> Iterable[tuple[Manifest, vs.HttpRoute]]:
        """The route, or those of the VirtualService that it delegates to."""
        delegate = route.route.get("delegate")
        if not delegate:
            return [(owner, route)]
        place = str(delegate.get("namespace") or namespace_of(owner))
        wanted = Ref("VirtualService", place, str(delegate.get("name")))
        holders = [item for item in self.mesh.of_kind("VirtualService") if ref_of(item) == wanted]
        return [(holder, inner) for holder in holders for inner in vs.http_routes(holder)]


def survey(fault: HttpFault, edge: Edge, mesh: Snapshot) -> Survey:
    """Every route with destination ``to`` in every client proxy meant, gateways included. Raises CannotPlace."""
    found = Survey(fault, edge, mesh)
    for client in edge.source.workloads if edge.source else mesh.workloads:
        if client.gateway:
            found.gateway(client)
        elif client.sidecar and (hiding := _hidden(client, edge, mesh)) is not None:
            if edge.source:
                raise CannotPlace(f"{hiding} hides {edge.service} from {client.name}: no route there leads to it")
            found.blind[client.name] = hiding
        elif client.sidecar:
            found.sidecar(client)
        elif edge.source:
            raise CannotPlace(f"{client.name} has no sidecar, so it has no proxy to put a fault in")
        else:
            found.bare.append(client.name)
    if found.ungoverned and fault.subset is not None:
        raise CannotPlace(
            f"no VirtualService routes to subset {fault.subset!r} of {edge.service} alone; write at: server"
        )
    return found


def _hidden(client: Workload, edge: Edge, mesh: Snapshot) -> Ref | None:
    """The Sidecar object that keeps the service out of a client's proxy."""
    found = sidecars.governing(mesh.objects, client.namespace, client.labels, mesh.root_namespace)
    service = (edge.service.host, edge.service.namespace)
    hidden = sidecars.hides(found, service, client.namespace, port=edge.port.number)
    return ref_of(found) if found is not None and hidden else None


def wholly(found: Survey, owner: Manifest, route: vs.HttpRoute) -> bool:
    """Whether the route leads to what is meant; False: not at all. Raises CannotPlace where only a part of it does."""
    fault, service = found.fault, found.edge.service
    meant = total = 0
    for host, destination, weight in vs.destinations(route.route, namespace_of(owner), found.mesh.domain):
        total += weight
        port = (destination.get("port") or {}).get("number")
        right_subset = fault.subset in (None, destination.get("subset"))
        if host == service.host and port in (None, found.edge.port.number) and right_subset:
            meant += weight
    if meant and meant < total:
        target = f"subset {fault.subset} of {service}" if fault.subset else str(service)
        raise CannotPlace(
            f"{where(route)} sends only {100 * meant / total:.4g} % to {target}, and a fault in the client is drawn "
            f"before the destination is: write at: server"
        )
    return meant > 0


def where(route: vs.HttpRoute) -> str:
    """A route in words."""
    return f"route {route.name or route.position + 1} of {route.owner}"
