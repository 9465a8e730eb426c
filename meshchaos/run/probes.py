"""The matrices that checks ask for, found on one mesh: who calls what; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Final
from urllib.parse import quote

from meshchaos.checks.kind import Check, asks_of
from meshchaos.errors import FileError, UserError
from meshchaos.experiment.model import Experiment
from meshchaos.experiment.problems import unknown
from meshchaos.faults.edge import identity_of, pod_specs
from meshchaos.history.asks import ProbeAsk
from meshchaos.history.probes import Cell, ProbeRecord
from meshchaos.mesh.istio.gateways import Way, way_in
from meshchaos.mesh.istio.policies import governing
from meshchaos.mesh.istio.ports import may_be_http, target_port
from meshchaos.mesh.istio.services import Service, ServicePort, find_service, services, services_of, workloads_of
from meshchaos.mesh.istio.workloads import find_workloads
from meshchaos.mesh.seam import Snapshot, Workload

MOST: Final = 200
"""Cells that one run may have: each is a call a second at least, and the mesh is not there for them."""
CALLS: Final = 40.0
"""Calls per second of all cells together where they are few; more cells than that are called once a second each."""
SLOWEST: Final = 1.0
FASTEST: Final = 0.2
"""Seconds between two calls of one cell."""
_IDENTITY: Final = "spiffe://"
FEWEST: Final = 5
"""Calls of a cell that a verdict takes."""


def probes_of(checks: Sequence[Check], mesh: Snapshot, namespace: str) -> tuple[ProbeRecord, ...]:
    """Every matrix asked for, each once. Raises FileError, at the expectation that asked, for a name that is nobody's
    and for more than can be called.
    """
    found: dict[ProbeAsk, ProbeRecord] = {}
    total = 0
    for check in checks:
        for ask in asks_of([check]):
            if not isinstance(ask, ProbeAsk) or ask in found:
                continue
            try:
                found[ask] = probes_for(ask, mesh, namespace, room=MOST - total)
                total += len(found[ask].cells)
            except UserError as error:
                where = getattr(check, "where", None)
                if where is None or isinstance(error, FileError):
                    raise
                raise FileError(str(error), file=where.file, line=where.line, col=where.col, path=where.path) from error
    every = min(SLOWEST, max(FASTEST, total / CALLS))
    return tuple(replace(record, every=every) for record in found.values())


def probes_for(ask: ProbeAsk, mesh: Snapshot, namespace: str, *, room: int = MOST) -> ProbeRecord:
    """One matrix. Raises UserError for names that are nobody's, a port that is not HTTP, callers without a sidecar, and
    more than ``room`` cells.
    """
    left_out: list[str] = []
    targets = list(_everything(mesh, left_out)) if ask.to == "*" else [_target(ask.to, mesh, namespace)]
    callers = [_named(source, mesh, namespace) for source in ask.sources] or _others(ask, mesh, namespace, left_out)
    cells: list[Cell] = []
    for (service, port), caller in product(targets, callers):
        way = None
        if caller == "gateway":
            way = way_in(mesh.objects, service.host, port.number, mesh.domain)
            if way is None and ask.sources:
                raise UserError(f"no route leads from a gateway to {service}:{port.number}, so none can call it")
            if way is None:
                left_out.append(f"gateway: no route leads from it to {service}")
                continue
        lost = [path for path in ask.paths if way is not None and not way.leads(path)]
        if lost and ask.sources:
            raise UserError(
                f"the gateway's routes do not lead {', '.join(lost)} to {service}: it answers by itself, and no policy "
                f"is asked; leave it out, or name a path such as {way.path if way is not None else '/'}"
            )
        left_out += [f"gateway: its routes do not lead {path} to {service}" for path in lost]
        cells += [
            cell for cell in _cells(ask, caller, service, port, way=way, namespace=namespace) if cell.path not in lost
        ]
    if not cells:
        raise UserError(f"there is nobody to call {ask.to}: {'; '.join(left_out) or 'no service is there'}")
    if len(cells) > room:
        raise UserError(f"makes {len(cells)} calls, and of the {MOST} that a run may make {room} are left: name fewer")
    return ProbeRecord(ask, tuple(cells), left_out=tuple(left_out), counted=_counted(targets, mesh))


def shortages(experiment: Experiment, records: Sequence[ProbeRecord]) -> Iterator[str]:
    """Why this run cannot decide about a matrix, and what a breach would do; one line each."""
    for record in records:
        for name in record.ask.during:
            phase = experiment.phase(name)
            if phase is not None and phase.at_most / record.every < FEWEST + 1:
                yield (
                    f"probes {record.ask}: {name} lasts {phase.at_most:g}s and brings about "
                    f"{int(phase.at_most / record.every)} calls of each cell; a verdict takes {FEWEST}"
                )
        unsafe = [method for method in record.ask.methods if method not in SAFE]
        if unsafe and record.ask.once:
            yield f"probes {record.ask}: should the mesh let it through, the application gets a {', '.join(unsafe)}"


def open_doors(records: Sequence[ProbeRecord], mesh: Snapshot, namespace: str) -> Iterator[str]:
    """Services that a call is to be refused at, and that no policy could refuse it at; one line each."""
    told: set[str] = set()
    for record in records:
        if not record.ask.once or record.ask.to == "*":
            continue
        service, _ = _target(record.ask.to, mesh, namespace)
        behind = [one for one in workloads_of(service, mesh.workloads) if one.sidecar]
        gateways = [one for one in mesh.workloads if one.gateway]
        guards = [*behind, *(gateways if any(cell.source == "gateway" for cell in record.cells) else [])]
        kinds = ("AuthorizationPolicy", "RequestAuthentication")
        if any(governing(mesh.objects, kind, one.namespace, one.labels) for kind in kinds for one in guards):
            continue
        identities = [cell.source for cell in record.cells if not cell.plaintext]
        if identities and str(service) not in told:
            told.add(str(service))
            yield (
                f"probes {record.ask}: neither AuthorizationPolicy nor RequestAuthentication selects {service}, so "
                f"nothing can refuse a call of {identities[0]}"
            )


SAFE: Final = ("GET", "HEAD", "OPTIONS")
"""Methods that ask for no change (RFC 9110, 9.2.1), TRACE left out."""


def _target(reference: str, mesh: Snapshot, namespace: str) -> tuple[Service, ServicePort]:
    found = find_service(mesh.objects, reference, namespace, mesh.domain)
    service, port = found.service, found.port
    if port is None:
        http = [one for one in service.ports if may_be_http(one.protocol)]
        if len(http) != 1:
            listed = ", ".join(f"{one.number} ({one.protocol})" for one in service.ports)
            raise UserError(f"service {service} has several ports, {listed}: write port: <number>")
        port = http[0]
    if not may_be_http(port.protocol):
        raise UserError(
            f"port {port.number} of {service} is {port.protocol.upper()}, and probes are HTTP requests; if it speaks "
            "HTTP after all, name the port http-... or set its appProtocol: http"
        )
    return service, port


def _everything(mesh: Snapshot, left_out: list[str]) -> Iterator[tuple[Service, ServicePort]]:
    """Every HTTP port of every Service with a sidecar behind it."""
    for service in services(mesh.objects, mesh.domain):
        behind = [one for one in workloads_of(service, mesh.workloads) if not one.gateway]
        if not any(one.sidecar for one in behind):
            if behind:
                left_out.append(f"{service}: it has no sidecar")
            continue
        for port in service.ports:
            if may_be_http(port.protocol):
                yield service, port
            else:
                left_out.append(f"{service}:{port.number}: it is {port.protocol.upper()}")


def _named(source: str, mesh: Snapshot, namespace: str) -> str:
    """One caller in the user's words; a workload in full, an ``app`` label stands for the first of its workloads."""
    if source in ("gateway", "outside"):
        return source
    workloads = _meant(source, mesh, namespace)
    able = [one for one in workloads if one.sidecar]
    if not able:
        raise UserError(f"workload {source} has no sidecar, so it has no identity: write from: outside")
    by_identity = source.startswith(_IDENTITY)
    if by_identity or len(workloads) == len(able) == 1 or any(one.name == source.partition(".")[0] for one in able):
        return f"{able[0].name}.{able[0].namespace}"
    return f"{source.partition('.')[0]}.{able[0].namespace}"


