"""Ways into the mesh: by which URL a client outside reaches a service through a gateway."""

from __future__ import annotations

import re
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
    to the service, ``rules`` those of the host's VirtualServices, each with whether it leads there.
    """

    url: str
    path: str
    rules: tuple[tuple[Mapping[str, Any], bool], ...] = ()

    def leads(self, path: str) -> bool:
        """Whether a request for ``path`` may get to the service: the first rule that takes it leads there, or looks at
        more than the path.
        """
        for rule, there in self.rules:
            matches = rule.get("match") or [{}]
            taken = [match for match in matches if _takes(match.get("uri") or {}, path, match.get("ignoreUriCase"))]
            if taken and (there or rule.get("delegate")):
                return True
            if any(not match.keys() - {"uri", "name", "gateways", "ignoreUriCase"} for match in taken):
                return False
        return False


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
            same = [
                one
                for one in oldest_first(known, "VirtualService")
                if names[0] in ((one.get("spec") or {}).get("hosts") or ())
            ]
            rules = tuple(rule for one in same for rule in _rules(one, host, port, domain))  # gateways merge them
            return Way(f"http://{names[0]}" + (f":{numbers[0]}" if numbers[0] != 80 else ""), path, rules)
    return None


def _http_ports(objects: Iterable[Manifest], gateway: str) -> Iterator[int]:
    for item in oldest_first(objects, "Gateway"):
        if f"{namespace_of(item)}/{item['metadata']['name']}" == gateway:
            for server in (item.get("spec") or {}).get("servers") or ():
                port = server.get("port") or {}
                if str(port.get("protocol") or "").upper() in ("HTTP", "HTTP2", "GRPC"):
                    yield int(port["number"])


def _paths(virtual_service: Manifest, host: str, port: int, domain: str) -> Iterator[str]:
    return (_path(rule) for rule, there in _rules(virtual_service, host, port, domain) if there)


def _rules(virtual_service: Manifest, host: str, port: int, domain: str) -> Iterator[tuple[Mapping[str, Any], bool]]:
    namespace = namespace_of(virtual_service)
    for rule in (virtual_service.get("spec") or {}).get("http") or ():
        places = [item.get("destination") or {} for item in rule.get("route") or ()]
        yield (
            rule,
            any(
                fqdn(str(place.get("host") or ""), namespace, domain) == host
                and (place.get("port") or {}).get("number") in (None, port)
                for place in places
            ),
        )


def _takes(uri: Mapping[str, Any], path: str, ignore_case: object) -> bool:
    """A regular expression that Python does not know is taken to match."""
    path = path.partition("?")[0]
    if ignore_case:
        path, uri = path.lower(), {kind: str(value).lower() for kind, value in uri.items() if kind != "regex"} or uri
    if "regex" in uri:
        try:
            return re.fullmatch(str(uri["regex"]), path) is not None
        except re.error:
            return True
    if "exact" in uri:
        return path == str(uri["exact"])
    return path.startswith(str(uri.get("prefix") or ""))


def _path(route: Mapping[str, Any]) -> str:
    matches: list[Mapping[str, Any]] = route.get("match") or [{}]
    for match in matches:
        uri = match.get("uri") or {}
        found = uri.get("exact") or uri.get("prefix")
        if found or not uri:
            return str(found or "/")
    return "/"
