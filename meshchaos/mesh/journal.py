"""The lock and the undo records of a mesh: the seam, and what one record holds.

The order is the crash contract: ``open`` (durable) before the first change, ``close`` after the undo
was verified. Something other than the runner undoes what is open past its expiry: locally the
supervisor, on a cluster the healer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from meshchaos.mesh.changes import Change


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What one run may have changed. ``expires`` in epoch seconds."""

    run_id: str
    owner: str
    opened: float
    expires: float
    changes: tuple[Change, ...]


class Journal(Protocol):
    def open(self, run_id: str, owner: str, changes: Sequence[Change], lifetime: float) -> None:
        """Takes the lock and records the changes durably, before any is made. ``lifetime`` in seconds.
        Raises Locked when a run holds the lock or an earlier one's entry is still open.
        """

    def renew(self, run_id: str, lifetime: float) -> None:
        """Moves the expiry. Raises Locked when the entry is no longer ours (expired and healed)."""

    def take_over(self, run_id: str) -> None:
        """Somebody else undoes it: from here on the run can neither renew nor write, though its entry is open."""

    def close(self, run_id: str) -> None:
        """Drops the entry and the lock; the changes are undone and verified. Idempotent."""

    def entries(self) -> list[JournalEntry]:
        """What is open, oldest first."""
