"""Failures that come in clusters: seeing them, and a test for FAIL that stands up to them.

With failures in bursts the requests are not independent, and every request-level test is far too
sure of itself (at the limit 35-67 % false FAIL and 82-97 % false PASS were simulated). So the counts
per second are compared with what independent failures would scatter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MIN_BAD = 5
"""Fewer bad requests than this say nothing about clusters."""

MIN_BLOCKS = 10
"""Fewer blocks than this decide nothing."""

LONGEST_BLOCK = 10
"""Blocks are at most so many seconds long."""

FLAG_LEVEL = 0.99

BETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 0.99)
"""Stakes of the betting test, as shares of the largest that cannot go bankrupt (1 / theta)."""


@dataclass(frozen=True, slots=True)
class Dispersion:
    """``phi``: variance of the per-second failure counts over the binomial one (1: independent; nan:
    not defined). ``limit``: above it is flagged. ``blocks``: seconds with requests.
    """

    phi: float
    limit: float
    blocks: int
    flagged: bool


def dispersion(bad: ArrayLike, n: ArrayLike, cuts: Sequence[float] = ()) -> Dispersion:
    """Pearson's index of dispersion over seconds (Cochran, Biometrics 10 (1954)).

    ``bad[i]`` of ``n[i]`` requests started in second i. With p = sum(bad) / sum(n) over the k seconds
    that have requests::

        phi = 1 / (k - 1) * sum (bad_i - n_i p)^2 / (n_i p (1 - p))

    flagged when phi > chi2(0.99, k - 1) / (k - 1) and at least 5 are bad.

    ``cuts``: where the rate is meant to change, s from the start (a fault that comes or goes). Each part between them
    has its own p, and the sums and the degrees of freedom are added up over those with 0 < p < 1; a second with a cut
    in it is left out.
    """
    import numpy as np

    total = np.asarray(n, dtype=float)
    failed = np.asarray(bad, dtype=float)
    edges = sorted({edge for cut in cuts for edge in (math.floor(cut), math.ceil(cut))})
    part = np.searchsorted(np.asarray(edges), np.arange(total.shape[0]), side="right")
    squares, free, count = 0.0, 0, 0.0
    for number in range(len(edges) + 1):
        chosen = (part == number) & (total > 0)
        some, lost = total[chosen], failed[chosen]
        p = float(lost.sum()) / float(some.sum()) if some.shape[0] else 0.0
        if some.shape[0] < 2 or not 0 < p < 1:
            continue
        squares += float((((lost - some * p) ** 2) / (some * p * (1 - p))).sum())
        free += some.shape[0] - 1
        count += float(lost.sum())
    k = int((total > 0).sum())
    if not free:
        return Dispersion(math.nan, math.nan, k, flagged=False)
    phi = squares / free
    if count < MIN_BAD or phi <= 1:
        return Dispersion(phi, math.nan, k, flagged=False)
    from scipy.special import chdtri

    limit = float(chdtri(free, 1 - FLAG_LEVEL)) / free
    return Dispersion(phi, limit, k, flagged=phi > limit)


def log_wealth(shares: ArrayLike, theta: float) -> float:
    """Logarithm of the wealth of a gambler who bets that the mean of ``shares`` (each in [0, 1]) is above theta.

    Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 86 (2024):
    with a stake l in [0, 1 / theta] the wealth prod (1 + l (x_i - theta)) is a supermartingale when
    the mean is at most theta; the mean over fixed stakes (their diversified Kelly bet) is one too, so
    it reaches 1 / alpha with probability at most alpha. Nothing is assumed of how the x_i scatter.
    """
    import numpy as np

    excess = np.asarray(shares, dtype=float) - theta
    stakes = np.asarray(BETS) / theta
    logs = np.log1p(np.outer(stakes, excess)).sum(axis=1)
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).mean()))


def blocks_fail(bad: ArrayLike, n: ArrayLike, theta: float, alpha: float) -> bool:
    """FAIL under bursts: by the bad share of each block of seconds; never with fewer than 10 blocks.

    A block is as long as leaves 10 of them, at most 10 s, because a burst that lasts for several seconds
    makes neighbouring ones alike: at the limit, over 60 s, bursts of 5 s gave 12 % false FAIL by the
    second and 1 % by blocks of 5 s; over 600 s, bursts of 40 s gave 10 % by blocks of 5 s and 4 % by
    blocks of 10 s (simulated).
    """
    import numpy as np

    failed, total = np.asarray(bad, dtype=float), np.asarray(n, dtype=float)
    seconds = int((total > 0).sum())
    length = min(LONGEST_BLOCK, seconds // MIN_BLOCKS)
    if length < 1:
        return False
    edges = np.arange(0, total.shape[0], length)
    failed, total = np.add.reduceat(failed, edges), np.add.reduceat(total, edges)
    shares = failed[total > 0] / total[total > 0]
    return shares.shape[0] >= MIN_BLOCKS and log_wealth(shares, theta) >= -math.log(alpha)
