"""A grid-mixture e-process for a Bernoulli rate: a test that stays valid however often it is looked at.

For one side with the grid G of alternatives and S bad of n::

    E_n = mean over p in G of (p / theta)^S ((1 - p) / (1 - theta))^(n - S)

Under every rate on the other side of theta each term is a supermartingale that starts at 1, and so
is their mean; by Ville's inequality (1939) E ever reaches 1 / alpha with probability at most alpha.
Mixtures and their inversion into confidence sequences: Howard, Ramdas, McAuliffe & Sekhon, Annals of
Statistics 49 (2021); Ramdas, Grünwald, Vovk & Shafer, Statistical Science 38 (2023).

Only ``math`` is used: a look costs one pass over the grid whatever n is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from meshchaos.checks.statistics.binomial import Critical, largest, smallest

Side = Literal["fail", "pass"]

FAIL_GRID = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Alternatives above theta, as multiples of it."""

PASS_GRID = (0.8, 0.6, 0.4, 0.2, 0.0)
"""Alternatives below theta, as multiples of it."""

CLIP = 0.05
"""No alternative is closer to 1 than this share of 1 - theta: at p = 1 one good request would end it."""


def alternatives(theta: float, side: Side) -> tuple[float, ...]:
    """The grid for one side, each rate once, all below 1. ``theta`` in (0, 1)."""
    if not 0 < theta < 1:
        msg = f"theta must lie between 0 and 1, not {theta}"
        raise ValueError(msg)
    if side == "pass":
        return tuple(theta * factor for factor in PASS_GRID)
    ceiling = 1 - CLIP * (1 - theta)
    return tuple(sorted({min(theta * factor, ceiling) for factor in FAIL_GRID}))


def log_e(bad: int, n: int, theta: float, side: Side) -> float:
    """Logarithm of E after ``bad`` of ``n``; -inf where no alternative is possible any more."""
    return _mix([_log_ratio(bad, n, p, theta) for p in alternatives(theta, side)])


def crossed(bad: int, n: int, theta: float, side: Side, alpha: float) -> bool:
    """Whether E is at least 1 / alpha now."""
    return n > 0 and log_e(bad, n, theta, side) >= -math.log(alpha)


def critical(n: int, theta: float, alpha_pass: float, alpha_fail: float) -> Critical:
    """The counts that decide at this n, by bisection."""
    return Critical(
        passing=largest(lambda bad: crossed(bad, n, theta, "pass", alpha_pass), n),
        failing=smallest(lambda bad: crossed(bad, n, theta, "fail", alpha_fail), n),
    )


def bounds(bad: int, n: int, alpha_lower: float, alpha_upper: float) -> tuple[float, float]:
    """Bounds of the rate by inverting the test: rates below the first would be a FAIL by now, rates
    above the second a PASS. Valid at all looks together; wider than Clopper-Pearson's.
    """
    if n <= 0:
        return 0.0, 1.0
    estimate = bad / n
    lower, upper = 0.0, 1.0
    if bad > 0:
        lower = _edge(lambda theta: crossed(bad, n, theta, "fail", alpha_lower), holds_at=0.0, end=min(estimate, 1.0))
    if bad < n:
        upper = _edge(lambda theta: crossed(bad, n, theta, "pass", alpha_upper), holds_at=1.0, end=estimate)
    return lower, upper


class EProcess:
    """The same, fed as the requests come: O(grid) for any number of them.

    ``update`` takes *further* requests; the order within them does not matter.
    """

    def __init__(self, theta: float, side: Side) -> None:
        grid = alternatives(theta, side)
        self._bad_steps = [math.log(p / theta) if p > 0 else -math.inf for p in grid]
        self._good_steps = [math.log1p(-p) - math.log1p(-theta) for p in grid]
        self._logs = [0.0] * len(grid)
        self.n = 0
        self.bad = 0

    def update(self, bad: int, n: int) -> None:
        good = n - bad
        self.n += n
        self.bad += bad
        for i, (bad_step, good_step) in enumerate(zip(self._bad_steps, self._good_steps, strict=True)):
            self._logs[i] += (bad * bad_step if bad else 0.0) + good * good_step

    @property
    def log_e(self) -> float:
        return _mix(self._logs)

    def crossed(self, alpha: float) -> bool:
        return self.n > 0 and self.log_e >= -math.log(alpha)


def _log_ratio(bad: int, n: int, p: float, theta: float) -> float:
    if p <= 0:
        return -math.inf if bad else -n * math.log1p(-theta)
    return bad * math.log(p / theta) + (n - bad) * (math.log1p(-p) - math.log1p(-theta))


def _mix(logs: Sequence[float]) -> float:
    top = max(logs)
    if top == -math.inf:
        return top
    return top + math.log(math.fsum(math.exp(log - top) for log in logs) / len(logs))


def _edge(holds: Callable[[float], bool], *, holds_at: float, end: float) -> float:
    """Where ``holds`` changes between the open end ``holds_at`` and ``end``, to 1e-12 or 60 halvings."""
    inside, outside = holds_at, end
    for _ in range(60):
        middle = (inside + outside) / 2
        if abs(outside - inside) < 1e-12 or not 0 < middle < 1:
            break
        if holds(middle):
            inside = middle
        else:
            outside = middle
    return inside
