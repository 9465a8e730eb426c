"""``retries: {from, to, recovered: 95%, amplification: 1.5}``: retries save what failed at first, at a bounded cost.

Both from the clients' own lines on the edge, one a request: whoever looks at the callers' success alone cannot tell a
retry that worked from a fault that never came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from meshchaos.checks import sentences, words
from meshchaos.checks.decide import Rule, decide
from meshchaos.checks.edge import EdgeCheck, by_second, is_good, shown, tally_of
from meshchaos.checks.kind import Check, CheckContext, Finding, Verdict
from meshchaos.checks.naming import edge_name, mistake, phases_of
from meshchaos.checks.ramp import cuts
from meshchaos.checks.statistics import bursts
from meshchaos.checks.statistics.mean import mean_bounds
from meshchaos.checks.success import GoodStatus, bad_share, statuses
from meshchaos.checks.tally import GOOD, Statuses
from meshchaos.experiment.fields import About, OneOrMany, Share, Text, spec
from meshchaos.experiment.model import Expectation, SpecKind
from meshchaos.history.asks import EdgeAsk
from meshchaos.history.edges import Edge, between
from meshchaos.history.records import History, PhaseRecord


@spec
class RetriesSpec:
    to: Annotated[Text, About("the service that is called")]
    from_: Annotated[OneOrMany[Text], About("the workloads whose retries are meant; all clients when left out")] = ()
    recovered: Annotated[
        Share | None, About("of the requests whose first attempt failed, the share that succeeded in the end")
    ] = None
    amplification: Annotated[float | None, About("attempts a request, on average, at most")] = None
    good_status: GoodStatus = ()

    def check(self) -> None:
        if self.recovered is None and self.amplification is None:
            raise ValueError("say what is expected of the retries: recovered (95%), amplification (1.5), or both")
        if self.amplification is not None and self.amplification < 1:
            raise ValueError("amplification: every request takes one attempt, so write a number above 1")


@dataclass(frozen=True)
class RecoveredCheck(EdgeCheck):
    """Of the requests whose first attempt failed (several attempts, or one and no good response) at most ``theta``
    ended without a good response.
    """

    theta: float = 0.05
    good: Statuses = GOOD

    def _judge_phase(self, edge: Edge, phase: PhaseRecord, history: History, alpha: float) -> Finding:
        tried = [one for one in between(edge.sent, phase.start, phase.end) if one.line.attempts]
        failed = [one for one in tried if one.line.attempts > 1 or not is_good(one.line, self.good)]
        if not failed:
            text = (
                f"none of {words.plural(len(tried), 'request')} on {self.ask} failed at its first attempt, so no retry "
                "was tested"
            )
            raise self._untested(phase, text)
        lines = [one.line for one in failed]
        lost = [not is_good(line, self.good) for line in lines]
        counts = tally_of(lines, lost, phase.start, phase.end)
        rule = Rule(self.theta, 1 - history.confidence, alpha, sequential=phase.cut_by_data)
        decision = decide(counts, rule, cuts(history, phase))
        low, high = rule.bounds(counts, rule.shown(decision.verdict))
        share = 1 - counts.bad / counts.n
        measured = sentences.Measured(
            estimate=share,
            interval=(1 - high, 1 - low),
            found=f"{words.percent(share)} of {words.plural(counts.n, 'request')} that failed at first were saved",
            bounds=words.percent_range(1 - high, 1 - low),
            asked=f"at least {words.percent(1 - self.theta)} asked",
        )
        alone = sum(line.attempts == 1 for line in lines)
        return Finding(
            kind=self.kind,
            name=self.name,
            during=(phase.name,),
            verdict=decision.verdict,
            reason=sentences.reason(decision, measured, rule, counts),
            threshold=1 - self.theta,
            estimate=share,
            interval=measured.interval,
            n=counts.n,
            evidence=(
                f"{words.count(counts.n)} of {words.plural(len(tried), 'request')} failed at their first attempt, "
                f"{words.count(alone)} of them were not tried again",
                *sentences.evidence(counts, decision, rule),
                *shown(one for one, bad in zip(failed, lost, strict=True) if bad),
            ),
            needs=decision.needs,
            line=self.where.line,
        )


@dataclass(frozen=True)
class AmplificationCheck(EdgeCheck):
    """At most so many attempts a request on average, tried ones alone."""

    limit: float = 1.5

    def _judge_phase(self, edge: Edge, phase: PhaseRecord, history: History, alpha: float) -> Finding:
        tried = [one for one in between(edge.sent, phase.start, phase.end) if one.line.attempts]
        if not tried:
            raise self._untested(phase, f"no request on {self.ask} was tried at all")
        attempts = [one.line.attempts for one in tried]
        most = edge.record.most_attempts
        if max(attempts) > most:  # bounds of the mean need a limit that was known before
            text = (
                f"a request took {max(attempts)} attempts, more than any route allows ({most}), so it is not known how "
                "many there may be: somebody changed the retries in mid-run, or the client sets x-envoy-max-retries"
            )
            return self._bare(phase.name, Verdict.INVALID, text)
        mean = sum(attempts) / len(attempts)
        low, high = mean_bounds(attempts, most=most, alpha_lower=alpha, alpha_upper=1 - history.confidence)
        verdict, clusters = Verdict.INCONCLUSIVE, ""
        if high <= self.limit:
            verdict = Verdict.PASS
        elif low > self.limit:
            verdict = Verdict.FAIL
        again = tally_of([one.line for one in tried], (number > 1 for number in attempts), phase.start, phase.end)
        scatter = bursts.dispersion(again.bad_by_second, again.n_by_second, cuts(history, phase))
        if verdict is not Verdict.INCONCLUSIVE and scatter.flagged:  # the bounds are for requests independent of others
            import numpy as np

            seconds, _, none = by_second([one.line for one in tried], phase.start, phase.end)
            extra = np.bincount(seconds, weights=[number - 1 for number in attempts], minlength=len(none))
            spare = again.n_by_second * (most - 1)
            limit = (self.limit - 1) / (most - 1)
            if verdict is Verdict.PASS or not bursts.blocks_fail(extra, spare, limit, alpha):
                verdict, clusters = Verdict.INCONCLUSIVE, "retries came in clusters, which is too little to say: "
        text = clusters + (
            f"{mean:.3f} attempts a request over {words.plural(len(attempts), 'request')} "
            f"(bounds {low:.3f}-{high:.3f}), at most {self.limit:g} asked"
        )
        if verdict is Verdict.PASS:
            text = f"{sentences.THIS_RUN} {text}"
        elif verdict is Verdict.INCONCLUSIVE and not clusters:
            text += ": not decided by so few"
        return Finding(
            kind=self.kind,
            name=self.name,
            during=(phase.name,),
            verdict=verdict,
            reason=text,
            threshold=self.limit,
            estimate=mean,
            interval=(low, high),
            n=len(attempts),
            unit="attempts",
            evidence=(
                *(
                    f"{words.count(attempts.count(number))} requests took {words.plural(number, 'attempt')}"
                    for number in sorted(set(attempts))
                ),
                *shown(one for one in tried if one.line.attempts == max(attempts) > 1),
            ),
            line=self.where.line,
        )


class Retries:
    kind = SpecKind("retries", RetriesSpec, summary="retries save what failed at first, at a bounded cost")

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[Check]:
        wanted: RetriesSpec = expectation.spec
        common: dict[str, Any] = {
            "kind": "retries",
            "during": phases_of(expectation, context.experiment),
            "where": expectation.where,
            "ask": EdgeAsk(wanted.to, tuple(wanted.from_)),
        }
        found: list[Check] = []
        both = wanted.recovered is not None and wanted.amplification is not None
        if expectation.load or expectation.request:
            raise mistake(expectation.where, "retries are judged on an edge (from, to), not on a load or a request")
        if wanted.recovered is not None:
            name = edge_name("retries", expectation, context, common["ask"], "recovered" if both else "")
            theta = bad_share(wanted.recovered, expectation.where)
            good = statuses(wanted.good_status, expectation.where)
            found.append(RecoveredCheck(name=name, theta=theta, good=good, **common))
        if wanted.amplification is not None:
            name = edge_name("retries", expectation, context, common["ask"], "amplification" if both else "")
            found.append(AmplificationCheck(name=name, limit=wanted.amplification, **common))
        return tuple(found)

    def plan(self, expectation: Expectation, context: CheckContext) -> None:
        """Which attempts fail is not known beforehand."""


RETRIES = Retries()
