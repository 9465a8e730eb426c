"""Where a run stands, for those who ask in the middle of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Standing:
    """``state`` in words, for a person; ``phase``: the one that lasts, None between two and while a change is made."""

    state: str = "preparing"
    phase: str | None = None
