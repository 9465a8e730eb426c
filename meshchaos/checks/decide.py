"""From the counts of one window to PASS, FAIL or INCONCLUSIVE: where the tests meet the rules.

- A window that ran its full length: the exact binomial test, once.
- A window that the data themselves cut short (early verdict, ``stopIf``): the e-process.
- Failures in clusters: no PASS, and FAIL only by the test on blocks of seconds.
- Arrivals dropped at the in-flight cap are bad for PASS and left out for FAIL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from meshchaos.checks.kind import Verdict
from meshchaos.checks.statistics import binomial, bursts, eprocess, planner
from meshchaos.checks.statistics.binomial import Critical
from meshchaos.checks.tally import Tally

EARLY_PART = 0.85
"""Where an early verdict may end a phase, the part of the error rate that the looks get; the exact test at the end gets
the rest (a union bound). At 1.5 % against 1 % looks every 500 requests then end after 1.09 times what a test of fixed
length takes (1.13 with seven tenths), and the phase that reaches its end keeps most of its power.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """``theta``: the largest bad share allowed. ``alpha_pass``, ``alpha_fail``: one-sided error rates.
    ``sequential``: by the e-process.
    """

    theta: float
    alpha_pass: float
    alpha_fail: float
    sequential: bool = False

    def passes(self, bad: int, n: int) -> bool:
        if self.sequential:
            return eprocess.crossed(bad, n, self.theta, "pass", self.alpha_pass)
        return binomial.passes(bad, n, self.theta, self.alpha_pass)

    def fails(self, bad: int, n: int) -> bool:
        if self.sequential:
            return eprocess.crossed(bad, n, self.theta, "fail", self.alpha_fail)
        return binomial.fails(bad, n, self.theta, self.alpha_fail)

    def shown(self, verdict: Verdict) -> float:
        """The alpha of the bounds to show: that of the side that decided."""
        return self.alpha_fail if verdict is Verdict.FAIL else self.alpha_pass

    def critical(self, tally: Tally, alpha: float) -> Critical:
        """The counts that decide at ``alpha``, the FAIL side without dropped arrivals."""
        test = eprocess.critical if self.sequential else binomial.critical
        return Critical(
            passing=test(tally.n, self.theta, alpha, alpha).passing,
            failing=test(tally.sent, self.theta, alpha, alpha).failing,
        )

    def bounds(self, tally: Tally, alpha: float) -> tuple[float, float]:
        """Bounds of the bad share, each one-sided at ``alpha``, the lower without dropped arrivals."""
        if self.sequential:
            low, _ = eprocess.bounds(tally.sent_bad, tally.sent, alpha, alpha)
            _, high = eprocess.bounds(tally.bad, tally.n, alpha, alpha)
            return low, high
        return (
            binomial.lower_bound(tally.sent_bad, tally.sent, alpha),
            binomial.upper_bound(tally.bad, tally.n, alpha),
        )

    def fails_alone(self, tally: Tally) -> bool:
        """Whether it would be a FAIL if nothing else were judged beside it."""
        return replace(self, alpha_fail=self.alpha_pass).fails(tally.sent_bad, tally.sent)


@dataclass(frozen=True, slots=True)
class Decision:
    """``clusters`` is set when failures came in clusters, whatever the verdict; ``downgraded`` when that
    took a PASS or a FAIL away. ``needs``: further requests that would decide at the present share; None
    when decided, or when no number would.
    """

    verdict: Verdict
    clusters: bursts.Dispersion | None = None
    downgraded: Verdict | None = None
    needs: int | None = None


def decide(tally: Tally, rule: Rule, cuts: Sequence[float] = ()) -> Decision:
    """The verdict for one window with at least one request. ``cuts``: where the rate is meant to change within it, s
    from its start; such a change is no cluster.
    """
    passes = rule.passes(tally.bad, tally.n)
    fails = rule.fails(tally.sent_bad, tally.sent)
    scatter = bursts.dispersion(tally.bad_by_second, tally.n_by_second, cuts)
    clusters = scatter if scatter.flagged else None
    if passes:
        if clusters:
            return Decision(Verdict.INCONCLUSIVE, clusters, downgraded=Verdict.PASS)
        return Decision(Verdict.PASS)
    if fails:
        sent, sent_bad = tally.n_by_second - tally.dropped_by_second, tally.bad_by_second - tally.dropped_by_second
        if tally.dropped and not clusters:
            scatter = bursts.dispersion(sent_bad, sent, cuts)
            clusters = scatter if scatter.flagged else None
        if clusters and not bursts.blocks_fail(sent_bad, sent, rule.theta, rule.alpha_fail):
            return Decision(Verdict.INCONCLUSIVE, clusters, downgraded=Verdict.FAIL)
        return Decision(Verdict.FAIL, clusters)
    needs = planner.more(tally.bad, tally.n, rule.theta, rule.alpha_pass, rule.alpha_fail)
    return Decision(Verdict.INCONCLUSIVE, clusters, needs=needs)
