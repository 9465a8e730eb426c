"""Which VirtualService governs a host for a client, and which of its routes lead to a service.

``pilot/pkg/model/push_context.go`` (index), ``model/virtualservice.go`` (selection, short names),
``networking/core/route/route.go`` (hosts and wildcards).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshchaos.mesh.istio.hosts import DOMAIN, fqdn, matches, most_specific
from meshchaos.mesh.istio.order import export_to, namespace_of, oldest_first
from meshchaos.mesh.objects import Manifest, Ref, ref_of

MESH = "mesh"
"""The name under which VirtualServices bind to all sidecars."""


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """One element of a VirtualService's ``http``: whose it is, where, and what it says."""

    owner: Ref
    position: int
    route: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.route.get("name") or "")


def hosts_of(virtual_service: Manifest, domain: str = DOMAIN) -> list[str]:
    """Its hosts as full names, in its order."""
    namespace = namespace_of(virtual_service)
    return [fqdn(str(host), namespace, domain) for host in (virtual_service.get("spec") or {}).get("hosts") or ()]


def gateway_name(name: str, namespace: str) -> str:
    """A gateway as named in an object of ``namespace``: ``mesh`` or ``<namespace>/<name>``."""
    if name == MESH or "/" in name:
        return name if not name.startswith("./") else f"{namespace}/{name[2:]}"
    short, dot, rest = name.partition(".")
    # The old way to name another namespace's gateway is by its full host name.
    return f"{rest.partition('.')[0]}/{short}" if dot else f"{namespace}/{name}"


def gateways_of(virtual_service: Manifest) -> list[str]:
    """The gateways it is bound to, ``mesh`` among them; ``["mesh"]`` when it names none."""
    namespace = namespace_of(virtual_service)
    listed = (virtual_service.get("spec") or {}).get("gateways") or [MESH]
    return [gateway_name(str(name), namespace) for name in listed]


def bound(objects: Iterable[Manifest], gateway: str, namespace: str) -> list[Manifest]:
    """The VirtualServices bound to ``gateway`` (``mesh`` or ``<namespace>/<name>``) that a proxy of ``namespace``
    sees, in Istio's order: those exported to its own namespace alone, then to named namespaces, then to all; the
    oldest first in each.
    """
    private: list[Manifest] = []
    exported: list[Manifest] = []
    public: list[Manifest] = []
    for item in oldest_first(objects, "VirtualService"):
        spec = item.get("spec") or {}
        if not spec.get("hosts") or gateway not in gateways_of(item):
            continue  # without hosts it is a delegate, which binds to nothing by itself
        to = export_to(item)
        if "*" in to:
            public.append(item)
        elif namespace in to:
            (private if namespace_of(item) == namespace else exported).append(item)
    return [*private, *exported, *public]


def governing(objects: Iterable[Manifest], host: str, namespace: str, domain: str = DOMAIN) -> Manifest | None:
    """The one VirtualService that rules the full name ``host`` in the sidecars of ``namespace``; None: Istio's default.

    A second one for the same host does not merge in sidecars: the first in the order of ``bound`` wins. An exact
    host wins over a wildcard, the longest wildcard over shorter ones.
    """
    owners = rulers(bound(objects, MESH, namespace), domain)
    best = most_specific(host, owners)
    return None if best is None else owners[best]


def rulers(candidates: Iterable[Manifest], domain: str = DOMAIN) -> dict[str, Manifest]:
    """Of VirtualServices in the order of ``bound``: by each host that is named, a wildcard too, the one that wins."""
    owners: dict[str, Manifest] = {}
    for item in candidates:
        for pattern in hosts_of(item, domain):
            owners.setdefault(pattern, item)
    return owners


def for_gateway(
    objects: Iterable[Manifest], gateway: str, namespace: str, hosts: Sequence[str] = ("*",), domain: str = DOMAIN
) -> list[tuple[Manifest, list[str]]]:
    """The VirtualServices that a gateway proxy of ``namespace`` merges for the Gateway ``<namespace>/<name>``, in
    order, each with the hosts it is reached by: what its own hosts and the server's ``hosts`` (``*.example``,
    ``ns/host``, ``*/host``) have in common, the narrower of each pair.
    """
    gateway_namespace = gateway.partition("/")[0]
    result = []
    for item in bound(objects, gateway, namespace):
        served = [_served(str(pattern), namespace_of(item), gateway_namespace) for pattern in hosts]
        own = hosts_of(item, domain)
        common = [
            narrow for host in own for pattern in served if pattern is not None and (narrow := _common(host, pattern))
        ]
        if common:
            result.append((item, list(dict.fromkeys(common))))
    return result


def http_routes(virtual_service: Manifest) -> list[HttpRoute]:
    """Its http routes in order."""
    owner = ref_of(virtual_service)
    routes = (virtual_service.get("spec") or {}).get("http") or ()
    return [HttpRoute(owner, position, route) for position, route in enumerate(routes)]


def destinations(
    route: Mapping[str, Any], namespace: str, domain: str = DOMAIN
) -> list[tuple[str, Mapping[str, Any], int]]:
    """The destinations of an http route: (full host, the destination, its weight). A lone one has all the weight,
    whatever it says; of several, one that says nothing has none.
    """
    entries = list(route.get("route") or ())
    result = []
    for entry in entries:
        destination = entry.get("destination") or {}
        weight = 100 if len(entries) == 1 else int(entry.get("weight") or 0)
        result.append((fqdn(str(destination.get("host") or ""), namespace, domain), destination, weight))
    return result


def leads_to(route: Mapping[str, Any], namespace: str, host: str, domain: str = DOMAIN) -> bool:
    """Whether some request of an http route goes to the full name ``host``."""
    return any(name == host and weight > 0 for name, _, weight in destinations(route, namespace, domain))


def source_matches(
    match: Mapping[str, Any] | None, labels: Mapping[str, str], namespace: str, gateways: Iterable[str], owner: str
) -> bool:
    """Whether a proxy with these labels, of ``namespace``, acting as one of ``gateways`` (``mesh`` for a sidecar),
    takes a rule with this match. ``owner``: the VirtualService's namespace. ``gateways`` in a match replaces
    ``sourceLabels`` and ``sourceNamespace`` altogether, as in Istio.
    """
    if not match:
        return True
    named = match.get("gateways") or ()
    if named:
        acting = set(gateways)
        return any(gateway_name(str(name), owner) in acting for name in named)
    wanted = match.get("sourceLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return match.get("sourceNamespace") in (None, "", namespace)


def _served(pattern: str, namespace: str, gateway_namespace: str) -> str | None:
    """The host of a server's ``[namespace/]host`` for VirtualServices of ``namespace``; None: not for them."""
    owner, slash, inside = pattern.partition("/")
    if not slash:
        return pattern.lower()
    if owner == ".":
        owner = gateway_namespace
    return inside.lower() if owner in ("*", namespace) else None


def _common(one: str, other: str) -> str | None:
    return one if matches(other, one) else other if matches(one, other) else None
