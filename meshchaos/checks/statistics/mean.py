"""Bounds of the mean of bounded whole numbers, such as attempts per request.

Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 86 (2024), section 4: with
x in [0, 1] and stakes l_i chosen from what came before, ::

    K_t(m) = prod_{i <= t} (1 + l_i (x_i - m)),   0 <= l_i <= c / m,  c < 1

is a supermartingale when the mean is at most m, so by Ville's inequality m is refuted once K reaches 1 / alpha, with
an error rate of at most alpha; likewise from above with 1 - x and 1 - m. The stakes are theirs for a fixed n,
l_i = sqrt(2 ln(1 / alpha) / (n s_{i-1}^2)) with the running variance s^2: nearly as narrow as the empirical Bernstein
bound (Maurer & Pontil, COLT 2009) can get and far narrower than Hoeffding's, and valid for every n and distribution,
which the normal approximation is not where almost all requests take one attempt.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from meshchaos.checks.statistics import binomial

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BLOCKS = 400
"""The stakes change so often at most: within a block they are the same, so that counts suffice."""

MOST_STAKE = 0.75
"""c: of the largest stake that cannot go bankrupt."""


def mean_bounds(
    values: ArrayLike, *, least: int = 1, most: int, alpha_lower: float, alpha_upper: float
) -> tuple[float, float]:
    """Bounds of the mean of whole numbers in [least, most], each one-sided; (least, most) without any.

    ``values`` in an order that does not depend on them, such as by the time the requests started. With only two values
    possible it is a share, and the bounds are Clopper-Pearson's, exactly. Raises ValueError for a value outside.
    """
    import numpy as np

    numbers = np.asarray(values, dtype=np.int64).ravel()
    n = int(numbers.shape[0])
    if n and not (least <= int(numbers.min()) and int(numbers.max()) <= most):
        msg = f"values from {numbers.min()} to {numbers.max()}, but only {least} to {most} are possible"
        raise ValueError(msg)
    span = most - least
    if n == 0 or span == 0:
        return float(least), float(most)
    above = numbers - least
    if span == 1:
        count = int(above.sum())
        low, high = binomial.lower_bound(count, n, alpha_lower), binomial.upper_bound(count, n, alpha_upper)
    else:
        counts = _counts(above, span)
        low = _lower(counts, alpha_lower)
        high = 1 - _lower(counts[:, ::-1], alpha_upper)
    return least + span * low, least + span * high


def _counts(above: NDArray[Any], span: int) -> NDArray[Any]:
    """How often each value 0..span came, by block, shape (blocks, span + 1)."""
    import numpy as np

    n = above.shape[0]
    block = np.arange(n) * min(BLOCKS, n) // n
    flat = np.bincount(block * (span + 1) + above, minlength=(span + 1) * min(BLOCKS, n))
    return flat.reshape(-1, span + 1)


def _lower(counts: NDArray[Any], alpha: float) -> float:
    """The largest m (x scaled to [0, 1]) that is refuted as an upper limit of the mean, by halving: K falls with m."""
    import numpy as np

    x = np.linspace(0, 1, counts.shape[1])
    stakes = _stakes(counts, x, alpha)
    goal = -math.log(alpha)
    low, high = 0.0, float((counts * x).sum() / counts.sum())
    if high == 0:
        return 0.0
    for _ in range(50):
        middle = (low + high) / 2
        capped = np.minimum(stakes, MOST_STAKE / middle)
        steps = (counts * np.log1p(capped[:, None] * (x - middle))).sum(axis=1)
        if float(steps.cumsum().max()) >= goal:
            low = middle
        else:
            high = middle
    return low


def _stakes(counts: NDArray[Any], x: NDArray[Any], alpha: float) -> NDArray[Any]:
    """One for each block, from the blocks before it. The variance starts from that of one more value, 1 / 4."""
    import numpy as np

    size = counts.sum(axis=1)
    n = float(size.sum())
    before = size.cumsum() - size
    sums = (counts * x).sum(axis=1)
    squares = (counts * x * x).sum(axis=1)
    first, second = sums.cumsum() - sums, squares.cumsum() - squares
    mean = (0.5 + first) / (before + 1)
    # The sum of (x - mean)^2 about the running mean; the half a value in the mean keeps it off the ends.
    scatter = np.maximum(second - 2 * mean * first + before * mean * mean, 0)
    variance = (0.25 + scatter) / (before + 1)
    return np.asarray(np.sqrt(2 * -math.log(alpha) / (n * variance)))
