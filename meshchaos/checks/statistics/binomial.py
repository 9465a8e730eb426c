"""The exact binomial test and Clopper-Pearson bounds, for a count that is looked at once.

Clopper & Pearson, Biometrika 26 (1934): the bounds are the rates at which the tail that holds the
observed count has probability alpha; by the identity with the incomplete beta function they are
quantiles of Beta(s, n - s + 1) and Beta(s + 1, n - s).

``scipy.special`` alone is used (0.2 s to import; ``scipy.stats`` takes three times that).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def tail_at_most(bad: int, n: int, rate: float) -> float:
    """P(X <= bad) for X ~ Binomial(n, rate)."""
    if bad < 0:
        return 0.0
    if bad >= n:
        return 1.0
    from scipy.special import betaincc

    return float(betaincc(bad + 1, n - bad, rate))


def tail_at_least(bad: int, n: int, rate: float) -> float:
    """P(X >= bad) for X ~ Binomial(n, rate)."""
    if bad <= 0:
        return 1.0
    if bad > n:
        return 0.0
    from scipy.special import betainc

    return float(betainc(bad, n - bad + 1, rate))


def upper_bound(bad: int, n: int, alpha: float) -> float:
    """One-sided Clopper-Pearson upper bound of the rate at confidence 1 - alpha; 1 without data."""
    if bad >= n:
        return 1.0
    from scipy.special import betainccinv

    return float(betainccinv(bad + 1, n - bad, alpha))


def lower_bound(bad: int, n: int, alpha: float) -> float:
    """One-sided Clopper-Pearson lower bound of the rate at confidence 1 - alpha; 0 without data."""
    if bad <= 0:
        return 0.0
    from scipy.special import betaincinv

    return float(betaincinv(bad, n - bad + 1, alpha))


def interval(bad: int, n: int, alpha: float) -> tuple[float, float]:
    """Two-sided Clopper-Pearson interval at confidence 1 - alpha (alpha / 2 a side)."""
    return lower_bound(bad, n, alpha / 2), upper_bound(bad, n, alpha / 2)


def passes(bad: int, n: int, theta: float, alpha: float) -> bool:
    """Whether the upper bound of the rate is at most theta: P(X <= bad | theta) <= alpha."""
    return n > 0 and tail_at_most(bad, n, theta) <= alpha


def fails(bad: int, n: int, theta: float, alpha: float) -> bool:
    """Whether the lower bound of the rate is above theta: P(X >= bad | theta) < alpha."""
    return n > 0 and tail_at_least(bad, n, theta) < alpha


@dataclass(frozen=True, slots=True)
class Critical:
    """Counts that decide for one n: PASS up to ``passing`` bad (None: not even with none), FAIL from
    ``failing`` bad on (None: not even when all are).
    """

    passing: int | None
    failing: int | None


def critical(n: int, theta: float, alpha_pass: float, alpha_fail: float) -> Critical:
    """The critical counts of the exact test, by bisection (the tails are monotone in the count)."""
    return Critical(
        passing=largest(lambda bad: passes(bad, n, theta, alpha_pass), n),
        failing=smallest(lambda bad: fails(bad, n, theta, alpha_fail), n),
    )


def largest(holds: Callable[[int], bool], n: int) -> int | None:
    """The largest count in 0..n for which ``holds``, which is true up to some count and false after."""
    if n <= 0 or not holds(0):
        return None
    low, high = 0, n + 1
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def smallest(holds: Callable[[int], bool], n: int) -> int | None:
    """The smallest count in 0..n for which ``holds``, which is false up to some count and true after."""
    if n <= 0 or not holds(n):
        return None
    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
