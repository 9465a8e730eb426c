"""``recovery: {within: 10s}``: after the fault is gone the service is back inside its expectations in time,
and stays there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from meshchaos.checks import words
from meshchaos.checks.kind import CheckContext, CheckKind, Finding, Verdict
from meshchaos.checks.latency import LATENCY
from meshchaos.checks.naming import mistake
from meshchaos.checks.needs import Need, needs_of
from meshchaos.checks.rate import RateCheck
from meshchaos.checks.sentences import placed
from meshchaos.checks.slo import SLO
from meshchaos.checks.success import SUCCESS
from meshchaos.experiment.fields import About, Duration, spec
from meshchaos.experiment.model import Expectation, PhaseName, SpecKind, Where
from meshchaos.history.records import History

WINDOW = 5.0
"""The time to recover is told from windows of this length, s."""


@spec
class RecoverySpec:
    within: Annotated[Duration, About("how long after the fault is gone the expectations must hold again")]


@dataclass(frozen=True)
class RecoveryCheck:
    """One success or latency expectation, on requests started in [goneAt + within, end of the recovery]."""

    name: str
    base: RateCheck
    within: float
    where: Where
    during: tuple[PhaseName, ...] = ("recovery",)
    kind: str = "recovery"

    def judge(self, history: History, *, alpha: float) -> Finding:
        """The exact test on that window; a window too short to decide is INCONCLUSIVE and says what it
        takes. How long it took to recover is evidence, and not judged.
        """
        phase = history.phase("recovery")
        gone = [fault.gone_at for fault in history.faults]
        if phase is None:
            return self._without(Verdict.INVALID, "the recovery did not take place")
        if phase.broken_off:
            return self._without(Verdict.INVALID, f"the recovery was broken off: {phase.cut}")
        if not gone or None in gone:
            return self._without(Verdict.INVALID, "it was never seen that the fault is gone")
        since = max(at for at in gone if at is not None)
        start = since + self.within
        seen = recovered_after(self.base, history, since, phase.end)
        if start >= phase.end:
            text = (
                f"the recovery ended {words.seconds(max(0.0, phase.end - since))} after the fault was gone, before the "
                f"{words.seconds(self.within)} allowed were over"
            )
            return replace(
                self._without(Verdict.INCONCLUSIVE, text), evidence=seen, needs=self.base.clean(history.confidence)
            )
        found = self.base.judge_window(history, start, phase.end, alpha=alpha, sequential=False)
        verdict, reason = (
            found.verdict,
            placed(found.reason, f"from {words.seconds(self.within)} after the fault on"),
        )
        needs = found.needs
        if found.n == 0 and any(len(some.between(phase.start, phase.end)) for some in history.samples.values()):
            verdict = Verdict.INCONCLUSIVE
            reason = f"only {words.seconds(phase.end - start)} of the recovery are left to judge, without a request"
            needs = self.base.clean(history.confidence)
        return replace(
            found,
            kind=self.kind,
            name=self.name,
            during=self.during,
            verdict=verdict,
            reason=reason,
            needs=needs,
            evidence=seen + found.evidence,
            line=self.where.line,
        )

    def _without(self, verdict: Verdict, reason: str) -> Finding:
        return Finding(
            kind=self.kind,
            name=self.name,
            during=self.during,
            verdict=verdict,
            reason=reason,
            threshold=self.base.threshold,
            unit="share" if self.base.quantile is None else "s",
            line=self.where.line,
            edge=str(self.base.edge) if self.base.edge is not None else "",
        )


def recovered_after(check: RateCheck, history: History, since: float, end: float) -> tuple[str, ...]:
    """A line on how long it took until every window of 5 s held the limit; empty without requests.

    A window holds when at most a share theta of its requests is bad. The windows looked at are those
    that start at a bad request (moved inside [since, end] at the ends); where one does not hold, the
    service was out until its last bad request.
    """
    import numpy as np

    if check.edge is not None and check.edge not in history.edges:
        return ()
    chosen = [some.between(since, end) for some in check.measure.select(check.samples(history))]
    if not any(len(some) for some in chosen):
        return ()
    starts = np.concatenate([some.rows["start"] for some in chosen])
    bad = np.concatenate([check.measure.bad(some) for some in chosen])
    order = np.argsort(starts, kind="stable")
    starts, bad = starts[order], bad[order]
    at = starts[bad]
    watched = f"watched for {words.seconds(end - since)}"
    if not at.shape[0]:
        return (f"within its limit from the moment the fault was gone ({watched})",)
    low = np.minimum(at, max(since, end - WINDOW))
    high = low + WINDOW
    total = np.searchsorted(starts, high) - np.searchsorted(starts, low)
    last = np.searchsorted(at, high)
    out = (last - np.searchsorted(at, low)) > check.theta * total
    if not out.any():
        return (f"within its limit from the moment the fault was gone ({watched})",)
    final = int(np.flatnonzero(out)[-1])
    until = float(at[int(last[final]) - 1]) - since
    if end - since - until < WINDOW / 5:
        return (f"not back within its limit in the {words.seconds(end - since)} watched",)
    return (f"back within its limit {words.seconds(until)} after the fault was gone ({watched}, windows of 5 s)",)


class Recovery:
    kind = SpecKind("recovery", RecoverySpec, scalar="within", summary="back inside the expectations in time")

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[RecoveryCheck]:
        """One check for each success and latency that is about the fault phase; where none is (the fault may break all
        of it, and must not for longer than it lasts), for each about another phase.
        """
        experiment, where = context.experiment, expectation.where
        if not experiment.faults:
            raise mistake(where, "recovery needs a fault to recover from, and spec.faults is left out")
        if experiment.phase("recovery") is None:
            raise mistake(where, "recovery needs a phase to look at: give phases.recovery a length")
        found = rate_checks(context, fault=True) or rate_checks(context, fault=False)
        bases = [base for base in found if _concerns(expectation, base)]
        if not bases:
            raise mistake(where, "recovery judges the success and latency expectations, and there is none")
        label = expectation.name or " ".join(["recovery", *(part for part in [_scope(expectation)] if part)])
        return tuple(
            RecoveryCheck(
                name=f"{label}: {base.name}",
                base=_narrowed(base, expectation),
                within=expectation.spec.within,
                where=where,
            )
            for base in bases
        )

    def plan(self, expectation: Expectation, context: CheckContext) -> Sequence[Need]:
        """As for the others, on what is left of the recovery after ``within``."""
        checks = self.checks(expectation, context)
        return needs_of(
            [replace(check.base, name=check.name, during=("recovery",)) for check in checks],
            context.experiment,
            lost=expectation.spec.within,
        )


RECOVERY = Recovery()


def rate_checks(context: CheckContext, *, fault: bool) -> tuple[RateCheck, ...]:
    """The success and latency checks of an experiment that are about its fault phase, or that are not, each once."""
    kinds: dict[str, CheckKind] = {"success": SUCCESS, "latency": LATENCY, "slo": SLO}
    found: list[RateCheck] = []
    for expectation in context.experiment.expect:
        kind = kinds.get(expectation.kind)
        if kind is not None and ("fault" in (expectation.during or ("fault",))) is fault:
            found += [check for check in kind.checks(expectation, context) if isinstance(check, RateCheck)]
    distinct: dict[tuple[object, ...], RateCheck] = {}
    for check in found:
        distinct.setdefault((check.theta, check.measure, check.quantile, check.edge), check)
    return tuple(distinct.values())


def _concerns(expectation: Expectation, base: RateCheck) -> bool:
    """Whether a recovery narrowed to a load or request is about what this check is about."""
    if base.edge is not None and (expectation.load or expectation.request):
        return False
    return (expectation.load in (None, base.measure.load) or base.measure.load is None) and (
        expectation.request in (None, base.measure.request) or base.measure.request is None
    )


def _narrowed(base: RateCheck, expectation: Expectation) -> RateCheck:
    measure = replace(
        base.measure,
        load=expectation.load or base.measure.load,
        request=expectation.request or base.measure.request,
    )
    return replace(base, measure=measure)


def _scope(expectation: Expectation) -> str:
    return "/".join(part for part in (expectation.load, expectation.request) if part)
