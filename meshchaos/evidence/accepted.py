"""Did the mesh hold the objects of a fault: the least that can be shown, where nobody knows what they do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from meshchaos.errors import EvidenceError, MeshError
from meshchaos.history.records import FaultRecord
from meshchaos.mesh.apply import Objects, is_applied
from meshchaos.mesh.changes import Change


class AcceptedProver:
    """The proof of one fault; made before its first change."""

    def __init__(self, mesh: Objects, changes: Sequence[Change], words: str) -> None:
        """``words`` say what was put there."""
        self._mesh = mesh
        self._changes = changes
        self._words = words
        self._held: float | None = None

    def collect(self) -> None:
        """Looks until the mesh holds all of it. Raises EvidenceError."""
        if self._held is not None:
            return
        at = time.time()
        try:
            held = all(is_applied(self._mesh, change) for change in self._changes)
        except MeshError as error:
            raise EvidenceError(f"the mesh does not tell what it holds: {error}") from error
        self._held = at if held else None

    def finish(self, record: FaultRecord) -> FaultRecord:
        """The record with what was held. Raises EvidenceError where it was never seen."""
        if self._held is None or self._held > (record.removed_at or self._held):
            raise EvidenceError(f"the mesh was never seen to hold {self._words} while the {record.kind} was live")
        return replace(record, shown=(f"the mesh held {self._words}",))
