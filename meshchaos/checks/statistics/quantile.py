"""Quantiles of latencies that may be censored, with bounds by order statistics.

A request that timed out, failed or was dropped is slower than all others: its place is at infinity.
Then "the q-quantile is at most T" is the same statement as "at most a share 1 - q of the requests is
bad" (bad: slower than T or not good), for the estimate and for the bounds alike, so that the verdict
and the interval that is shown never contradict each other (David & Nagaraja, Order Statistics, 2003,
section 7.1; Hahn & Meeker, Statistical Intervals, 1991).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from meshchaos.checks.statistics.binomial import Critical

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rank(n: int, quantile: float) -> int:
    """Rank (from 1) of the estimate: the smallest r with r >= n q, so that at most n (1 - q) are above it."""
    return max(1, min(n, math.ceil(round(n * quantile, 9))))


def quantile_with_bounds(
    latencies: NDArray[Any], slow: int, quantile: float, critical: Critical, *, slow_lower: int | None = None
) -> tuple[float | None, float | None, float | None]:
    """Estimate, lower and upper bound of a quantile, each None where unbounded.

    ``latencies``: of the good requests, any order, s. ``slow``: how many more there were that count as
    infinitely slow. ``critical``: the counts that decide for n = len(latencies) + slow. ``slow_lower``:
    as ``slow`` but for the lower bound, where fewer are counted (dropped arrivals are left out for
    FAIL); ``critical.failing`` is then meant for n = len(latencies) + slow_lower.
    """
    answered = int(latencies.shape[0])
    n = answered + slow
    n_lower = answered + (slow if slow_lower is None else slow_lower)
    if n == 0:
        return None, None, None
    # PASS holds with `passing` above the limit, so the limit can come down to that order statistic;
    # FAIL holds with `failing` above it, so it can go up to just below this one.
    ranks = (
        rank(n, quantile),
        None if critical.failing is None else n_lower - critical.failing + 1,
        None if critical.passing is None else n - critical.passing,
    )
    import numpy as np

    wanted = sorted({r - 1 for r in ranks if r is not None and 1 <= r <= answered})
    values: dict[int, float] = {}
    if wanted:
        parted = np.partition(latencies, wanted)
        values = {index: float(parted[index]) for index in wanted}
    estimate = values.get(rank(n, quantile) - 1)
    lower = _at(ranks[1], answered, values)
    upper = _at(ranks[2], answered, values)
    return estimate, (0.0 if ranks[1] is None else lower), upper


def _at(position: int | None, answered: int, values: dict[int, float]) -> float | None:
    if position is None:
        return None
    if position < 1:
        return 0.0
    return values[position - 1] if position <= answered else None
