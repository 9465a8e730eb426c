"""What ``plan`` says about samples: how many a verdict takes, and whether the run will have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshchaos.checks import words
from meshchaos.checks.decide import EARLY_PART
from meshchaos.checks.rate import RateCheck
from meshchaos.checks.statistics.planner import needed, needed_early, needed_ratio
from meshchaos.experiment.model import Experiment, PhaseName


@dataclass(frozen=True, slots=True)
class Need:
    """For one check in one phase: ``clean`` requests PASS when none is bad; the run will send about
    ``planned`` there (None: a closed load, unknown). ``theta`` is the bad share allowed, ``alpha`` the
    one-sided error rate of the PASS side.
    """

    name: str
    phase: PhaseName
    seconds: float
    clean: int
    planned: int | None
    theta: float
    alpha: float
    alpha_early: float | None = None
    """That of the looks on the way, where an early verdict may end the phase."""
    unit: str = "requests"
    has_power: bool = True
    """False: what a true share would take cannot be told."""

    @property
    def warning(self) -> str | None:
        """Why this run cannot PASS here; None when it can."""
        if self.planned is None or self.planned >= self.clean:
            return None
        return (
            f"{self.name} cannot PASS {words.phase(self.phase)}: that takes at least "
            f"{words.plural(self.clean, 'request')} without a bad one, and {words.seconds(self.seconds)} will bring "
            f"about {words.count(self.planned)}"
        )

    def assumed(self, good: float, among: int = 1) -> int | None:
        """Requests for a right verdict 4 times of 5 (80 % power) if the true share of requests that hold
        is ``good``; None when that is the limit itself. ``among`` so many checks: a FAIL takes alpha / among.
        """
        return needed(self.theta, 1 - good, self._alpha(good, self.alpha, among))

    def assumed_early(self, good: float, among: int = 1) -> int | None:
        """About how many until an early verdict at that true share; None too where none may end the phase."""
        if self.alpha_early is None:
            return None
        return needed_early(self.theta, 1 - good, self._alpha(good, self.alpha_early, among))

    def _alpha(self, good: float, alpha: float, among: int) -> float:
        return alpha if 1 - good < self.theta else alpha / among


@dataclass(frozen=True, slots=True)
class RatioNeed(Need):
    """Of a canary's error ratio: ``clean`` attempts at the canary are negligible when none is bad; with failures it
    takes as many as ``assumed`` says. ``share``: the canary's share of the traffic.
    """

    ratio: float = 1.0
    share: float = 0.5

    def assumed(self, good: float, among: int = 1) -> int | None:
        """Attempts at both versions for a PASS with 80 % power if both are good with that share."""
        return needed_ratio(self.ratio, 1.0, rate=1 - good, share=self.share, alpha=self.alpha)


def needs_of(checks: Sequence[RateCheck], experiment: Experiment, *, lost: float = 0.0) -> tuple[Need, ...]:
    """One entry a check and phase; ``lost`` seconds of each phase are not judged."""
    found = []
    for check in checks:
        for name in check.during:
            phase = experiment.phase(name)
            if phase is None:
                continue
            length = max(0.0, phase.at_most - lost)
            label = check.name
            ramp = experiment.ramp if name == "fault" else None
            if ramp is not None:
                start, end = ramp.window(phase.at_most)
                length, label = (end - start) / len(ramp.ramp), f"{check.name}, each step"
            alpha, early = 1 - experiment.confidence, None
            if phase.at_least is not None:
                alpha, early = alpha * (1 - EARLY_PART), alpha * EARLY_PART
            rate = arrivals(check, experiment)
            found.append(
                Need(
                    name=label,
                    phase=name,
                    seconds=length,
                    clean=check.clean(1 - alpha),
                    planned=None if rate is None else int(rate * length),
                    theta=check.theta,
                    alpha=round(alpha, 12),
                    alpha_early=early,
                )
            )
    return tuple(found)


def arrivals(check: RateCheck, experiment: Experiment) -> float | None:
    """Requests per second that the check will see; None when a closed load is among them, or of an edge."""
    if check.edge is not None:
        return None
    total = 0.0
    for load in experiment.loads:
        if check.measure.load not in (None, load.name):
            continue
        if load.rate is None:
            return None
        share = 1.0
        if check.measure.request is not None:
            weights = sum(request.weight for request in load.requests)
            wanted = sum(request.weight for request in load.requests if request.name == check.measure.request)
            share = wanted / weights if weights else 0.0
        total += load.rate * share
    return total
