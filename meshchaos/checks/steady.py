"""Steady state: what is expected under the fault must hold before it, or the run tests nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from meshchaos.checks.guard import guarded
from meshchaos.checks.kind import Check, Finding, Verdict
from meshchaos.checks.rate import RateCheck
from meshchaos.history.records import History


def steady_state(checks: Sequence[Check], history: History, alpha: float) -> tuple[Finding, ...]:
    """Every success and latency check about the fault phase, judged on the baseline.

    A violation there is INVALID for the run (no fault is applied); INCONCLUSIVE goes on. ``alpha`` is
    one-sided for all together. Empty without a baseline.
    """
    baseline = history.phase("baseline")
    if baseline is None:
        return ()
    concerned = [check for check in checks if isinstance(check, RateCheck) and "fault" in check.during]
    # An edge whose proxies do not tell so soon that all of the baseline is over is judged at the end.
    concerned = [check for check in concerned if _known(check, history, baseline.end)]
    return tuple(
        _steady(guarded(replace(check, during=("baseline",)), history, alpha / len(concerned))) for check in concerned
    )


def _known(check: RateCheck, history: History, end: float) -> bool:
    if check.edge is None or check.edge in history.edges:
        return True
    return check.edge in history.so_far and history.so_far[check.edge].until >= end


def _steady(found: Finding) -> Finding:
    if found.verdict is not Verdict.FAIL:
        return replace(found, steady=True)
    return replace(found, steady=True, verdict=Verdict.INVALID, reason=f"before any fault: {found.reason}")
