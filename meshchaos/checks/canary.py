"""``canary: {to, baseline, canary, errorRatio: 1.5, ...}``: the new version is at most so much worse than the old one.

Counted by attempt, at the servers: a retry that another replica answered hides nothing. What never arrived (refused,
reset while connecting) and what a client gave up on counts against the replica it was sent to. A client's line names
the last replica tried alone; where attempts before that arrived nowhere, the verdict must hold whosever they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from meshchaos.checks import sentences, words
from meshchaos.checks.canary_arms import Arm, arms_of, side_of, untraced
from meshchaos.checks.canary_needs import needs_of_canary
from meshchaos.checks.decide import Rule, decide
from meshchaos.checks.edge import EdgeCheck
from meshchaos.checks.kind import Check, CheckContext, Finding, Verdict
from meshchaos.checks.latency import parse_quantile
from meshchaos.checks.measured import quantile_name
from meshchaos.checks.naming import edge_name, mistake, phases_of
from meshchaos.checks.needs import Need
from meshchaos.checks.statistics.comparison import Comparison
from meshchaos.checks.statistics.latency_ratio import compare_quantiles
from meshchaos.checks.statistics.ratio import RatioRule
from meshchaos.checks.statistics.share import share_holds, tolerance
from meshchaos.errors import UserError
from meshchaos.experiment.fields import About, OneOrMany, Share, Text, spec
from meshchaos.experiment.model import Expectation, SpecKind
from meshchaos.history.asks import EdgeAsk
from meshchaos.history.edges import Edge
from meshchaos.history.records import History, PhaseRecord

if TYPE_CHECKING:
    pass

_VERDICTS = {"holds": Verdict.PASS, "violated": Verdict.FAIL, "undecided": Verdict.INCONCLUSIVE}
NEGLIGIBLE = 0.0001


@spec
class CanarySpec:
    to: Annotated[Text, About("the service that both stand behind")]
    baseline: Annotated[Text, About("the old version: a subset of its DestinationRule, else a workload")]
    canary: Annotated[Text, About("the new version: a subset, else a workload")]
    from_: Annotated[OneOrMany[Text], About("only requests of these workloads")] = ()
    error_ratio: Annotated[float | None, About("its error rate over the baseline's, at most")] = None
    negligible: Annotated[Share, About("an error rate so low that the ratio does not matter")] = NEGLIGIBLE
    error_budget: Annotated[Share | None, About("its error rate by itself, at most")] = None
    latency_ratio: Annotated[Mapping[str, float] | None, About("a quantile over the baseline's, at most")] = None
    share: Annotated[Share | None, About("the share of the traffic that it gets, within 2 points or a tenth")] = None
    slo: Annotated[Text | None, About("errorBudget is burnRate times what this SLO of meshchaos.yaml allows")] = None
    burn_rate: Annotated[float, About("how fast the SLO's budget may be used up in this run")] = 1.0

    def check(self) -> None:
        if all(one is None for one in (self.error_ratio, self.error_budget, self.latency_ratio, self.share, self.slo)):
            raise ValueError("say what is expected of it: errorRatio, errorBudget, latencyRatio, share, or slo")
        for ratio in (self.error_ratio, *(self.latency_ratio or {}).values()):
            if ratio is not None and ratio <= 0:
                raise ValueError("a ratio must be above 0")
        if self.error_budget is not None and self.slo is not None:
            raise ValueError("errorBudget and slo both set the cap: write one of them")


@dataclass(frozen=True)
class CanaryCheck(EdgeCheck):
    """``what``: which of the canary's promises this is; ``limit`` of it, ``quantile`` of a latency's."""

    baseline: str = ""
    canary: str = ""
    what: Literal["errorRatio", "errorBudget", "latencyRatio", "share"] = "errorRatio"
    limit: float = 1.0
    negligible: float = NEGLIGIBLE
    quantile: float = 0.99
    shown_as: str = field(default="", compare=False)

    def _judge_phase(self, edge: Edge, phase: PhaseRecord, history: History, alpha: float) -> Finding:
        try:
            old, new = arms_of(edge, phase, (self.baseline, self.canary))
        except UserError as error:
            return self._bare(phase.name, Verdict.INVALID, str(error))
        for arm, name in ((new, self.canary), (old, self.baseline)):
            if not arm.lines:
                raise self._untested(phase, f"{name} got no request, so nothing was compared")
        judge = {
            "errorRatio": self._errors,
            "errorBudget": self._budget,
            "latencyRatio": self._latency,
            "share": self._share,
        }[self.what]
        found = judge(old, new, phase, 1 - history.confidence, alpha)
        sides = (side_of(self.baseline, old, 1 - history.confidence), side_of(self.canary, new, 1 - history.confidence))
        found = replace(found, sides=sides)
        lost = untraced(edge, phase)
        if not lost:
            return found
        theirs = judge(old, new.with_lost(lost), phase, 1 - history.confidence, alpha)
        others = judge(old.with_lost(lost), new, phase, 1 - history.confidence, alpha)
        if {theirs.verdict, others.verdict} == {found.verdict}:
            return found
        text = (
            f"{words.plural(len(lost), 'attempt')} arrived nowhere and went on elsewhere, and no proxy says at which "
            f"version: {theirs.verdict} if all were {self.canary}'s, {others.verdict} if {self.baseline}'s"
        )
        return replace(found, verdict=Verdict.INCONCLUSIVE, reason=text, evidence=(*found.evidence, found.reason))

    def _errors(self, old: Arm, new: Arm, phase: PhaseRecord, alpha_pass: float, alpha: float) -> Finding:
        one, other = new.tally(phase), old.tally(phase)
        rule = RatioRule(self.limit, self.negligible, alpha_pass, alpha, sequential=phase.cut_by_data)
        found, clusters = rule.compare_by_second(
            one.bad_by_second, one.n_by_second, other.bad_by_second, other.n_by_second
        )
        text = (
            f"{words.percent(one.bad / one.n)} of {words.plural(one.n, 'attempt')} at {self.canary} failed, "
            f"{words.percent(other.bad / other.n)} of {words.count(other.n)} at {self.baseline}: "
            f"{_times(found)}, at most {self.limit:g} times asked"
        )
        if found.by == "negligible":
            text += f", and at most {words.percent(self.negligible)} anyway, which is negligible"
        if clusters is not None and found.outcome == "undecided":
            text = f"failures came in clusters, which is too little to say: {text}"
        return self._finding(phase, found, text, one.n + other.n, unit="times")

    def _budget(self, old: Arm, new: Arm, phase: PhaseRecord, alpha_pass: float, alpha: float) -> Finding:
        counts = new.tally(phase)
        rule = Rule(self.limit, alpha_pass, alpha, sequential=phase.cut_by_data)
        decision = decide(counts, rule)
        low, high = rule.bounds(counts, rule.shown(decision.verdict))
        measured = sentences.Measured(
            estimate=counts.bad / counts.n,
            interval=(low, high),
            found=(
                f"{words.percent(counts.bad / counts.n)} of {words.plural(counts.n, 'attempt')} at {self.canary} failed"
            ),
            bounds=words.percent_range(low, high),
            asked=f"at most {words.percent(self.limit)} asked{self.shown_as}",
        )
        return Finding(
            kind=self.kind,
            name=self.name,
            during=(phase.name,),
            verdict=decision.verdict,
            reason=sentences.reason(decision, measured, rule, counts),
            threshold=self.limit,
            estimate=measured.estimate,
            interval=measured.interval,
            n=counts.n,
            evidence=sentences.evidence(counts, decision, rule),
            needs=decision.needs,
            line=self.where.line,
        )

    def _latency(self, old: Arm, new: Arm, phase: PhaseRecord, alpha_pass: float, alpha: float) -> Finding:
        found = compare_quantiles(
            new.latencies(),
            old.latencies(),
            quantile=self.quantile,
            ratio=self.limit,
            alpha_pass=alpha_pass,
            alpha_fail=alpha,
        )
        text = (
            f"{quantile_name(self.quantile)} of {words.plural(len(new.lines), 'attempt')} at {self.canary} was "
            f"{_times(found)} that of {words.count(len(old.lines))} at {self.baseline}, at most {self.limit:g} asked"
        )
        return self._finding(phase, found, text, len(new.lines) + len(old.lines), unit="times")

    def _share(self, old: Arm, new: Arm, phase: PhaseRecord, alpha_pass: float, alpha: float) -> Finding:
        count, of = len(new.lines), len(new.lines) + len(old.lines)
        outcome, interval = share_holds(count, of, self.limit, alpha_pass=alpha_pass, alpha_fail=alpha)
        text = (
            f"{self.canary} got {words.percent(count / of)} of {words.plural(of, 'attempt')} (bounds "
            f"{words.percent_range(*interval)}), {words.percent(self.limit)} asked, within "
            f"{words.percent(tolerance(self.limit))}"
        )
        return self._finding(phase, Comparison(outcome, count / of, interval), text, of, unit="share")

    def _finding(self, phase: PhaseRecord, found: Comparison, text: str, n: int, *, unit: str) -> Finding:
        verdict = _VERDICTS[found.outcome]
        if verdict is Verdict.PASS:
            text = f"{sentences.THIS_RUN} {text}"
        elif verdict is Verdict.INCONCLUSIVE:
            text += ": not decided by so few"
        return Finding(
            kind=self.kind,
            name=self.name,
            during=(phase.name,),
            verdict=verdict,
            reason=text,
            threshold=self.limit,
            estimate=found.estimate,
            interval=found.interval,
            n=n,
            unit=unit,
            line=self.where.line,
        )


def _times(found: Comparison) -> str:
    """``1.2 times (0.9-1.6)``."""
    low, high = found.interval
    bounds = f"{low or 0:.3g} and up" if high is None else f"{low or 0:.3g}-{high:.3g}"
    known = f"{found.estimate:.3g} times" if found.estimate is not None else "an unknown number of times"
    return f"{known} (bounds {bounds})"


class Canary:
    kind = SpecKind("canary", CanarySpec, summary="the new version is at most so much worse than the old one")

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[Check]:
        wanted: CanarySpec = expectation.spec
        where = expectation.where
        if expectation.load or expectation.request:
            raise mistake(where, "a canary is judged at its servers, not on a load or a request: name from instead")
        ask = EdgeAsk(wanted.to, tuple(wanted.from_))
        common: dict[str, Any] = {
            "kind": "canary",
            "during": phases_of(expectation, context.experiment),
            "where": where,
            "ask": ask,
            "baseline": wanted.baseline,
            "canary": wanted.canary,
            "negligible": wanted.negligible,
        }
        label = f"canary {wanted.canary}"

        def name(part: str) -> str:
            return edge_name(label, expectation, context, ask, part)

        found: list[Check] = []
        if wanted.error_ratio is not None:
            found.append(CanaryCheck(name=name("errorRatio"), what="errorRatio", limit=wanted.error_ratio, **common))
        budget, told = wanted.error_budget, ""
        if wanted.slo is not None:
            slo = context.slos.get(wanted.slo)
            if slo is None or slo.success is None:
                raise mistake(where, f"meshchaos.yaml has no SLO {wanted.slo!r} with a success share")
            budget = wanted.burn_rate * (1 - slo.success)
            told = f" (a burn rate of {wanted.burn_rate:g} in this run, by SLO {slo.name})"
        if budget is not None:
            if not 0 < budget < 1:
                raise mistake(where, f"an error budget of {words.percent(budget)} is none: write one above 0 %")
            found.append(
                CanaryCheck(name=name("errorBudget"), what="errorBudget", limit=budget, shown_as=told, **common)
            )
        for text, ratio in (wanted.latency_ratio or {}).items():
            quantile = parse_quantile(text, where)
            found.append(
                CanaryCheck(
                    name=name(f"latencyRatio {quantile_name(quantile)}"),
                    what="latencyRatio",
                    limit=ratio,
                    quantile=quantile,
                    **common,
                )
            )
        if wanted.share is not None:
            found.append(CanaryCheck(name=name("share"), what="share", limit=wanted.share, **common))
        return tuple(found)

    def plan(self, expectation: Expectation, context: CheckContext) -> Sequence[Need]:
        """How many attempts at the canary PASS when none is bad; how many of them the traffic brings is not known. For
        an assumed error rate of both, how many at both: the canary's part is its ``share``, else taken as a tenth.
        """
        alpha = 1 - context.experiment.confidence
        return tuple(
            need
            for check in self.checks(expectation, context)
            if isinstance(check, CanaryCheck)
            for need in needs_of_canary(check, expectation.spec.share, context.experiment, alpha)
        )


CANARY = Canary()
