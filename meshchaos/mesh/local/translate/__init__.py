"""Istio's objects as Envoy's resources: pure, deterministic to the byte, without I/O.

``Index(world, before)`` is made once for each world; each family of resources is then computed for one proxy. What
equal inputs give is the same object again, so whoever compares old and new resources is quick where nothing changed.
``touches`` says which families a change of an object of some kind can reach at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from meshchaos.mesh.local.translate.bootstrap import bootstrap, node_id
from meshchaos.mesh.local.translate.clusters import clusters, endpoints
from meshchaos.mesh.local.translate.envoy_filters import concerns
from meshchaos.mesh.local.translate.gateway import gateway_route_configurations
from meshchaos.mesh.local.translate.inbound import inbound_listener
from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.translate.marks import renewed
from meshchaos.mesh.local.translate.outbound import gateway_listeners, sidecar_listeners
from meshchaos.mesh.local.translate.telemetry import with_telemetry
from meshchaos.mesh.local.translate.virtual_hosts import inbound_routes, sidecar_routes
from meshchaos.mesh.local.world import LocalReplica, ProxyResources, World
from meshchaos.mesh.log_format import parse_line

__all__ = [
    "Family",
    "Index",
    "bootstrap",
    "clusters",
    "concerns",
    "endpoints",
    "inbound_routes",
    "listeners",
    "node_id",
    "outbound_routes",
    "parse_line",
    "proxy_resources",
    "refresh",
    "resources",
    "touches",
]

Family: TypeAlias = Literal["listeners", "clusters", "endpoints", "inbound_routes", "outbound_routes"]

_ALL: frozenset[Family] = frozenset({"listeners", "clusters", "endpoints", "inbound_routes", "outbound_routes"})
_TOUCHES: Mapping[str, frozenset[Family]] = {
    "EnvoyFilter": frozenset({"inbound_routes"}),
    "VirtualService": frozenset({"outbound_routes"}),
    # Subsets have endpoints of their own; consistentHash and HTTP/2 show in routes.
    "DestinationRule": frozenset({"clusters", "endpoints", "outbound_routes"}),
    "Gateway": frozenset({"listeners", "outbound_routes"}),
    # Clients see whether a server takes mutual TLS: by its endpoints, and by its namespace in their clusters.
    "PeerAuthentication": frozenset({"listeners", "clusters", "endpoints"}),
    "AuthorizationPolicy": frozenset({"listeners"}),
    "RequestAuthentication": frozenset({"listeners"}),
    "Telemetry": frozenset({"listeners"}),
    "Namespace": frozenset(),
    "ServiceAccount": frozenset(),
    "Deployment": frozenset(),
    "Endpoints": frozenset({"clusters", "endpoints"}),
    # MeshConfig is one.
    "ConfigMap": frozenset({"listeners"}),
}


def touches(kind: str) -> frozenset[Family]:
    """The families that an object of this kind can change. Services and Pods (their labels): all of them.

    ``Endpoints``, which nobody stores, stands for replicas that come, go or change between serving and not: it says
    what that means to the others.
    """
    return _TOUCHES.get(kind, _ALL)


def listeners(index: Index, replica: LocalReplica) -> dict[str, Mapping[str, Any]]:
    """The listeners of a proxy by name."""
    if replica.gateway:
        made = gateway_listeners(index, replica)
    else:
        made = [inbound_listener(index, replica), *sidecar_listeners(index, replica)]
    return {str(one["name"]): renewed(replica, one) for one in with_telemetry(index, replica, made)}


def outbound_routes(index: Index, replica: LocalReplica) -> dict[str, dict[str, Any]]:
    """The route configurations for what a proxy sends, by name: a sidecar's ``http_proxy``, a gateway's
    ``http.<port>``.
    """
    return gateway_route_configurations(index, replica) if replica.gateway else sidecar_routes(index, replica)


def resources(index: Index, replica: LocalReplica) -> ProxyResources:
    """Everything that one proxy gets."""
    return ProxyResources(
        bootstrap=bootstrap(replica),
        listeners=listeners(index, replica),
        clusters=clusters(index, replica),
        endpoints=endpoints(index, replica),
        routes={**inbound_routes(index, replica), **outbound_routes(index, replica)},
    )


def refresh(index: Index, replica: LocalReplica, kept: ProxyResources, kinds: Iterable[str]) -> ProxyResources:
    """What ``resources`` gives, computed only where a change of objects of these kinds can show.

    ``kept`` is what the proxy had before the change; what stays equal is the same object, and ``kept`` itself where
    all does. ``replica`` has to be the one ``kept`` was made for, its labels aside.
    """
    families = frozenset[Family]().union(*map(touches, kinds))
    if not families:
        return kept
    inbound = {name: route for name, route in kept.routes.items() if name.startswith("inbound|")}
    outbound = {name: route for name, route in kept.routes.items() if name not in inbound}
    routes = {
        **(inbound_routes(index, replica) if "inbound_routes" in families else inbound),
        **(outbound_routes(index, replica) if "outbound_routes" in families else outbound),
    }
    new = ProxyResources(
        bootstrap=kept.bootstrap,
        listeners=_kept(kept.listeners, listeners(index, replica) if "listeners" in families else kept.listeners),
        clusters=_kept(kept.clusters, clusters(index, replica) if "clusters" in families else kept.clusters),
        endpoints=_kept(kept.endpoints, endpoints(index, replica) if "endpoints" in families else kept.endpoints),
        routes=_kept(kept.routes, routes),
    )
    same = all(getattr(new, name) is getattr(kept, name) for name in ("listeners", "clusters", "endpoints", "routes"))
    return kept if same else new


_Set: TypeAlias = Mapping[str, Mapping[str, Any]]


def _kept(old: _Set, new: _Set) -> _Set:
    """``new`` with the old objects where they are equal; ``old`` itself where all are."""
    if new is old or new == old:
        return old
    return {name: old[name] if old.get(name) == resource else resource for name, resource in new.items()}


def proxy_resources(world: World, replica: LocalReplica) -> ProxyResources:
    """Everything that one proxy gets, for those who translate a single one."""
    return resources(Index(world), replica)
