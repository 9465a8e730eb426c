"""Which edge a fault is about: the service and its replicas on one side, the clients on the other."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from meshchaos.errors import CannotPlace
from meshchaos.faults.matching import Match
from meshchaos.faults.rules import effective_rule
from meshchaos.mesh.istio import destination_rules
from meshchaos.mesh.istio.ports import may_be_http, target_port
from meshchaos.mesh.istio.service_entries import entry_services
from meshchaos.mesh.istio.services import Service, ServicePort, find_service, services, workloads_of
from meshchaos.mesh.istio.workloads import find_workloads
from meshchaos.mesh.seam import Replica, Snapshot, Workload

_NOT_IDENTITY = ("pod-template-hash", "chaos-")
"""Labels that say nothing about what a workload is."""


@dataclass(frozen=True, slots=True)
class HttpFault:
    """One delay or abort as asked for. ``delay`` in seconds; ``percentage`` 0..100; ``replicas`` a number or a share
    (0..1, float); ``sources``: the clients meant, none: every one. ``at`` None: where it belongs.
    """

    to: str
    sources: tuple[str, ...] = ()
    subset: str | None = None
    workload: str | None = None
    replicas: int | float | None = None
    delay: float | None = None
    http_status: int | None = None
    grpc_status: str | None = None
    percentage: float = 100.0
    at: Literal["server", "client"] | None = None
    match: Match = field(default_factory=Match)

    @property
    def key(self) -> str:
        return "delay" if self.delay is not None else "abort"

    @property
    def flag(self) -> str:
        return "DI" if self.delay is not None else "FI"

    @property
    def counter(self) -> str:
        return "delays_injected" if self.delay is not None else "aborts_injected"


class _Labelled(Protocol):
    @property
    def labels(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Source:
    """The clients that ``from`` names: workloads, or an identity alone."""

    words: str
    workloads: tuple[Workload, ...]
    identities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """``servers``: the workloads behind the service that are meant, ``others`` those that are not (another subset).
    ``target_ports``: the containers' ports behind ``port``. ``source`` None: every client.
    """

    service: Service
    port: ServicePort
    servers: tuple[Workload, ...]
    others: tuple[Workload, ...]
    target_ports: tuple[int, ...]
    subset_labels: Mapping[str, str] = field(default_factory=dict)
    source: Source | None = None

    def __str__(self) -> str:
        return f"{self.source.words if self.source else 'every client'} -> {self.service.name}:{self.port.number}"

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """The replicas that are meant and ready."""
        return tuple(r for server in self.servers for r in server.replicas if r.ready)


def resolve(fault: HttpFault, mesh: Snapshot, namespace: str) -> Edge:
    """The edge of a fault. Raises UserError, CannotPlace: no such service, subset, workload; port not HTTP."""
    found = find_service(mesh.objects, fault.to, namespace, mesh.domain)
    service, port = found.service, found.port or _http_port(found.service)
    if not may_be_http(port.protocol):
        raise CannotPlace(
            f"port {port.number} of {service} is {port.protocol.upper()}, and HTTP faults act on HTTP alone; if it "
            f"speaks HTTP after all, name the port http-... or set its appProtocol: http"
        )
    behind = tuple(workloads_of(service, mesh.workloads))
    if not behind:
        raise CannotPlace(f"no workload stands behind service {service} (its selector matches no Pod template)")
    servers = behind
    subset_labels: Mapping[str, str] = {}
    if fault.subset is not None:
        servers, subset_labels = _subset(fault.subset, service, behind, mesh)
    if fault.workload is not None:
        chosen = find_workloads(mesh.workloads, fault.workload, service.namespace)
        servers = tuple(one for one in servers if one in chosen)
        if not servers:
            names = ", ".join(one.name for one in behind)
            raise CannotPlace(f"workload {fault.workload} is not behind service {service}; {names} is")
    specs = pod_specs(mesh)
    ports = {target_port(port.spec, specs.get((one.namespace, one.name))) for one in servers}
    if None in ports:
        raise CannotPlace(f"no container of {service} declares the port {port.spec.get('targetPort')!r}")
    return Edge(
        service=service,
        port=port,
        servers=servers,
        others=tuple(one for one in behind if one not in servers),
        target_ports=tuple(sorted(number for number in ports if number is not None)),
        subset_labels=subset_labels,
        source=source_of(fault.sources, mesh, namespace) if fault.sources else None,
    )


def resolve_for_clients(fault: HttpFault, mesh: Snapshot, namespace: str) -> Edge:
    """As ``resolve``, for faults in the clients' proxies: ``to`` may also be a host of a ServiceEntry, whose servers
    are nobody's here.
    """
    kubernetes = {service.host for service in services(mesh.objects, mesh.domain)}
    host, colon, wanted = fault.to.partition(":")
    entries = entry_services(mesh.objects, namespace, kubernetes, mesh.trust_domain)
    service = next((one for one in entries if one.host == host.lower()), None)
    if service is None:
        return resolve(fault, mesh, namespace)
    for what in ("subset", "workload", "replicas"):
        if getattr(fault, what) is not None:
            raise CannotPlace(f"{what}: the servers of {host}, a host of a ServiceEntry, are not told apart here")
    known = [port for port in service.ports if not colon or wanted in (str(port.number), port.name)]
    if not known:
        there = ", ".join(f"{port.number} ({port.name})" for port in service.ports)
        raise CannotPlace(f"{host} has no port {wanted!r}; it has {there}")
    port = known[0] if colon else _http_port(service)
    if not may_be_http(port.protocol):
        raise CannotPlace(f"port {port.number} of {host} is {port.protocol.upper()}, and HTTP faults act on HTTP alone")
    source = source_of(fault.sources, mesh, namespace) if fault.sources else None
    return Edge(service, port, servers=(), others=(), target_ports=(), source=source)


def choose_replicas(asked: int | float, edge: Edge, seed: int, index: int) -> tuple[Replica, ...]:
    """So many of the edge's replicas, drawn by the seed; a share is rounded up. Raises CannotPlace."""
    there = sorted(edge.replicas, key=lambda replica: replica.name)
    count = how_many(asked, len(there), str(edge.service))
    drawn = random.Random(f"{seed}/{index}").sample(there, count)
    return tuple(sorted(drawn, key=lambda replica: replica.name))


