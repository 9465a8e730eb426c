"""Did a workload get another number of replicas: seen in the mesh while a fault is live."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Protocol

from meshchaos.errors import EvidenceError, MeshError
from meshchaos.history.records import FaultRecord
from meshchaos.mesh.seam import Snapshot


class Proof(Protocol):
    """``meshchaos.faults.kind.EndpointsProof`` is one and describes the fields."""

    @property
    def workload(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def ready(self) -> int: ...


class Asked(Protocol):
    """The part of ``Mesh`` that is needed here."""

    def snapshot(self) -> Snapshot: ...


class EndpointsProver:
    """The proof of one fault; made before its first change."""

    def __init__(self, mesh: Asked, proof: Proof) -> None:
        """Remembers who is ready. Raises EvidenceError."""
        self._mesh = mesh
        self._proof = proof
        self._before = self._ready()
        self._last = self._before
        self._seen: tuple[str, ...] | None = None
        self._seen_at = 0.0

    def collect(self) -> None:
        """Looks until the number that is asked for was there. Raises EvidenceError."""
        if self._seen is None:
            self._seen_at = time.time()
            self._last = self._ready()
            if len(self._last) == self._proof.ready and self._last != self._before:
                self._seen = self._last

    def finish(self, record: FaultRecord) -> FaultRecord:
        """The record with what was seen. Raises EvidenceError where that number never was."""
        name = f"{self._proof.workload}.{self._proof.namespace}"
        if self._seen is None or self._seen_at > (record.removed_at or self._seen_at):
            raise EvidenceError(
                f"{name} had {len(self._last)} replicas ready, and never {self._proof.ready}, while the {record.kind} "
                f"was live"
            )
        lines = [f"{name} had {len(self._before)} replicas ready before and {len(self._seen)} during it"]
        lines += [f"gone: {name}" for name in self._before if name not in self._seen]
        lines += [f"new: {name}" for name in self._seen if name not in self._before]
        return replace(record, shown=tuple(lines))

    def _ready(self) -> tuple[str, ...]:
        try:
            workloads = self._mesh.snapshot().workloads
        except MeshError as error:
            raise EvidenceError(f"the mesh does not tell what replicas there are: {error}") from error
        return tuple(
            replica.name
            for workload in workloads
            if (workload.name, workload.namespace) == (self._proof.workload, self._proof.namespace)
            for replica in workload.replicas
            if replica.ready
        )
