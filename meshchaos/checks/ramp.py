"""A fault phase that is not one thing: the steps of a ramp, each judged by itself; faults that come and go in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from meshchaos.checks import words
from meshchaos.checks.kind import Finding, Verdict
from meshchaos.checks.phases import ORDER
from meshchaos.checks.sentences import placed
from meshchaos.history.records import History, PhaseRecord, PhaseStep

EDGE = 0.5
"""Seconds by which a fault must miss an end of the phase to be told."""


def judge_steps(phase: PhaseRecord, judge: Callable[[PhaseStep], Finding]) -> Finding:
    """The worst step's finding, the first of them where several are: under a rising ramp that is where it breaks.
    ``judge``: one step, FAIL at alpha / number of steps; PASS takes all steps, so it needs no correction. A phase that
    was cut before its last step never PASSes.
    """
    found = [judge(step) for step in phase.steps]
    at = min(range(len(found)), key=lambda index: ORDER.index(found[index].verdict))
    verdict = found[at].verdict
    if verdict is Verdict.PASS:
        at = len(found) - 1
        every = f"each of the {len(found)} steps" if len(found) > 1 else "the step"
        text = f"{every} holds; {placed(found[at].reason, f'at {phase.steps[at].label}')}"
        if phase.cut is not None:
            verdict, text = Verdict.INCONCLUSIVE, f"the phase was cut before its last step: {text}"
    else:
        same = sum(one.verdict is verdict for one in found)
        first = f"first of {same} at" if same > 1 else "at"
        text = placed(found[at].reason, f"{first} {phase.steps[at].label}")
    lines = tuple(f"{one.verdict} at {step.label}: {one.reason}" for step, one in zip(phase.steps, found, strict=True))
    total = sum(one.n for one in found)
    return replace(found[at], verdict=verdict, reason=text, n=total, evidence=found[at].evidence + lines)


def cuts(history: History, phase: PhaseRecord) -> tuple[float, ...]:
    """When faults came, turned and went within the phase, s from its start: the rate of failures may change there."""
    moments = [at for fault in history.faults for at in (fault.live_at, fault.removed_at, fault.gone_at, *fault.turns)]
    length = phase.end - phase.start
    return tuple(at - phase.start for at in moments if at is not None and EDGE < at - phase.start < length - EDGE)


def partly(history: History, phase: PhaseRecord) -> tuple[str, ...]:
    """A line on each fault that was not live for the whole fault phase: requests are judged over all of it."""
    if phase.name != "fault":
        return ()
    lines: list[str] = []
    for fault in history.faults:
        if fault.live_at is None:
            continue
        start = max(0.0, fault.live_at - phase.start)
        end = min(phase.end, fault.removed_at or phase.end) - phase.start
        if start > EDGE or phase.end - phase.start - end > EDGE:
            whole = words.seconds(phase.end - phase.start)
            lines.append(
                f"the {fault.kind} on {fault.edge} was live from {words.seconds(start)} to {words.seconds(end)} of the "
                f"{whole} judged"
            )
    return tuple(lines)
