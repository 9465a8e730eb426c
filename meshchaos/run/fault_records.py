"""The record of a fault as it begins: what is known of it from its placement alone."""

from __future__ import annotations

from collections.abc import Mapping

from meshchaos.faults.kind import (
    AcceptedProof,
    ConfigProof,
    EndpointsProof,
    KilledProof,
    PartitionProof,
    Placement,
    StaleProof,
    WeightsProof,
)
from meshchaos.history.records import FaultRecord, ProvedBy

_PROOFS: Mapping[type, ProvedBy] = {
    ConfigProof: "config",
    WeightsProof: "weights",
    EndpointsProof: "endpoints",
    AcceptedProof: "accepted",
    KilledProof: "killed",
    PartitionProof: "partition",
    StaleProof: "stale",
}


def record_of(placement: Placement) -> FaultRecord:
    """The record of a fault that was not applied yet."""
    index = placement.id.rpartition("-")[2]
    return FaultRecord(
        id=placement.id,
        index=int(index) if index.isdigit() else 0,
        kind=placement.kind,
        at=placement.at,
        edge=placement.edge,
        reason=placement.reason,
        share=placement.share,
        objects=tuple(str(change.ref) for change in placement.changes),
        bypassed=placement.bypassed,
        proof=_PROOFS.get(type(placement.proof), "injection"),
    )