def how_many(asked: int | float, there: int, words: str) -> int:
    """Replicas of so many; a share is rounded up. Raises CannotPlace."""
    count = math.ceil(asked * there - 1e-9) if isinstance(asked, float) else asked
    if not 1 <= count <= there:
        raise CannotPlace(f"replicas: {asked} of {words} were asked for, and {there} are ready")
    return count


def identity_labels(workload: _Labelled) -> dict[str, str]:
    """The labels that say what a workload is: no template hash, none of ours."""
    return {key: value for key, value in workload.labels.items() if not key.startswith(_NOT_IDENTITY)}


def pod_specs(mesh: Snapshot) -> dict[tuple[str, str], Mapping[str, object]]:
    """(namespace, Deployment) -> the Pod template's ``spec``."""
    result: dict[tuple[str, str], Mapping[str, object]] = {}
    for item in mesh.of_kind("Deployment"):
        meta = item["metadata"]
        spec = ((item.get("spec") or {}).get("template") or {}).get("spec") or {}
        result[(str(meta.get("namespace") or "default"), str(meta["name"]))] = spec
    return result


def same_edge(about: str, edge: Edge) -> bool:
    """Whether a claim is about this edge. ``about`` is ``from -> to`` in the user's references; either may be empty,
    ``from`` several with commas.
    """
    source, _, target = about.rpartition("->")
    source, target = source.strip(), target.strip()
    names = {edge.service.name, str(edge.service), edge.service.host}
    if target and target.partition(":")[0] not in names:
        return False
    if not source or edge.source is None:
        return True
    meant = {edge.source.words, *(one.name for one in edge.source.workloads)}
    claimed = {name.strip().partition(".")[0] for name in source.split(",")}
    return not claimed.isdisjoint(name.partition(".")[0] for name in meant)


def _http_port(service: Service) -> ServicePort:
    http = [port for port in service.ports if may_be_http(port.protocol)]
    if len(http) == 1:
        return http[0]
    listed = ", ".join(f"{port.number} ({port.protocol})" for port in service.ports)
    if not http:
        raise CannotPlace(f"service {service} has no HTTP port, only {listed or 'none at all'}")
    raise CannotPlace(f"service {service} has several ports, {listed}: write to: {service.name}:{http[0].number}")


def _subset(
    name: str, service: Service, behind: tuple[Workload, ...], mesh: Snapshot
) -> tuple[tuple[Workload, ...], Mapping[str, str]]:
    rule = effective_rule(service, mesh)
    found = destination_rules.subset(rule, name)
    if found is None:
        known = [str(item["name"]) for item in ((rule or {}).get("spec") or {}).get("subsets") or ()]
        raise CannotPlace(
            f"no DestinationRule defines subset {name!r} of {service}; "
            + (f"it has {', '.join(known)}" if known else "name a workload instead")
        )
    labels = dict(found.get("labels") or {})
    chosen = tuple(one for one in behind if all(one.labels.get(key) == value for key, value in labels.items()))
    if not chosen:
        raise CannotPlace(f"no workload behind {service} has the labels of subset {name!r}")
    return chosen, labels


def source_of(references: Sequence[str], mesh: Snapshot, namespace: str) -> Source:
    """Who is meant by a file's ``from``. Raises UserError, CannotPlace."""
    workloads: list[Workload] = []
    identities: list[str] = []
    for reference in references:
        if reference.startswith("spiffe://"):
            workloads += [one for one in mesh.workloads if identity_of(one, mesh) == reference]
            identities.append(reference)
            continue
        if reference == "gateway" and not any(one.name == "gateway" for one in mesh.workloads):
            found = [one for one in mesh.workloads if one.gateway]
            if not found:
                raise CannotPlace("there is no gateway in this mesh")
        else:
            found = find_workloads(mesh.workloads, reference, namespace)
        workloads += found
        identities += [identity_of(one, mesh) for one in found]
    unique = {(one.namespace, one.name): one for one in workloads}
    return Source(", ".join(references), tuple(unique.values()), tuple(dict.fromkeys(identities)))


def identity_of(workload: Workload, mesh: Snapshot) -> str:
    """``spiffe://<trust domain>/ns/<namespace>/sa/<service account>``."""
    return f"spiffe://{mesh.trust_domain}/ns/{workload.namespace}/sa/{workload.service_account}"


def refuse_shared_accounts(source: Source, mesh: Snapshot, remedy: str = "") -> None:
    """A server knows a client by its ServiceAccount. Raises CannotPlace where others have it, too."""
    meant = {(one.namespace, one.name) for one in source.workloads}
    for identity in source.identities:
        sharing = [
            one.name
            for one in mesh.workloads
            if identity_of(one, mesh) == identity and (one.namespace, one.name) not in meant
        ]
        if sharing:
            account = identity.rpartition("/")[2]
            raise CannotPlace(
                f"at the server, {source.words} is known by its ServiceAccount {account}, which {', '.join(sharing)} "
                f"{'has' if len(sharing) == 1 else 'have'} too: give {source.words} one of its own, or name them "
                f"all in from: by their app label{remedy}"
            )
