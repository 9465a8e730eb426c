"""What ``plan`` says about the samples that a canary's promises take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from meshchaos.checks.needs import Need, RatioNeed
from meshchaos.checks.statistics.planner import clean_minimum
from meshchaos.checks.statistics.ratio import NEGLIGIBLE_PART
from meshchaos.experiment.model import Experiment

if TYPE_CHECKING:
    from meshchaos.checks.canary import CanaryCheck

TENTH = 0.1
"""The canary's part of the traffic, where the expectation does not say it."""


def needs_of_canary(check: CanaryCheck, share: float | None, experiment: Experiment, alpha: float) -> Sequence[Need]:
    """One entry a phase; nothing for a share of the traffic. With fewer attempts than it says a latency quantile has no
    upper bound.
    """
    found: list[Need] = []
    for name in check.during:
        phase = experiment.phase(name)
        if phase is None or check.what == "share":
            continue
        where: dict[str, Any] = {"name": check.name, "phase": name, "seconds": phase.at_most, "planned": None}
        if check.what == "errorRatio" and check.negligible > 0:
            part = alpha * NEGLIGIBLE_PART
            found.append(
                RatioNeed(
                    **where,
                    clean=clean_minimum(check.negligible, part),
                    theta=check.negligible,
                    alpha=alpha - part,
                    unit=f"attempts at {check.canary}",
                    ratio=check.limit,
                    share=share or TENTH,
                )
            )
        if check.what == "errorBudget":
            clean, unit = clean_minimum(check.limit, alpha), f"attempts at {check.canary}"
            found.append(Need(**where, clean=clean, theta=check.limit, alpha=alpha, unit=unit))
        if check.what == "latencyRatio":
            theta, part = round(1 - check.quantile, 12), alpha / 2
            unit = f"attempts at {check.canary}"
            clean = clean_minimum(theta, part)
            found.append(Need(**where, clean=clean, theta=theta, alpha=part, unit=unit, has_power=False))
    return found
