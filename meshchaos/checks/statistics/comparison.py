"""What a test of a canary against a baseline says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["holds", "violated", "undecided"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """``outcome`` at the confidence asked. ``estimate`` of canary / baseline and its ``interval``, each end one-sided;
    None where there is no bound (nothing bad in the baseline; a quantile among requests that never ended).
    ``by``: which rule decided, ``ratio`` or ``negligible``; empty while undecided.
    """

    outcome: Outcome
    estimate: float | None
    interval: tuple[float | None, float | None]
    by: Literal["ratio", "negligible", ""] = ""
