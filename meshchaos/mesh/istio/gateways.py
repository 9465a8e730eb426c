"""Ways into the mesh: by which URL a client outside reaches a service through a gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshchaos.mesh.istio.hosts import DOMAIN, fqdn, is_wildcard
from meshchaos.mesh.istio.order import namespace_of, oldest_first
from meshchaos.mesh.istio.virtual_services import MESH, gateways_of
from meshchaos.mesh.objects import Manifest


@dataclass(frozen=True, slots=True)
class Way:
    """``url`` without a path (``http://shop.example``, with the port where it is not 80); ``path`` is one that leads
    to the service.
    """

    url: str
    path: str


def way_in(objects: Iterable[Manifest], host: str, port: int, domain: str = DOMAIN) -> Way | None:
    """The first route, in plain HTTP, from a gateway to the service ``host`` at ``port``; None without any.

    A path matched by a regular expression is nobody's to guess: such a match is taken as ``/``. Delegates and matches
    by anything else than the path are not looked into.
    """
    known = list(objects)
    for item in oldest_first(known, "VirtualService"):
        names = [str(name) for name in (item.get("spec") or {}).get("hosts") or () if not is_wildcard(str(name))]
        numbers = [number for name in gateways_of(item) if name != MESH for number in _http_ports(known, name)]
        if not names or not numbers:
            continue
        path = next(_paths(item, host, port, domain), None)
        if path is not None:
            return Way(f"http://{names[0]}" + (f":{numbers[0]}" if numbers[0] != 80 else ""), path)
    return None


def _http_ports(objects: Iterable[Manifest], gateway: str) -> Iterator[int]:
    for item in oldest_first(objects, "Gateway"):
        if f"{namespace_of(item)}/{item['metadata']['name']}" == gateway:
            for server in (item.get("spec") or {}).get("servers") or ():
                port = server.get("port") or {}
                if str(port.get("protocol") or "").upper() in ("HTTP", "HTTP2", "GRPC"):
                    yield int(port["number"])


def _paths(virtual_service: Manifest, host: str, port: int, domain: str) -> Iterator[str]:
    namespace = namespace_of(virtual_service)
    for route in (virtual_service.get("spec") or {}).get("http") or ():
        for item in route.get("route") or ():
            place = item.get("destination") or {}
            number = (place.get("port") or {}).get("number")
            if fqdn(str(place.get("host") or ""), namespace, domain) == host and number in (None, port):
                yield _path(route)


def _path(route: Mapping[str, Any]) -> str:
    matches: list[Mapping[str, Any]] = route.get("match") or [{}]
    for match in matches:
        uri = match.get("uri") or {}
        found = uri.get("exact") or uri.get("prefix")
        if found or not uri:
            return str(found or "/")
    return "/"
