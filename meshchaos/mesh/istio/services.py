"""Services: what there is, which one the user means, who stands behind it.

Kubernetes' own are read here, those that ServiceEntries make in ``service_entries``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from typing import Protocol as TypingProtocol

from meshchaos.errors import UserError
from meshchaos.mesh.istio.hosts import DOMAIN, service_fqdn
from meshchaos.mesh.istio.order import namespace_of, oldest_first
from meshchaos.mesh.istio.ports import Protocol, protocol
from meshchaos.mesh.objects import Manifest, labels_of, selects


class Labelled(TypingProtocol):
    """A replica, a workload: what a selector can choose."""

    @property
    def namespace(self) -> str: ...

    @property
    def labels(self) -> Mapping[str, str]: ...


L = TypeVar("L", bound=Labelled)


@dataclass(frozen=True, slots=True)
class ServicePort:
    """``spec`` is the port as written; ``number`` the Service's own."""

    number: int
    name: str
    protocol: Protocol
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StaticEndpoint:
    """An endpoint that a ServiceEntry names. ``ports``: the service's port -> its own. ``mutual``: it takes mutual TLS,
    with ``identity`` where one is known. ``entry``: the ServiceEntry's name, which stands for its workload.
    """

    address: str
    ports: Mapping[int, int]
    entry: str
    labels: Mapping[str, str] = field(default_factory=dict)
    weight: int = 1
    locality: str = ""
    mutual: bool = False
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """One Kubernetes Service, or a host of a ServiceEntry (``entry``; its name is its host). ``host`` is its full name;
    ``selector`` None: it selects nobody. ``external``: outside of the mesh (MESH_EXTERNAL), so without mutual TLS.
    ``addresses``: those that clients may also call it by. ``identities``: names that its servers may have, beside those
    of its endpoints.
    """

    name: str
    namespace: str
    host: str
    ports: tuple[ServicePort, ...]
    selector: Mapping[str, str] | None
    labels: Mapping[str, str] = field(default_factory=dict)
    headless: bool = False
    entry: bool = False
    external: bool = False
    addresses: tuple[str, ...] = ()
    endpoints: tuple[StaticEndpoint, ...] = ()
    identities: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.host if self.entry else f"{self.name}.{self.namespace}"

    def port(self, number: int) -> ServicePort | None:
        return next((port for port in self.ports if port.number == number), None)


@dataclass(frozen=True, slots=True)
class ServiceReference:
    """What a user's reference resolved to; ``port`` None where none was named and there are several."""

    service: Service
    port: ServicePort | None


def service_of(manifest: Manifest, domain: str = DOMAIN) -> Service:
    """A Service manifest, read."""
    spec = manifest.get("spec") or {}
    name, namespace = str(manifest["metadata"]["name"]), namespace_of(manifest)
    ports = tuple(
        ServicePort(int(port["port"]), str(port.get("name") or ""), protocol(port), port)
        for port in spec.get("ports") or ()
    )
    return Service(
        name=name,
        namespace=namespace,
        host=service_fqdn(name, namespace, domain),
        ports=ports,
        selector=spec.get("selector") or None,
        labels=labels_of(manifest),
        headless=spec.get("clusterIP") == "None",
    )


def services(objects: Iterable[Manifest], domain: str = DOMAIN) -> list[Service]:
    """All Services but those of type ExternalName (a DNS alias, nobody's port), oldest first."""
    found = oldest_first(objects, "Service")
    return [service_of(item, domain) for item in found if (item.get("spec") or {}).get("type") != "ExternalName"]


def workloads_of(service: Service, candidates: Iterable[L]) -> list[L]:
    """Those of ``candidates`` (workloads, replicas) that the service selects."""
    if not service.selector:
        return []
    return [one for one in candidates if one.namespace == service.namespace and selects(service.selector, one.labels)]


def services_of(workload: Labelled, known: Iterable[Service]) -> list[Service]:
    """The services that select this workload."""
    return [service for service in known if workloads_of(service, [workload])]


def find_service(objects: Iterable[Manifest], reference: str, namespace: str, domain: str = DOMAIN) -> ServiceReference:
    """The service a user means: ``ratings``, ``ratings.bookinfo``, its full name, each also with ``:port``.

    ``namespace`` completes a short name. Raises UserError, which lists what exists nearby.
    """
    known = services(objects, domain)
    host, colon, wanted = reference.partition(":")
    name, _, rest = host.partition(".")
    place = rest.removesuffix(f".{domain}").removesuffix(".svc") if rest else namespace
    found = next((service for service in known if service.name == name and service.namespace == place), None)
    if found is None:
        raise UserError(_unknown(reference, name, place, known))
    if not colon:
        return ServiceReference(found, found.ports[0] if len(found.ports) == 1 else None)
    for port in found.ports:
        if wanted in (str(port.number), port.name):
            return ServiceReference(found, port)
    there = ", ".join(f"{port.number} ({port.name})" if port.name else str(port.number) for port in found.ports)
    raise UserError(f"service {found} has no port {wanted!r}; it has {there or 'none'}")


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """``; did you mean 'ratings'?`` or nothing."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _unknown(reference: str, name: str, place: str, known: Sequence[Service]) -> str:
    here = sorted(service.name for service in known if service.namespace == place)
    elsewhere = sorted(f"{service.name}.{service.namespace}" for service in known if service.namespace != place)
    exact = [full for full in elsewhere if full.partition(".")[0] == name]
    text = f"there is no service {reference!r}" + (f" in namespace {place}" if place else "")
    if exact:
        return f"{text}; did you mean {exact[0]!r}?"
    hint = did_you_mean(name, here) or did_you_mean(reference, elsewhere)
    if here:
        return f"{text}{hint}; namespace {place} has {', '.join(here)}"
    return f"{text}{hint}; the mesh has {', '.join(elsewhere) or 'no service at all'}"
