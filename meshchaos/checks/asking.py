"""What the expectations that ask a Prometheus have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from meshchaos.checks import words
from meshchaos.checks.kind import Finding, Verdict
from meshchaos.checks.naming import mistake
from meshchaos.checks.phases import worst
from meshchaos.checks.sentences import placed
from meshchaos.experiment.model import Expectation, PhaseName, Where
from meshchaos.history.asks import QueryAsk
from meshchaos.history.queries import Answer
from meshchaos.history.records import History, PhaseRecord


class Asking(Protocol):
    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def during(self) -> tuple[PhaseName, ...]: ...

    @property
    def where(self) -> Where: ...


def no_scope(expectation: Expectation) -> None:
    """Raises FileError for a load or a request: a query says itself what it is about."""
    for given, word in ((expectation.load, "load"), (expectation.request, "request")):
        if given is not None:
            raise mistake(expectation.where, f"{expectation.kind} takes no `{word}`: its labels say what it is about")


def bare(check: Asking, verdict: Verdict, reason: str, *, during: PhaseName | None = None) -> Finding:
    """A finding without numbers."""
    return Finding(
        kind=check.kind,
        name=check.name,
        during=check.during if during is None else (during,),
        verdict=verdict,
        reason=reason,
        unit="",
        line=check.where.line,
    )


def over_phases(check: Asking, found: Sequence[Finding]) -> Finding:
    """One finding for all phases: the worst, with the others as evidence."""
    if len(found) == 1:
        return found[0]
    chosen = worst(found)
    others = tuple(
        f"{one.verdict} {placed(one.reason, words.phase(one.during[0]))}" for one in found if one is not chosen
    )
    reason = placed(chosen.reason, words.phase(chosen.during[0]))
    return replace(chosen, during=check.during, reason=reason, evidence=chosen.evidence + others)


def lived(check: Asking, name: PhaseName, history: History) -> PhaseRecord | Finding:
    """The phase, or why nothing can be said about it."""
    phase = history.phase(name)
    if phase is None:
        return bare(check, Verdict.INVALID, f"the phase {name} did not take place", during=name)
    if phase.broken_off:
        return bare(check, Verdict.INVALID, f"the phase {name} was broken off: {phase.cut}", during=name)
    return phase


def answered(check: Asking, ask: QueryAsk, history: History) -> Answer | Finding:
    """The answer to an ask, or why there is none."""
    answer = history.queries.get(ask)
    if answer is None:
        return bare(check, Verdict.INVALID, "Prometheus was not asked: the run ended before", during=ask.phase)
    if answer.problem is not None:
        return bare(check, Verdict.INVALID, answer.problem, during=ask.phase)
    return answer
