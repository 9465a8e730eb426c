"""What a plan may not do, whatever its experiment says: protected namespaces and labels, caps, and only where it is
allowed to write; pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from meshchaos.errors import CannotPlace
from meshchaos.experiment.config import Safety
from meshchaos.faults.kind import (
    ConfigProof,
    EndpointsProof,
    KilledProof,
    PartitionProof,
    Placement,
    Proof,
    StaleProof,
    WeightsProof,
)
from meshchaos.mesh.changes import Create
from meshchaos.mesh.objects import CLUSTER_SCOPED, labels_of, ref_of
from meshchaos.mesh.seam import Replica, Snapshot
from meshchaos.run.placing import at_place, fault_id
from meshchaos.run.plan import Plan
from meshchaos.units import format_duration

_PRODUCTION: Final = re.compile(r"(?:^|[^a-z])(?:prod|production|prd|live)(?:[^a-z]|$)", re.IGNORECASE)


def looks_like_production(context: str, safety: Safety) -> bool:
    """By what meshchaos.yaml says, else by the context's name."""
    return safety.production if safety.production is not None else bool(_PRODUCTION.search(context))


def refuse_unsafe(plan: Plan, mesh: Snapshot, safety: Safety, *, cluster: bool) -> None:
    """Raises FileError, at the fault. On a ``cluster`` nothing is written outside of the mesh's namespaces, but what
    is about the whole mesh by its own words.
    """
    experiment = plan.experiment
    wheres = {fault_id(plan.run_id, fault.index): fault.where for fault in experiment.faults}
    phase = experiment.phase("fault")
    if safety.duration is not None and phase is not None and experiment.faults and phase.at_most > safety.duration:
        with at_place(experiment.where):
            raise CannotPlace(
                f"the fault phase takes {format_duration(phase.at_most)}, and safety.caps.duration is "
                f"{format_duration(safety.duration)}"
            )
    for placement in plan.placements:
        steps = plan.timings[placement.id].steps if placement.id in plan.timings else ()
        placements = (placement, *(step.placement for step in steps))
        with at_place(wheres.get(placement.id, experiment.where)):
            for words in _reasons(placements, mesh, safety, cluster=cluster):
                raise CannotPlace(words)


def _reasons(placements: Sequence[Placement], mesh: Snapshot, safety: Safety, *, cluster: bool) -> Iterator[str]:
    present = {ref_of(manifest): manifest for manifest in mesh.objects}
    for placement in placements:
        for change in placement.changes:
            ref = change.ref
            place = ref.name if ref.kind in CLUSTER_SCOPED else ref.namespace
            if place in safety.namespaces:
                yield f"it writes {ref}, and namespace {place} is protected (safety.protected.namespaces)"
            of_the_mesh = placement.kind == "mtls" and place == mesh.root_namespace
            if cluster and place not in mesh.namespaces and not of_the_mesh:
                there = ", ".join(mesh.namespaces)
                yield f"it writes {ref}, and experiments on this mesh are about namespaces {there} alone"
            owned = change.manifest if isinstance(change, Create) else present.get(ref, {})
            if label := _borne(labels_of(owned), safety):
                yield f"{ref} bears the protected label {label} (safety.protected.labels)"
        touched = _touched(placement, mesh)
        for replica in touched:
            if replica.namespace in safety.namespaces:
                yield f"it touches {replica.name}, and namespace {replica.namespace} is protected"
            if label := _borne(replica.labels, safety):
                yield f"it touches {replica.name}, which bears the protected label {label} (safety.protected.labels)"
        share = 1.0 if isinstance(placement.proof, PartitionProof) else placement.share
        if safety.percentage is not None and share is not None and share * 100 > safety.percentage + 1e-9:
            yield f"it is about {share * 100:g}% of the requests, and safety.caps.percentage is {safety.percentage:g}%"
        count = _count(placement, touched)
        if safety.pods is not None and count > safety.pods:
            yield f"it acts in {count} Pods, and safety.caps.pods is {safety.pods}"


def _borne(labels: Mapping[str, str], safety: Safety) -> str | None:
    return next((f"{key}={value}" for key, value in safety.labels.items() if labels.get(key) == value), None)


def _touched(placement: Placement, mesh: Snapshot) -> list[Replica]:
    """Replicas in which it acts, or of which it ends some."""
    proof, names, workload = placement.proof, set[str](), None
    match proof:
        case Proof():
            names.update(proof.replicas)
        case WeightsProof():
            names.update(proof.replicas)
        case ConfigProof() | StaleProof():
            names.update(proof.proxies)
        case PartitionProof():
            names.update(proof.clients)
        case EndpointsProof() | KilledProof():
            workload = (proof.workload, proof.namespace)
    return [
        replica
        for one in mesh.workloads
        for replica in one.replicas
        if (one.name, one.namespace) == workload or f"{replica.name}.{replica.namespace}" in names
    ]


def _count(placement: Placement, touched: Sequence[Replica]) -> int:
    ready = sum(replica.ready for replica in touched)
    if placement.kill is not None:
        asked = placement.kill.count
        return -int(-asked * ready // 1) if isinstance(asked, float) else min(asked, ready)
    if isinstance(placement.proof, EndpointsProof):
        return abs(ready - placement.proof.ready)
    return len(touched)
