"""What a kind of expectation is: pure, history -> findings.

Registered under the entry point group ``meshchaos.checks``; ours and a user's own come in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from meshchaos.experiment.model import Expectation, Experiment, PhaseName, Slo, SpecKind
from meshchaos.history.asks import Ask
from meshchaos.history.records import History


class Verdict(StrEnum):
    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """``verdict`` None: there is no such case."""

    verdict: Verdict | None
    text: str


@dataclass(frozen=True, slots=True)
class MatrixRow:
    name: str
    cells: tuple[MatrixCell, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Many cases of one finding, to be shown as a table; each row has a cell a column."""

    columns: tuple[str, ...]
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True, slots=True)
class SideQuantile:
    """A quantile (0..1) of one side's latency, s, with bounds; None where it is among requests that never ended."""

    quantile: float
    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Side:
    """One of two that a finding compares: its name, the attempts at it, how many of them failed, and how long they
    took. ``interval`` of the share that failed.
    """

    name: str
    attempts: int
    failed: int
    interval: tuple[float, float]
    latencies: tuple[SideQuantile, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found in one phase (or over several, the worst of them).

    ``threshold``, ``estimate`` and ``interval`` are in ``unit`` (``share``, ``s``); an unbounded end or
    estimate is None, then ``censored_at`` says from where on nothing is known. ``n`` counts what was
    judged. ``reason`` is one sentence in plain words; ``needs`` how many more samples would decide.
    ``violated_share`` style numbers go into ``evidence`` as lines to show.
    """

    kind: str
    name: str
    during: tuple[PhaseName, ...]
    verdict: Verdict
    reason: str
    threshold: float | None = None
    estimate: float | None = None
    interval: tuple[float | None, float | None] | None = None
    n: int = 0
    unit: str = "share"
    evidence: tuple[str, ...] = ()
    needs: int | None = None
    censored_at: float | None = None
    steady: bool = False
    line: int = 0
    matrix: Matrix | None = None
    edge: str = ""
    """Whose requests it is about, where they are not the loads' own: ``page -> ratings``."""
    sides: tuple[Side, ...] = ()
    """What was compared, the one that others are measured by first."""


class Check(Protocol):
    """One thing to judge. A check that raises is ERROR, never PASS (``checks.judge`` sees to it).

    One that needs more than the loads' samples lists it in an attribute ``asks: tuple[Ask, ...]``.
    """

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def during(self) -> tuple[PhaseName, ...]: ...

    def judge(self, history: History, *, alpha: float) -> Finding:
        """The verdict over its whole phases, by the test for full phases. ``alpha`` one-sided, FAIL side
        already corrected for the number of checks by the caller.
        """


def asks_of(checks: Iterable[Check]) -> tuple[Ask, ...]:
    """What the checks want watched, each once."""
    return tuple(dict.fromkeys(ask for check in checks for ask in getattr(check, "asks", ())))


class EarlyCheck(Check, Protocol):
    """A check that may also be looked at on the way (success, latency)."""

    def look(self, history: History, *, alpha: float) -> Finding:
        """The same by the e-process, valid under looks on the way. Samples that are still in flight
        must not be in ``history``: everything before the first unresolved start, nothing after.
        """


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What a kind may look at when it turns one expectation into checks."""

    experiment: Experiment
    slos: Mapping[str, Slo]


class CheckKind(Protocol):
    @property
    def kind(self) -> SpecKind: ...

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[Check]:
        """One expectation may be several checks (quantiles, an SLO). Raises FileError."""

    def plan(self, expectation: Expectation, context: CheckContext) -> Any:
        """Samples needed for a clean PASS, by the exact test; None where samples do not decide."""
