"""Whether a canary's latency quantile is at most so many times the baseline's.

Each arm's quantile has bounds by order statistics that assume nothing of the distribution (``quantile``), at alpha / 2
an arm; by the union bound ``upper1 / lower0`` and ``lower1 / upper0`` then bound the ratio, each one-sided at alpha
(Price & Bonett, Computational Statistics & Data Analysis 37 (2002), discuss the sharper ones that need densities).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshchaos.checks.statistics import binomial
from meshchaos.checks.statistics.comparison import Comparison
from meshchaos.checks.statistics.quantile import quantile_with_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of one arm: ``answered``, the latencies (s, any order) of its good responses, and ``slow``, how many more there
    were without one (timed out, failed), which count as slower than all others.
    """

    answered: NDArray[Any]
    slow: int = 0

    def bounds(self, quantile: float, alpha: float) -> tuple[float | None, float, float | None]:
        """Estimate, lower and upper bound of the quantile, one-sided at ``alpha`` each, s. An estimate or upper bound
        among those without an answer is None, such a lower bound infinite; 0 and None where there are too few.
        """
        n = int(self.answered.shape[0]) + self.slow
        if n == 0:
            return None, 0.0, None
        critical = binomial.critical(n, round(1 - quantile, 12), alpha, alpha)
        estimate, low, high = quantile_with_bounds(self.answered, self.slow, quantile, critical)
        return estimate, float("inf") if low is None else low, high


def compare_quantiles(
    canary: Latencies, baseline: Latencies, *, quantile: float, ratio: float, alpha_pass: float, alpha_fail: float
) -> Comparison:
    """``quantile`` in (0, 1). Holds when the canary's quantile is at most ``ratio`` times the baseline's, for sure;
    violated when it is more, for sure. Bounds that are unbounded never PASS, and FAIL only when the canary's quantile
    is surely among requests that never ended while the baseline's is bounded; the interval's low end is None then.
    """
    middle1, _, high1 = canary.bounds(quantile, alpha_pass / 2)
    middle0, low0, _ = baseline.bounds(quantile, alpha_pass / 2)
    estimate = middle1 / middle0 if middle1 is not None and middle0 else None
    _, low1, _ = canary.bounds(quantile, alpha_fail / 2)
    _, _, high0 = baseline.bounds(quantile, alpha_fail / 2)
    upper = high1 / low0 if high1 is not None and low0 > 0 else None
    lower: float | None = low1 / high0 if high0 else 0.0
    if lower == float("inf"):
        lower = None
    if high1 is not None and high1 <= ratio * low0:
        return Comparison("holds", estimate, (lower, upper), "ratio")
    if high0 is not None and low1 > ratio * high0:
        return Comparison("violated", estimate, (lower, upper), "ratio")
    return Comparison("undecided", estimate, (lower, upper))
