"""What all expectations about an edge share: where their lines come from, and when there is nothing to judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from meshchaos.checks import words
from meshchaos.checks.kind import Finding, Verdict
from meshchaos.checks.phases import over_phases
from meshchaos.checks.ramp import judge_steps, partly
from meshchaos.checks.tally import GOOD, Statuses, Tally
from meshchaos.experiment.model import PhaseName, Where
from meshchaos.history.asks import Ask, EdgeAsk
from meshchaos.history.edges import Edge, EdgeLine
from meshchaos.history.records import History, PhaseRecord, PhaseStep
from meshchaos.history.samples import ROW, Outcome, Samples, split_statuses
from meshchaos.mesh.seam import ProxyLogLine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BROKEN = frozenset({"UC", "UR", "LR", "UPE", "UT", "UMSDR", "SI", "DT", "DC", "DR", "DPE"})
"""Envoy's response flags of a connection, stream or time that ended before the response did. What broke after its
headers keeps their status: a body cut off half way is logged as ``200`` with ``UPE``, ``UT`` or ``DC``.
"""
ADMITTED, SHED = "admitted", "shed"
"""The requests of an edge's samples: whether the client's own circuit breaker let them through."""
SHOWN = 3
"""Log lines that go into a finding."""


class UntestedError(Exception):
    """The lines of a phase, or of one step of a ramp, hold nothing that the expectation is about. Says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.reason)
        self.finding = finding


@dataclass(frozen=True)
class EdgeCheck:
    """One expectation about an edge. A subclass says ``_judge_phase``: what the lines of one phase come to, or that
    they test nothing (UntestedError). Under a ramp each step is judged by itself, unless what is looked for goes on
    from one step to the next (``by_step``).
    """

    by_step: ClassVar[bool] = True

    kind: str
    name: str
    during: tuple[PhaseName, ...]
    where: Where
    ask: EdgeAsk

    @property
    def asks(self) -> tuple[Ask, ...]:
        return (self.ask,)

    def judge(self, history: History, *, alpha: float) -> Finding:
        """INVALID where the phase or the lines are not whole; else phase by phase, at alpha / number of phases."""
        edge = history.edges.get(self.ask)

        def one(name: PhaseName) -> Finding:
            phase = history.phase(name)
            if phase is None:
                return self._bare(name, Verdict.INVALID, f"the phase {name} did not take place")
            if phase.broken_off:
                return self._bare(name, Verdict.INVALID, f"the phase {name} was broken off: {phase.cut}")
            if edge is None or edge.record.problem is not None:
                why = edge.record.problem if edge is not None else "nothing was written down"
                return self._bare(name, Verdict.INVALID, f"the proxies of {self.ask} do not tell: {why}")
            judge = self._judge_steps if phase.steps and self.by_step else self._judge_window
            try:
                found = judge(edge, phase, history, alpha / len(self.during))
            except UntestedError as none:
                return none.finding
            return replace(found, during=(name,), evidence=found.evidence + partly(history, phase))

        return over_phases(self.during, one)

    def _judge_steps(self, edge: Edge, phase: PhaseRecord, history: History, alpha: float) -> Finding:
        """The worst of the steps that tested anything; those that did not are told, and no reason against the rest."""
        found: dict[PhaseStep, Finding] = {}
        untested: list[str] = []
        for step in phase.steps:
            part = replace(phase, start=step.start, end=step.end, steps=())
            try:
                found[step] = self._judge_window(edge, part, history, alpha / len(phase.steps))
            except UntestedError as none:
                untested.append(f"nothing was tested at {step.label}: {none}")
        if not found:
            raise UntestedError(self._bare(phase.name, Verdict.INVALID, untested[-1]))
        chosen = judge_steps(replace(phase, steps=tuple(found)), found.__getitem__)
        return replace(chosen, evidence=chosen.evidence + tuple(untested))

    def _judge_window(self, edge: Edge, window: PhaseRecord, history: History, alpha: float) -> Finding:
        return with_losses(self._judge_phase(edge, window, history, alpha), edge, window.start, window.end)

    def _judge_phase(self, edge: Edge, phase: PhaseRecord, history: History, alpha: float) -> Finding:
        raise NotImplementedError

    def _untested(self, phase: PhaseRecord, reason: str) -> UntestedError:
        return UntestedError(self._bare(phase.name, Verdict.INVALID, reason))

    def _bare(self, name: PhaseName, verdict: Verdict, reason: str) -> Finding:
        return Finding(self.kind, self.name, (name,), verdict, reason, line=self.where.line)


