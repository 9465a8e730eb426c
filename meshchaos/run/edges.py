"""The edges that checks ask for, found on one mesh; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshchaos.checks.edge_stop import stop_edge
from meshchaos.checks.kind import Check
from meshchaos.errors import FileError, UserError
from meshchaos.experiment.model import StopIf, Where
from meshchaos.faults.edge import identity_of, pod_specs, source_of
from meshchaos.faults.rules import effective_rule
from meshchaos.history.asks import Ask, EdgeAsk
from meshchaos.history.edges import EdgeRecord, Peer
from meshchaos.mesh.istio.mesh_config import mesh_config
from meshchaos.mesh.istio.ports import target_port
from meshchaos.mesh.istio.services import Service, ServicePort, find_service, workloads_of
from meshchaos.mesh.objects import Manifest
from meshchaos.mesh.seam import Snapshot, Workload


@dataclass(frozen=True)
class Asking:
    """What has asks, and a place in the file."""

    asks: tuple[Ask, ...]
    where: Where | None


def asking(rule: StopIf | None) -> tuple[Asking, ...]:
    """A ``stopIf`` on an edge."""
    edge = stop_edge(rule)
    return () if rule is None or edge is None else (Asking((edge,), rule.where),)


def edges_of(
    checks: Sequence[Check | Asking], mesh: Snapshot, namespace: str, changed: Sequence[Manifest] = ()
) -> tuple[EdgeRecord, ...]:
    """Every edge asked for, each once. ``changed``: objects as the run's own faults will make them. Raises FileError,
    at the expectation that asked, for a name that is nobody's.
    """
    found: dict[EdgeAsk, EdgeRecord] = {}
    for check in checks:
        for ask in getattr(check, "asks", ()):
            if not isinstance(ask, EdgeAsk) or ask in found:
                continue
            try:
                found[ask] = edge_of(ask, mesh, namespace, changed)
            except UserError as error:
                where = getattr(check, "where", None)
                if where is None or isinstance(error, FileError):
                    raise
                raise FileError(str(error), file=where.file, line=where.line, col=where.col, path=where.path) from error
    return tuple(found.values())


def edge_of(ask: EdgeAsk, mesh: Snapshot, namespace: str, changed: Sequence[Manifest] = ()) -> EdgeRecord:
    """One edge. Raises UserError for names that are nobody's, and for a service whose port is not clear.

    Clients without a sidecar leave no lines; where all are such, ``problem`` says so.
    """
    if ask.to == "*":
        return _everywhere(ask, mesh)
    reference = find_service(mesh.objects, ask.to, namespace, mesh.domain)
    service, port = reference.service, reference.port
    if port is None:
        listed = ", ".join(f"{one.number} ({one.protocol})" for one in service.ports)
        raise UserError(f"service {service} has several ports, {listed}: write to: {service.name}:<port>")
    servers = workloads_of(service, mesh.workloads)
    source = source_of(ask.sources, mesh, namespace) if ask.sources else None
    clients = [one for one in (source.workloads if source else mesh.workloads) if one.sidecar or one.gateway]
    problem = None
    if not clients:
        problem = (
            f"{', '.join(ask.sources) or 'no client'} has no sidecar, so no proxy logs what it sends; label its "
            "namespace istio-injection: enabled"
        )
    return EdgeRecord(
        ask=ask,
        service=service.name,
        namespace=service.namespace,
        host=service.host,
        port=port.number,
        target_ports=_target_ports(service, port, servers, mesh),
        identities=source.identities if source else (),
        clients=peers(clients, mesh),
        servers=peers(servers, mesh),
        problem=problem,
        most_attempts=_most_attempts(mesh, changed),
        subsets=_subsets(service, mesh),
    )


def _everywhere(ask: EdgeAsk, mesh: Snapshot) -> EdgeRecord:
    """What comes in at every sidecar."""
    servers = peers([one for one in mesh.workloads if one.sidecar], mesh)
    return EdgeRecord(ask, "", "", "", 0, (), (), (), servers, problem=None if servers else "no workload has a sidecar")


def peers(workloads: Sequence[Workload], mesh: Snapshot) -> tuple[Peer, ...]:
    """Their replicas, each of them."""
    return tuple(
        Peer(
            f"{r.name}.{r.namespace}",
            one.name,
            r.address,
            dict(r.labels),
            r.sidecar or one.gateway,
            identity_of(one, mesh),
        )
        for one in workloads
        for r in one.replicas
    )


def _most_attempts(mesh: Snapshot, changed: Sequence[Manifest]) -> int:
    """One, and the most retries that the default policy (Istio's own: 2) or any route has, before the faults or under
    them.
    """
    default = (mesh_config(mesh.objects).get("defaultHttpRetryPolicy") or {}).get("attempts")
    retries = [int(default or 2)]
    for owner in (*mesh.objects, *changed):
        spec = owner.get("spec") or {}
        if owner.get("kind") == "VirtualService":
            retries += [int((route.get("retries") or {}).get("attempts") or 0) for route in spec.get("http") or ()]
        elif owner.get("kind") == "HTTPRoute":
            retries += [int((rule.get("retry") or {}).get("attempts") or 0) for rule in spec.get("rules") or ()]
    return 1 + max(retries)


def _subsets(service: Service, mesh: Snapshot) -> dict[str, dict[str, str]]:
    rule = effective_rule(service, mesh)
    subsets = ((rule or {}).get("spec") or {}).get("subsets") or ()
    return {str(one["name"]): dict(one.get("labels") or {}) for one in subsets}


def _target_ports(service: Service, port: ServicePort, servers: Sequence[Workload], mesh: Snapshot) -> tuple[int, ...]:
    specs = pod_specs(mesh)
    numbers = {target_port(port.spec, specs.get((one.namespace, one.name))) for one in servers}
    if None in numbers:
        raise UserError(f"no container of {service} declares the port {port.spec.get('targetPort')!r}")
    return tuple(sorted(number for number in numbers if number is not None))
