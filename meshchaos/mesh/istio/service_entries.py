"""Hosts of ServiceEntries as services (``pilot/pkg/serviceregistry/serviceentry/conversion.go``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from meshchaos.mesh.istio.order import namespace_of, oldest_first, visible
from meshchaos.mesh.istio.ports import Protocol, protocol
from meshchaos.mesh.istio.services import Service, ServicePort, StaticEndpoint
from meshchaos.mesh.objects import Manifest, labels_of

KIND = "ServiceEntry"
TLS_MODE = "security.istio.io/tlsMode"
_MUTUAL = "istio"


def entry_services(
    objects: Iterable[Manifest], namespace: str, taken: Iterable[str], trust_domain: str = "cluster.local"
) -> list[Service]:
    """The hosts of ServiceEntries as a client of ``namespace`` sees them, oldest first.

    ``taken`` are hosts of Kubernetes' Services, which go before (``SidecarScope``: nobody may squat on them). Of one
    host the oldest entry decides; others of its own namespace add ports, and endpoints to its ports.
    """
    known = set(taken)
    found: dict[str, Service] = {}
    for item in oldest_first(objects, KIND):
        if not visible(item, namespace):
            continue
        for one in services_of_entry(item, trust_domain):
            before = found.get(one.host)
            if one.host in known:
                continue
            if before is None:
                found[one.host] = one
            elif before.namespace == one.namespace:
                found[one.host] = _merged(before, one)
    return list(found.values())


def services_of_entry(entry: Manifest, trust_domain: str = "cluster.local") -> list[Service]:
    """A service for each host of one ServiceEntry."""
    spec, namespace = entry.get("spec") or {}, namespace_of(entry)
    ports = tuple(_port(port) for port in spec.get("ports") or ())
    selector = (spec.get("workloadSelector") or {}).get("labels")
    endpoints = tuple(_endpoint(one, ports, entry, trust_domain) for one in spec.get("endpoints") or ())
    return [
        Service(
            name=host,
            namespace=namespace,
            host=host,
            ports=ports,
            selector=selector or None,
            labels=labels_of(entry),
            entry=True,
            # Left out it is MESH_EXTERNAL, the first of protobuf's values.
            external=spec.get("location") != "MESH_INTERNAL",
            addresses=tuple(spec.get("addresses") or ()),
            endpoints=endpoints,
            identities=tuple(spec.get("subjectAltNames") or ()),
        )
        # As written: unlike other objects' hosts, a short name is not completed.
        for host in (str(name).lower() for name in spec.get("hosts") or ())
    ]


def _port(port: Mapping[str, Any]) -> ServicePort:
    number, name = int(port["number"]), str(port.get("name") or "")
    return ServicePort(number, name, _protocol(port), {**port, "port": number})


def _protocol(port: Mapping[str, Any]) -> Protocol:
    """As written, in any case; none: what the client speaks first says it."""
    said = str(port.get("protocol") or "").lower()
    return protocol({"port": port["number"], "appProtocol": said}) if said else "auto"


def _endpoint(
    endpoint: Mapping[str, Any], ports: tuple[ServicePort, ...], entry: Manifest, trust_domain: str
) -> StaticEndpoint:
    """Its own port goes before the entry's targetPort, that before the port itself."""
    own, labels = endpoint.get("ports") or {}, endpoint.get("labels") or {}
    account = endpoint.get("serviceAccount")
    mutual = labels[TLS_MODE] == _MUTUAL if TLS_MODE in labels else bool(account)
    return StaticEndpoint(
        address=str(endpoint["address"]),
        ports={port.number: int(own.get(port.name) or port.spec.get("targetPort") or port.number) for port in ports},
        entry=str(entry["metadata"]["name"]),
        labels=labels,
        weight=int(endpoint.get("weight") or 1),
        locality=str(endpoint.get("locality") or ""),
        mutual=mutual,
        identity=f"spiffe://{trust_domain}/ns/{namespace_of(entry)}/sa/{account}" if account else "",
    )


def _merged(first: Service, other: Service) -> Service:
    extra = tuple(port for port in other.ports if first.port(port.number) is None)
    return replace(
        first,
        ports=(*first.ports, *extra),
        addresses=tuple(dict.fromkeys((*first.addresses, *other.addresses))),
        endpoints=(*first.endpoints, *other.endpoints),
        identities=tuple(dict.fromkeys((*first.identities, *other.identities))),
    )
