"""All checks together, and the one verdict of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshchaos.checks import words
from meshchaos.checks.guard import guarded
from meshchaos.checks.kind import Check, Finding, Verdict
from meshchaos.checks.rate import RateCheck
from meshchaos.history.records import GeneratorHealth, History


def judge(checks: Sequence[Check], history: History, confidence: float) -> tuple[Finding, ...]:
    """Each check over its whole phases, in their order.

    Several expectations share the error rate of a FAIL (Bonferroni: (1 - confidence) / m); PASS needs
    all of them, so it takes no correction. A check that raises is ERROR.
    """
    alpha = (1 - confidence) / max(1, len(checks))
    return tuple(guarded(check, history, alpha) for check in checks)


@dataclass(frozen=True, slots=True)
class EarlyLook:
    """``findings`` of the checks that can be looked at on the way. ``decided``: the phase may end now."""

    findings: tuple[Finding, ...]
    decided: bool


def look(checks: Sequence[Check], history: History, confidence: float) -> EarlyLook:
    """The going phase (the last record of ``history``, its ``end`` the moment up to which every request
    is resolved) by the e-process. Decided when one FAILs, or all that are about this phase PASS.

    ``history.phases[-1].at_least`` must be set: the looks then take their part of the error rate.
    """
    phase = history.phases[-1].name
    early = [
        check for check in checks if isinstance(check, RateCheck) and phase in check.during and check.seen(history)
    ]
    alpha = (1 - confidence) / max(1, len(checks))
    findings = tuple(check.look(history, alpha=alpha) for check in early)
    verdicts = [finding.verdict for finding in findings]
    alone = all(check in early for check in checks if phase in check.during)  # what others wait for is not known yet
    decided = Verdict.FAIL in verdicts or (alone and bool(verdicts) and set(verdicts) == {Verdict.PASS})
    return EarlyLook(findings, decided)


@dataclass(frozen=True, slots=True)
class Overall:
    verdict: Verdict
    reason: str


def overall(
    findings: Sequence[Finding],
    *,
    proof: Sequence[Finding] = (),
    steady: Sequence[Finding] = (),
    generator: Sequence[GeneratorHealth] = (),
    stopped: Finding | None = None,
    confidence: float = 0.95,
) -> Overall:
    """The run's verdict and why, by precedence: ERROR, run INVALID (proof, steady state, generator), FAIL
    (``stopIf`` among them), an expectation's own INVALID, INCONCLUSIVE, PASS.

    ``proof`` from ``injection_findings``, ``steady`` from ``steady_state``, ``stopped`` from ``StopRule``.
    What came before any verdict (could not heal, interrupted, a broken mesh) is for the run to put first.
    """
    judged = [*findings, *([stopped] if stopped is not None else [])]
    every = [*proof, *steady, *judged]
    for verdict, pool in (
        (Verdict.ERROR, every),
        (Verdict.INVALID, list(proof)),
        (Verdict.INVALID, list(steady)),
    ):
        found = [finding for finding in pool if finding.verdict is verdict]
        if found:
            return Overall(verdict, _first(found))
    ill = [health for health in generator if not health.healthy]
    if ill:
        return Overall(Verdict.INVALID, f"load {ill[0].load}: {ill[0].reason or 'the generator did not keep its rate'}")
    for verdict in (Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE):
        found = [finding for finding in judged if finding.verdict is verdict]
        if found:
            return Overall(verdict, _first(found))
    if not findings:
        return Overall(Verdict.INVALID, "nothing was expected, so nothing was judged")
    hold = "the expectation holds" if len(findings) == 1 else f"all {len(findings)} expectations hold"
    return Overall(Verdict.PASS, f"{hold} at {words.level(1 - confidence)} confidence")


def _first(found: Sequence[Finding]) -> str:
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{found[0].name}: {found[0].reason}{more}"
