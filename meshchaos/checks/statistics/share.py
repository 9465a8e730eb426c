"""Whether a share of the traffic is what was asked, within a tolerance."""

from __future__ import annotations

from meshchaos.checks.statistics import binomial
from meshchaos.checks.statistics.comparison import Outcome

POINTS = 0.02
PART = 0.1
"""A share may be off by 2 points or by a tenth of it, whichever is wider."""


def tolerance(asked: float) -> float:
    return max(POINTS, PART * asked)


def share_holds(
    count: int, of: int, asked: float, *, alpha_pass: float, alpha_fail: float
) -> tuple[Outcome, tuple[float, float]]:
    """The outcome, and the Clopper-Pearson interval that decided it (two-sided where it is violated, else one-sided
    at ``alpha_pass`` an end).

    Holds when both bounds lie within the tolerance (two one-sided tests: Schuirmann, Journal of Pharmacokinetics and
    Biopharmaceutics 15 (1987): no correction); violated when the interval at alpha_fail / 2 an end lies wholly outside.
    """
    low, high = asked - tolerance(asked), asked + tolerance(asked)
    narrow = binomial.lower_bound(count, of, alpha_pass), binomial.upper_bound(count, of, alpha_pass)
    if of > 0 and low <= narrow[0] and narrow[1] <= high:
        return "holds", narrow
    wide = binomial.interval(count, of, alpha_fail)
    if of > 0 and (wide[0] > high or wide[1] < low):
        return "violated", wide
    return "undecided", narrow