def with_losses(found: Finding, edge: Edge, start: float, end: float) -> Finding:
    """What was found in the lines of [start, end), where a client's proxy may have taken some with it: no PASS."""
    gone = edge.lost_in(start, end)
    if not gone:
        return found
    text = f"{' and '.join(gone)} ended in mid-run, with requests in flight or not written down, which nobody can count"
    if found.verdict is Verdict.PASS:
        return replace(found, verdict=Verdict.INCONCLUSIVE, reason=f"{text}; of what was written down: {found.reason}")
    return replace(found, evidence=(*found.evidence, text))


def is_good(line: ProxyLogLine, good: Statuses = GOOD) -> bool:
    """A good response, as a proxy logged it: a good status, a good grpc-status (0) or none, and all of it."""
    http, codes = split_statuses(good)
    return (
        any(low <= line.status <= high for low, high in http)
        and (line.grpc is None or line.grpc in codes)
        and not is_broken(line)
    )


def is_broken(line: ProxyLogLine) -> bool:
    """Whether there was no response, or it broke off. An answer of the proxy's own (503, 504) is whole, whatever flag
    says why it was given.
    """
    return not line.status or (line.status < 500 and not BROKEN.isdisjoint(line.flags))


def by_second(
    lines: Sequence[ProxyLogLine], start: float, end: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(second from ``start`` of each line, an array of zeros with one entry a second) to count with; and no lines: both
    empty.
    """
    import numpy as np

    seconds = np.array([int(line.start - start) for line in lines], dtype=np.int64)
    length = max(1, int(np.ceil(end - start)))
    return seconds, np.zeros(length, dtype=np.int64), np.zeros(length, dtype=np.int64)


def tally_of(lines: Sequence[ProxyLogLine], bad: Iterable[bool], start: float, end: float) -> Tally:
    """Counts of the lines of one window, ``bad`` for each."""
    import numpy as np

    seconds, _, none = by_second(lines, start, end)
    flags = np.array(list(bad), dtype=bool)
    n_by = np.bincount(seconds, minlength=len(none)) if len(lines) else none
    bad_by = np.bincount(seconds[flags], minlength=len(none)) if flags.any() else none
    return Tally(start, end, len(lines), int(flags.sum()), 0, n_by, bad_by, none)


def samples_of(ask: EdgeAsk, lines: Sequence[EdgeLine], timeout: float) -> Samples:
    """The clients' lines of an edge in the form of a load's samples, so that they are judged by the same rules. What
    broke is a client that went away (``DC``) or time that was up (``UT``), else a connection that broke.
    """
    import numpy as np

    rows = np.zeros(len(lines), dtype=np.dtype(ROW))
    for row, one in zip(rows, lines, strict=True):
        line = one.line
        row["start"], row["latency"], row["status"] = line.start, line.duration, line.status
        row["grpc"] = -1 if line.grpc is None else line.grpc
        if is_broken(line):
            row["outcome"] = Outcome.RESET if {"DC", "UT"}.isdisjoint(line.flags) else Outcome.TIMEOUT
        row["request"] = "UO" in line.flags
    return Samples(str(ask), rows, (ADMITTED, SHED), timeout)


def shown(lines: Iterable[EdgeLine]) -> tuple[str, ...]:
    """The first few lines, for people."""
    found = []
    for one in lines:
        line = one.line
        found.append(
            f"{one.proxy}: {line.method} {line.path} -> {line.status or 'no answer'} "
            f"{','.join(line.flags) or '-'} after {words.seconds(line.duration)}, "
            f"{words.plural(line.attempts, 'attempt')}, last at {line.upstream_host or 'no host'}; "
            f"x-request-id {line.request_id}"
        )
        if len(found) == SHOWN:
            break
    return tuple(found)