def _meant(reference: str, mesh: Snapshot, namespace: str) -> list[Workload]:
    """By name, label, or identity. Raises UserError for nobody's."""
    if not reference.startswith(_IDENTITY):
        return find_workloads(mesh.workloads, reference, namespace)
    found = [one for one in mesh.workloads if identity_of(one, mesh) == reference and not one.gateway]
    if not found:
        known = dict.fromkeys(identity_of(one, mesh) for one in mesh.workloads if one.sidecar and not one.gateway)
        raise UserError(unknown("no workload calls as", reference, sorted(known)))
    return found


def _others(ask: ProbeAsk, mesh: Snapshot, namespace: str, left_out: list[str]) -> list[str]:
    """Every caller but those named: workloads with a sidecar, the gateway, and outside."""
    but: list[Workload] = []
    for reference in ask.but:
        if reference not in ("gateway", "outside"):
            but += _meant(reference, mesh, namespace)
    callers = []
    for workload in mesh.workloads:
        if workload in but or workload.gateway:
            continue
        if not workload.sidecar:
            left_out.append(f"{workload.name}.{workload.namespace}: without a sidecar it is as outside is")
            continue
        callers.append(f"{workload.name}.{workload.namespace}")
    gateway = any(one.gateway for one in mesh.workloads) and not any(one.gateway for one in but)
    more = [*(["gateway"] if gateway else []), "outside"]
    return sorted(callers) + [one for one in more if one not in ask.but]


def _cells(
    ask: ProbeAsk, caller: str, service: Service, port: ServicePort, *, way: Way | None, namespace: str
) -> Iterator[Cell]:
    home = namespace if caller == "outside" else caller.rpartition(".")[2]
    name = service.name if service.namespace == home else f"{service.name}.{service.namespace}"
    base = way.url if way is not None else f"http://{name}:{port.number}"
    paths = ask.paths or (way.path if way is not None else "/",)
    for method, path, token in product(ask.methods, paths, range(len(ask.tokens))):
        url = base + quote(path, safe="/?&=%:@!$'()*+,;~")
        yield Cell(caller, f"{service}:{port.number}", method, path, url, token)


def _counted(targets: Sequence[tuple[Service, ServicePort]], mesh: Snapshot) -> tuple[str, ...]:
    """Replicas behind that have one port only, so that all which their applications get came in there."""
    known = services(mesh.objects, mesh.domain)
    specs = pod_specs(mesh)
    found: list[str] = []
    if len(targets) != 1:
        return ()
    for workload in workloads_of(targets[0][0], mesh.workloads):
        spec = specs.get((workload.namespace, workload.name))
        ports = {target_port(port.spec, spec) for one in services_of(workload, known) for port in one.ports}
        if workload.sidecar and len(ports) == 1:
            found += [f"{replica.name}.{replica.namespace}" for replica in workload.replicas]
    return tuple(found)
