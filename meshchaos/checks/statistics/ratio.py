"""Whether a canary fails at most so many times as often as the baseline.

Przyborowski & Wilenski, Biometrika 31 (1940): of two Poisson counts with rates p1 n1 and p0 n0 the first, given their
sum t, is Binomial(t, pi) with::

    pi = p1 n1 / (p1 n1 + p0 n0) = r w / (r w + 1 - w),   w = n1 / (n1 + n0),  r = p1 / p0

so "p1 is at most r p0" is a statement on one Bernoulli rate, tested exactly and freed of the baseline's own rate, which
may even drift: a bad second for both arms is no evidence (Lindon & Malek, NeurIPS 2022, arXiv 2011.03567, who test the
same pi sequentially). Counts of requests are binomial and scatter less than Poisson ones (by the factor 1 - p), so the
test errs less than it says; the higher the rates the more so, and power is lost above 5 % or so.

``w`` must not change within the window: where the weights are stepped up, each step is judged by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshchaos.checks.statistics import binomial, bursts, eprocess
from meshchaos.checks.statistics.comparison import Comparison

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

NEGLIGIBLE_PART = 0.5
"""Of the error rate of a PASS, the part that the ``negligible`` rule gets: either rule can PASS alone, and both could
err at once where p1 = negligible = r p0, so their error rates have to add up to alpha."""


@dataclass(frozen=True, slots=True)
class Arm:
    """``bad`` of ``n`` attempts at one subset."""

    bad: int
    n: int


@dataclass(frozen=True, slots=True)
class RatioRule:
    """Holds when p_canary <= max(ratio x p_baseline, negligible).

    ``alpha_pass``: the chance of a PASS when it does not hold, at most; ``alpha_fail``: of a FAIL when it holds.
    ``negligible`` 0: no such rule. ``sequential``: by the e-process, valid under looks on the way.
    """

    ratio: float
    negligible: float
    alpha_pass: float
    alpha_fail: float
    sequential: bool = False

    def compare(self, canary: Arm, baseline: Arm) -> Comparison:
        """PASS when one of "p1 <= ratio p0" and "p1 <= negligible" is shown, each at its part of ``alpha_pass``
        (union bound); FAIL when both are refuted, each at ``alpha_fail`` (intersection-union test, Berger,
        Technometrics 24 (1982): no correction). Nothing bad in either arm: nothing is known of the ratio, and only
        ``negligible`` can PASS it. An arm without traffic decides nothing.
        """
        parts = (self.alpha_pass, 0.0)
        if self.negligible > 0:
            parts = (self.alpha_pass * (1 - NEGLIGIBLE_PART), self.alpha_pass * NEGLIGIBLE_PART)
        if canary.n == 0 or baseline.n == 0:
            return Comparison("undecided", None, (0.0, None))
        theta, total = expected_share(self.ratio, canary.n, baseline.n), canary.bad + baseline.bad
        found = estimate(canary, baseline)
        if self._shown(canary.bad, total, theta, parts[0]):
            return Comparison("holds", found, self._bounds(canary, baseline, parts[0]), "ratio")
        if parts[1] and self._shown(canary.bad, canary.n, self.negligible, parts[1]):
            return Comparison("holds", found, self._bounds(canary, baseline, parts[0]), "negligible")
        over = self.negligible <= 0 or self._refuted(canary.bad, canary.n, self.negligible)
        if over and self._refuted(canary.bad, total, theta):
            return Comparison("violated", found, self._bounds(canary, baseline, self.alpha_fail), "ratio")
        return Comparison("undecided", found, self._bounds(canary, baseline, parts[0]))

    def _shown(self, bad: int, n: int, theta: float, alpha: float) -> bool:
        if self.sequential:
            return eprocess.crossed(bad, n, theta, "pass", alpha)
        return binomial.passes(bad, n, theta, alpha)

    def _refuted(self, bad: int, n: int, theta: float) -> bool:
        if self.sequential:
            return eprocess.crossed(bad, n, theta, "fail", self.alpha_fail)
        return binomial.fails(bad, n, theta, self.alpha_fail)

    def _bounds(self, canary: Arm, baseline: Arm, alpha: float) -> tuple[float, float | None]:
        return ratio_bounds(canary, baseline, alpha, sequential=self.sequential)

    def compare_by_second(
        self, canary_bad: ArrayLike, canary_n: ArrayLike, baseline_bad: ArrayLike, baseline_n: ArrayLike
    ) -> tuple[Comparison, bursts.Dispersion | None]:
        """As ``compare``, on counts by the second of one window, with an eye on clusters: the second element is the
        canary's scatter where it came in clusters, else None.

        Failures that come in clusters in both arms alike do no harm: the test is on the canary's share of them. Those
        of the canary alone do: then there is no PASS, and FAIL only when the blocks of seconds say that the canary is
        above ``max(ratio x U, negligible)``, U the baseline's upper bound, at half the error rate each; never when the
        baseline clusters too.
        """
        import numpy as np

        bad1, n1, bad0, n0 = (
            np.asarray(array, dtype=np.int64) for array in (canary_bad, canary_n, baseline_bad, baseline_n)
        )
        canary, baseline = Arm(int(bad1.sum()), int(n1.sum())), Arm(int(bad0.sum()), int(n0.sum()))
        found = self.compare(canary, baseline)
        own = bursts.dispersion(bad1, n1)
        shared = bursts.dispersion(bad1, bad1 + bad0)
        # With all failures in one arm their share does not scatter at all: then the arm's own scatter tells.
        one_sided = canary.bad == 0 or baseline.bad < bursts.MIN_BAD
        clusters = shared if shared.flagged else (own if own.flagged and one_sided else None)
        if found.by == "negligible" and own.flagged:
            clusters = own
        if clusters is None or found.outcome == "undecided":
            return found, clusters
        undecided = Comparison("undecided", found.estimate, found.interval)
        if found.outcome == "holds" or bursts.dispersion(bad0, n0).flagged:
            return undecided, clusters
        most = binomial.upper_bound(baseline.bad, baseline.n, self.alpha_fail / 2)
        limit = max(self.ratio * most, self.negligible)
        if limit < 1 and bursts.blocks_fail(bad1, n1, limit, self.alpha_fail / 2):
            return found, clusters
        return undecided, clusters


def expected_share(ratio: float, canary_n: float, baseline_n: float) -> float:
    """pi: the canary's share of all bad requests when it fails ``ratio`` times as often."""
    return ratio * canary_n / (ratio * canary_n + baseline_n)


def estimate(canary: Arm, baseline: Arm) -> float | None:
    """The ratio of the two shares; None without a bad one in the baseline, or without traffic."""
    if baseline.bad == 0 or canary.n == 0:
        return None
    return (canary.bad / canary.n) / (baseline.bad / baseline.n)


def ratio_bounds(canary: Arm, baseline: Arm, alpha: float, *, sequential: bool = False) -> tuple[float, float | None]:
    """Bounds of the ratio, each one-sided at ``alpha``: those of pi, turned round (Clopper-Pearson, or the inverted
    e-process). The upper one is None when no bad request was seen in the baseline.
    """
    if canary.n == 0 or baseline.n == 0:
        return 0.0, None
    total = canary.bad + baseline.bad
    if sequential:
        low, high = eprocess.bounds(canary.bad, total, alpha, alpha)
    else:
        low, high = binomial.lower_bound(canary.bad, total, alpha), binomial.upper_bound(canary.bad, total, alpha)
    odds = baseline.n / canary.n
    return low / (1 - low) * odds if low < 1 else 0.0, high / (1 - high) * odds if high < 1 else None
