"""How few replicas of a workload were ready while some of them were killed, and who came in their place."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Protocol

from meshchaos.errors import EvidenceError, MeshError
from meshchaos.history.records import FaultRecord
from meshchaos.mesh.seam import Snapshot


class Proof(Protocol):
    """``meshchaos.faults.kind.KilledProof`` is one and describes the fields."""

    @property
    def workload(self) -> str: ...
    @property
    def namespace(self) -> str: ...


class Asked(Protocol):
    """The part of ``Mesh`` that is needed here."""

    def snapshot(self) -> Snapshot: ...


class KilledProver:
    """The proof of one fault; made before its first kill. That each of those killed was ready and then was not is seen
    as it is done (``run.killing``): one may have come and gone between two looks of ``collect``.
    """

    def __init__(self, mesh: Asked, proof: Proof) -> None:
        """Remembers who is there. Raises EvidenceError."""
        self._mesh = mesh
        self._proof = proof
        self._before = self._fewest = len(self._ready())
        self._seen = set(self._ready())
        self._came: list[str] = []
        self._turns: list[float] = []
        self._many, self._looked = self._before, time.time()

    def collect(self) -> None:
        """Counts those that are ready. Raises EvidenceError."""
        at, ready = time.time(), self._ready()
        if len(ready) > self._many:
            self._turns += (self._looked, at)  # somebody came back between the two
        self._many, self._looked = len(ready), at
        self._came += [name for name in ready if name not in self._seen]
        self._seen.update(ready)
        self._fewest = min(self._fewest, len(ready))

    def finish(self, record: FaultRecord) -> FaultRecord:
        """The record with what was seen. Raises EvidenceError where nobody was killed."""
        self.collect()
        if not record.killed:
            raise EvidenceError(f"nobody of {self._proof.workload} was killed")
        many = len(record.killed)
        lines = [
            f"{many} {'replica' if many == 1 else 'replicas'} of {self._proof.workload} killed, each seen to end; "
            f"{self._before} were ready before, and {self._fewest} when they were fewest"
        ]
        lines += [f"killed: {name}" for name in record.killed]
        lines += [f"new: {name}" for name in self._came if name not in record.killed]
        return replace(record, shown=tuple(lines), turns=tuple(sorted((*record.turns, *self._turns))))

    def _ready(self) -> list[str]:
        try:
            workloads = self._mesh.snapshot().workloads
        except MeshError as error:
            raise EvidenceError(f"the mesh does not tell what replicas there are: {error}") from error
        return [
            f"{replica.name}.{replica.namespace}"
            for workload in workloads
            if (workload.name, workload.namespace) == (self._proof.workload, self._proof.namespace)
            for replica in workload.replicas
            if replica.ready
        ]
