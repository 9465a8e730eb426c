"""The clients of the mesh's own that a run needs: who calls from where this machine is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from meshchaos.errors import AlreadyExists, CannotPlace, Conflict, NotFound, Refused
from meshchaos.experiment.model import Where
from meshchaos.faults.kind import ConfigProof, PartitionProof, Placement, Proof
from meshchaos.mesh.seam import Call, Mesh
from meshchaos.run.placing import at_place, fault_id
from meshchaos.run.plan import Plan


def with_callers(plan: Plan, mesh: Mesh) -> Plan:
    """The plan with the callers that it needs, and what is to be known of them. Raises FileError, at what asks, where
    there can be none, or the mesh would not take them.
    """
    found: dict[str, tuple[str, ...]] = {}
    for where, calls in _calls(plan):
        with at_place(where):
            try:
                found |= mesh.callers(calls)
            except (AlreadyExists, Conflict, NotFound, Refused) as error:
                raise CannotPlace(str(error)) from error
    if not found:
        return plan
    warnings = (line for lines in found.values() for line in lines)
    return replace(plan, callers=tuple(found), warnings=(*plan.warnings, *warnings))


def _calls(plan: Plan) -> Iterator[tuple[Where, list[Call]]]:
    """All that a run requests, with the place in the file that asks for it."""
    experiment, namespace = plan.experiment, plan.namespace
    for load in experiment.loads:
        yield load.where or experiment.where, [Call(load.source, load.target, namespace)]
    for record in plan.probes:
        pairs = dict.fromkeys((cell.source, cell.url) for cell in record.cells)
        yield plan.place_of(record), [Call(source, url, namespace) for source, url in pairs]
    wheres = {fault_id(plan.run_id, fault.index): fault.where for fault in experiment.faults}
    for one in plan.placements:
        probe = one.proof.probe if isinstance(one.proof, ConfigProof) else None
        if probe is not None:
            yield wheres.get(one.id, experiment.where), [Call(probe.source, probe.url, probe.namespace)]


def proved_by_callers_too(mesh: Mesh, placement: Placement) -> Placement:
    """With the proxies of callers among those that prove a fault at the client: what they send meets it as well, and
    they were not there when it was planned.
    """
    proof: Any = placement.proof
    if isinstance(proof, Proof) and proof.side == "outbound":
        return replace(placement, proof=replace(proof, replicas=_and_callers(mesh, proof.replicas)))
    if isinstance(proof, PartitionProof):
        return replace(placement, proof=replace(proof, clients=_and_callers(mesh, proof.clients)))
    return placement


def _and_callers(mesh: Mesh, names: Iterable[str]) -> tuple[str, ...]:
    known = tuple(names)
    proxies = mesh.proxies()
    workloads = {(one.replica.namespace, one.replica.workload) for one in proxies if one.name in known}
    more = (
        one.name
        for one in proxies
        if one.replica.caller and (one.replica.namespace, one.replica.workload) in workloads and one.name not in known
    )
    return (*known, *more)
