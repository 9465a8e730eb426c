"""A fault phase in steps: the worst step is the finding, and where it breaks first is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from histories import T0, fault, history, rows, samples

from meshchaos.checks.kind import Finding, Verdict
from meshchaos.checks.ramp import cuts, judge_steps, partly
from meshchaos.history.records import PhaseRecord, PhaseStep

STEPS = tuple(PhaseStep(f"abort {25 * (n + 1)} %", T0 + 5 * n, T0 + 5 * (n + 1)) for n in range(4))
PHASE = PhaseRecord("fault", T0, T0 + 20, 20, steps=STEPS)
NOTHING = samples(rows(T0, 1, 1))


def judged(verdicts: Sequence[str], phase: PhaseRecord = PHASE) -> Finding:
    each = iter(verdicts)

    def judge(step: PhaseStep) -> Finding:
        verdict = Verdict(next(each))
        return Finding("success", "success", ("fault",), verdict, f"{step.label} was {verdict}", n=10)

    return judge_steps(phase, judge)


@pytest.mark.parametrize(
    ("verdicts", "verdict", "words"),
    [
        (["PASS"] * 4, "PASS", "each of the 4 steps holds"),
        (["PASS", "PASS", "FAIL", "FAIL"], "FAIL", "first of 2 at abort 75 %"),
        (["PASS", "FAIL", "PASS", "PASS"], "FAIL", "at abort 50 %"),
        (["PASS", "INVALID", "FAIL", "PASS"], "FAIL", "at abort 75 %"),
        (["PASS", "INCONCLUSIVE", "INVALID", "PASS"], "INVALID", "at abort 75 %"),
        (["ERROR", "FAIL", "FAIL", "FAIL"], "ERROR", "at abort 25 %"),
        (["PASS", "PASS", "PASS", "INCONCLUSIVE"], "INCONCLUSIVE", "at abort 100 %"),
    ],
)
def test_the_worst_step_and_the_first_of_them(verdicts: list[str], verdict: str, words: str) -> None:
    found = judged(verdicts)
    assert found.verdict == verdict
    assert words in found.reason
    assert found.n == 40
    assert [line.split()[0] for line in found.evidence] == verdicts


def test_a_phase_that_was_cut_before_its_last_step_passes_nothing() -> None:
    cut = replace(PHASE, steps=STEPS[:2], end=T0 + 10, cut="stopIf")
    assert judged(["PASS", "PASS"], cut).verdict == "INCONCLUSIVE"
    assert judged(["PASS", "FAIL"], cut).verdict == "FAIL"


def test_when_faults_came_and_went_within_the_phase() -> None:
    some = replace(fault(), live_at=T0 + 5, removed_at=T0 + 12, gone_at=T0 + 12.1, turns=(T0 + 8,))
    whole = replace(fault(), live_at=T0, removed_at=T0 + 20, gone_at=T0 + 20.1)
    found = history(NOTHING, (PHASE,), (some, whole))
    assert cuts(found, PHASE) == pytest.approx((5, 12, 12.1, 8))
    (line,) = partly(found, PHASE)
    assert line.endswith("was live from 5 s to 12 s of the 20 s judged")
    assert partly(found, replace(PHASE, name="recovery")) == ()


def test_one_that_was_never_live_changes_nothing() -> None:
    never = replace(fault(), live_at=None, removed_at=None, gone_at=None)
    found = history(NOTHING, (PHASE,), (never,))
    assert cuts(found, PHASE) == ()
    assert partly(found, PHASE) == ()
