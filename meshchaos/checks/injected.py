"""Whether each fault bit as it was asked to: for every fault anyway, and as ``injected: {share: 50%}``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from meshchaos.checks import words
from meshchaos.checks.kind import CheckContext, Finding, Verdict
from meshchaos.checks.naming import mistake
from meshchaos.checks.phases import worst
from meshchaos.checks.shown import ALPHA, shown_finding
from meshchaos.checks.statistics.binomial import interval
from meshchaos.experiment.fields import About, Share, spec
from meshchaos.experiment.model import Expectation, PhaseName, SpecKind, Where
from meshchaos.history.records import FaultRecord, History, Injection

TOLERANCE = 0.1
"""The share may be off by this part of what was asked."""

SLACK = 10
"""A counter and a log may differ by so many requests, or 2 % of them: those in flight at the ends."""


def injection_findings(history: History) -> tuple[Finding, ...]:
    """One finding a fault: PASS when it is proved, INVALID (for the whole run) when it is not: none
    injected, or the 99.9 % Clopper-Pearson interval wholly outside the share asked +- 10 % of it.
    """
    return tuple(
        shown_finding(fault)
        if fault.share is None
        else _ramp(fault)
        if fault.steps
        else _finding(fault, fault.share, explicit=False)
        for fault in history.faults
    )


@spec
class InjectedSpec:
    share: Annotated[Share, About("the share of the requests concerned that must carry the fault")]


@dataclass(frozen=True, slots=True)
class InjectedCheck:
    """Each fault's measured share is ``share``: PASS when its interval at the run's confidence lies within
    10 % of it, INVALID as for every fault, INCONCLUSIVE between.
    """

    name: str
    share: float
    during: tuple[PhaseName, ...]
    where: Where
    kind: str = "injected"

    def judge(self, history: History, *, alpha: float) -> Finding:
        if not history.faults:
            return Finding(self.kind, self.name, self.during, Verdict.INVALID, "no fault was applied")
        carried = [fault for fault in history.faults if fault.share is not None]
        if not carried:
            text = "no fault of this run is one that a share of requests carries"
            return Finding(self.kind, self.name, self.during, Verdict.INVALID, text, line=self.where.line)
        found = [_finding(fault, self.share, explicit=True, confidence=history.confidence) for fault in carried]
        chosen = worst(found)
        lines = tuple(
            f"{finding.name.removeprefix('injected ')}: {finding.reason}" for finding in found if finding is not chosen
        )
        return Finding(
            kind=self.kind,
            name=self.name,
            during=self.during,
            verdict=chosen.verdict,
            reason=chosen.reason,
            threshold=self.share,
            estimate=chosen.estimate,
            interval=chosen.interval,
            n=chosen.n,
            evidence=chosen.evidence + lines,
            line=self.where.line,
        )


class Injected:
    kind = SpecKind("injected", InjectedSpec, scalar="share", summary="the fault's measured share is what was asked")

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[InjectedCheck]:
        if not context.experiment.faults:
            raise mistake(expectation.where, "injected needs a fault, and spec.faults is left out")
        if context.experiment.ramp is not None:
            text = (
                "injected asks for one share, and a fault has a ramp: the share of each of its steps is proved anyway"
            )
            raise mistake(expectation.where, text)
        if not 0 < expectation.spec.share <= 1:
            raise mistake(expectation.where, "injected: the share must be above 0 % and at most 100 %")
        return (
            InjectedCheck(
                name=expectation.name or "injected",
                share=expectation.spec.share,
                during=(context.experiment.main_phase,),
                where=expectation.where,
            ),
        )

    def plan(self, expectation: Expectation, context: CheckContext) -> None:
        return None


INJECTED = Injected()


def _ramp(fault: FaultRecord) -> Finding:
    """Each step's share by itself; one in a thousand runs is called INVALID by chance, whatever the number of steps."""
    found = [
        _finding(
            replace(
                fault,
                share=step.share,
                live_at=step.live_at,
                removed_at=step.until,
                injections=step.injections,
                steps=(),
            ),
            step.share,
            explicit=False,
            alpha=ALPHA / len(fault.steps),
        )
        for step in fault.steps
    ]
    chosen = worst(found)
    at = words.percent(fault.steps[found.index(chosen)].share)
    text = f"in the step at {at}: {chosen.reason}"
    if chosen.verdict is Verdict.PASS:
        text = f"each of the {len(found)} steps got its share; {text}"
    lines = tuple(one.reason for one in found)
    return replace(chosen, reason=text, n=sum(one.n for one in found), evidence=_evidence(fault) + lines)


