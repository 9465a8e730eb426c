"""How many requests a verdict takes."""

from __future__ import annotations

import math
from collections.abc import Callable

from meshchaos.checks.statistics.binomial import critical, fails, passes, tail_at_least, tail_at_most
from meshchaos.checks.statistics.eprocess import FAIL_GRID, PASS_GRID
from meshchaos.checks.statistics.ratio import expected_share

MOST = 100_000_000
"""Beyond this many requests the answer is None: no run will get there."""


def clean_minimum(theta: float, alpha: float) -> int:
    """The fewest requests that PASS when none is bad: smallest n with (1 - theta)^n <= alpha.

    At alpha 0.05: 299 for 1 %, 598 for 0.5 %, 2,995 for 0.1 %.
    """
    return math.ceil(math.log(alpha) / math.log1p(-theta))


def power(n: int, theta: float, true: float, alpha: float) -> float:
    """The chance that the exact test decides rightly after n requests at the true rate: PASS below
    theta, FAIL above.
    """
    counts = critical(n, theta, alpha, alpha)
    if true < theta:
        return 0.0 if counts.passing is None else tail_at_most(counts.passing, n, true)
    return 0.0 if counts.failing is None else tail_at_least(counts.failing, n, true)


def needed(theta: float, assumed: float, alpha: float, wanted: float = 0.8) -> int | None:
    """Requests for that power of the exact test at an assumed true bad rate; None: equal to theta, or
    more than MOST. The power saws up and down by one count with n, so the answer is good to about that.
    """
    if assumed == theta:
        return None
    return _first(lambda n: power(n, theta, assumed, alpha) >= wanted, start=clean_minimum(theta, alpha) // 2 + 1)


def needed_early(theta: float, assumed: float, alpha: float) -> int | None:
    """About how many requests until the e-process stops at an assumed true rate.

    n = ln(K / alpha) / KL(assumed, theta), K the size of the grid; KL of Bernoulli rates in nats.
    None when assumed equals theta, or when it is more than MOST.
    """
    divergence = kl(assumed, theta) if assumed != theta else 0.0
    size = len(PASS_GRID) if assumed < theta else len(FAIL_GRID)
    nats = math.log(size / alpha)
    return math.ceil(nats / divergence) if nats <= MOST * divergence else None


def needed_ratio(
    ratio: float, true: float, *, rate: float, share: float, alpha: float, wanted: float = 0.8
) -> int | None:
    """About how many requests at both arms until the ratio test (``ratio``) decides with that power, when the baseline
    fails at ``rate`` and the canary, with ``share`` of the traffic, ``true`` times as often. None: no number would.

    By the number of *bad* ones: t that decide between pi(ratio) and pi(true), divided by the mean rate of both arms.
    """
    limit, assumed = expected_share(ratio, share, 1 - share), expected_share(true, share, 1 - share)
    mean = rate * (share * true + 1 - share)
    if mean <= 0 or not 0 < limit < 1:
        return None
    bad = needed(limit, assumed, alpha, wanted)
    return None if bad is None else math.ceil(bad / mean)


def kl(p: float, q: float) -> float:
    """Kullback-Leibler divergence of Bernoulli(p) from Bernoulli(q), nats; q in (0, 1)."""
    first = p * math.log(p / q) if p > 0 else 0.0
    second = (1 - p) * (math.log1p(-p) - math.log1p(-q)) if p < 1 else 0.0
    return first + second


def more(bad: int, n: int, theta: float, alpha_pass: float, alpha_fail: float) -> int | None:
    """How many further requests would decide if the bad share stays as it is; None when it sits so
    near the limit that more than MOST would be needed. 0 when it is decided already.
    """
    if n == 0:
        return clean_minimum(theta, alpha_pass)
    share = bad / n
    if share == theta:
        return None
    if share < theta:
        total = _first(lambda m: passes(math.ceil(round(share * m, 6)), m, theta, alpha_pass), start=n)
    else:
        total = _first(lambda m: fails(math.floor(round(share * m, 6)), m, theta, alpha_fail), start=n)
    return None if total is None else total - n


def _first(holds: Callable[[int], bool], start: int) -> int | None:
    """The first n >= start for which ``holds`` (true from somewhere on, but for saw-teeth): doubling, then halving."""
    low, high = start - 1, max(start, 1)
    while not holds(high):
        if high > MOST:
            return None
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
