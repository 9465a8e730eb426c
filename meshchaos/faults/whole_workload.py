"""What the faults about a workload's replicas share: which one is meant, and that two never meet on one."""

from __future__ import annotations

from collections.abc import Sequence

from meshchaos.errors import CannotPlace
from meshchaos.faults.kind import EndpointsProof, KilledProof, Placement
from meshchaos.mesh.istio.workloads import find_workloads
from meshchaos.mesh.seam import Snapshot, Workload


def the_workload(mesh: Snapshot, reference: str, namespace: str) -> Workload:
    """The one that is meant. Raises UserError (there is none), CannotPlace (several versions)."""
    found = find_workloads(mesh.workloads, reference, namespace)
    if len(found) != 1:
        names = ", ".join(one.name for one in found)
        raise CannotPlace(f"{reference} is several workloads ({names}): name one of them")
    return found[0]


def refuse_two(placements: Sequence[Placement]) -> tuple[Placement, ...]:
    """``combine`` of these kinds. Raises CannotPlace for two that are about one workload: neither could be proved."""
    taken: set[tuple[str, str]] = set()
    for placement in placements:
        proof = placement.proof
        assert isinstance(proof, EndpointsProof | KilledProof)
        key = (proof.namespace, proof.workload)
        if key in taken:
            raise CannotPlace(f"two faults are about the replicas of {proof.workload}: put them in two experiments")
        taken.add(key)
    return tuple(placements)
