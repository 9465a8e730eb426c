"""One check over several phases: each by itself, the worst is the finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from meshchaos.checks import sentences, words
from meshchaos.checks.kind import Finding, Verdict
from meshchaos.experiment.model import PhaseName

ORDER = (Verdict.ERROR, Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE, Verdict.PASS)
"""Worst first: what one expectation says over several phases."""


def worst(findings: Sequence[Finding]) -> Finding:
    """The first of the worst. At least one."""
    return min(findings, key=lambda finding: ORDER.index(finding.verdict))


def over_phases(during: tuple[PhaseName, ...], judge: Callable[[PhaseName], Finding]) -> Finding:
    """``judge`` of each phase; the worst, with what the others say among its evidence."""
    found = [judge(name) for name in during]
    if len(found) == 1:
        return found[0]
    chosen = worst(found)
    others = tuple(
        f"{finding.verdict} {sentences.placed(finding.reason, words.phase(name))}"
        for name, finding in zip(during, found, strict=True)
        if finding is not chosen
    )
    at = during[found.index(chosen)]
    return replace(
        chosen,
        during=during,
        reason=sentences.placed(chosen.reason, words.phase(at)),
        evidence=chosen.evidence + others,
    )