def _finding(
    fault: FaultRecord, asked: float, *, explicit: bool, confidence: float = 1 - ALPHA, alpha: float = ALPHA
) -> Finding:
    name = f"injected {fault.kind} {fault.edge}"
    lines = _evidence(fault)
    trouble = _trouble(fault)
    if trouble is not None:
        return Finding(
            "injected", name, ("fault",), Verdict.INVALID, trouble, threshold=asked, estimate=None, evidence=lines
        )
    marked = sum(one.injected for one in fault.injections)
    known = [one for one in fault.injections if one.of is not None]
    if len(known) < len(fault.injections):
        moved = max(marked, _moved(fault.injections) or 0)
        verdict = Verdict.INVALID if explicit else Verdict.PASS
        text = (
            f"{words.plural(moved, fault.kind)} injected; of how many requests the proxy does not tell, "
            f"so the share ({words.percent(asked)} asked) is not known"
        )
        return Finding("injected", name, ("fault",), verdict, text, threshold=asked, evidence=lines)
    of = sum(one.of or 0 for one in known)
    low, high = interval(marked, of, alpha)
    verdict, text = Verdict.PASS, ""
    if high < asked * (1 - TOLERANCE) or low > asked * (1 + TOLERANCE):
        verdict = Verdict.INVALID
    elif explicit:
        low, high = interval(marked, of, 1 - confidence)
        if low < asked * (1 - TOLERANCE) or high > asked * (1 + TOLERANCE):
            verdict, text = Verdict.INCONCLUSIVE, ": too few requests to tell it within a tenth of that"
    shown = words.level(1 - confidence if explicit and verdict is not Verdict.INVALID else alpha)
    return Finding(
        kind="injected",
        name=name,
        during=("fault",),
        verdict=verdict,
        reason=(
            f"{words.percent(marked / of)} of {words.plural(of, 'request')} got the {fault.kind} "
            f"({shown} interval {words.percent_range(low, high)}), {words.percent(asked)} asked{text}"
        ),
        threshold=asked,
        estimate=marked / of,
        interval=(low, high),
        n=of,
        evidence=lines,
    )


def _trouble(fault: FaultRecord) -> str | None:
    """Why nothing shows that the fault bit; None when something does."""
    if fault.problem is not None:
        return fault.problem
    if fault.live_at is None:
        return f"the {fault.kind} on {fault.edge} was never live in its proxies"
    if not fault.injections:
        return f"the run ended before a proxy was asked what the {fault.kind} on {fault.edge} did"
    if any(one.injected for one in fault.injections):
        return None
    # Without a mark in the log a counter proves something only where no log could tell: it also counts what came
    # before the fault was live everywhere, and what other faults of that proxy did.
    moved = _moved(fault.injections) or 0
    of = [one.of for one in fault.injections if one.of is not None]
    if len(of) < len(fault.injections):
        return None if moved > 0 else f"the proxies show no {fault.kind} injected on {fault.edge}"
    but = f", though the proxies counted {moved:,}" if moved > 0 else ""
    if sum(of) == 0:
        return f"no request came to {fault.edge} while the {fault.kind} was live, so none was injected{but}"
    return f"none of {words.plural(sum(of), 'request')} on {fault.edge} got the {fault.kind}{but}"


def _moved(injections: Sequence[Injection]) -> int | None:
    """By how much the counters rose in all; None where none is exposed."""
    steps = [
        one.counter_after - one.counter_before
        for one in injections
        if one.counter_before is not None and one.counter_after is not None
    ]
    return sum(steps) if steps else None


def _evidence(fault: FaultRecord) -> tuple[str, ...]:
    lines: list[str] = []
    for one in fault.injections:
        of = "an unknown number" if one.of is None else words.count(one.of)
        lines.append(f"{one.proxy}: {words.count(one.injected)} of {of} requests")
        if one.counter_before is None or one.counter_after is None:
            continue
        lines.append(f"{one.proxy}: {one.counter} went from {one.counter_before} to {one.counter_after}")
        moved = one.counter_after - one.counter_before
        slack = max(SLACK, round(0.02 * one.injected))
        if moved < 0:
            lines.append(f"{one.proxy}: the counter fell, so the proxy was started anew meanwhile")
        elif moved < one.injected - slack:
            lines.append(f"{one.proxy}: counter and log disagree: {moved} counted, {one.injected} logged")
        elif moved > one.injected + slack:
            lines.append(f"{one.proxy}: counter and log disagree: {moved} counted, only {one.injected} logged")
    for one in fault.injections:
        lines += one.lines
    return tuple(lines)
