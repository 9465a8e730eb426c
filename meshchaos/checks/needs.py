"""What ``plan`` says about samples: how many a verdict takes, and whether the run will have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshchaos.checks import words
from meshchaos.checks.rate import RateCheck
from meshchaos.checks.statistics.planner import needed, needed_early
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

    def assumed(self, good: float) -> int | None:
        """Requests for a right verdict 4 times of 5 (80 % power) if the true share of requests that hold
        is ``good``; None when that is the limit itself.
        """
        return needed(self.theta, 1 - good, self.alpha)

    def assumed_early(self, good: float) -> int | None:
        """About how many until an early verdict at that true share."""
        return needed_early(self.theta, 1 - good, self.alpha)


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
            confidence = experiment.confidence
            if phase.at_least is not None:
                confidence = 1 - (1 - confidence) / 2
            rate = arrivals(check, experiment)
            found.append(
                Need(
                    name=label,
                    phase=name,
                    seconds=length,
                    clean=check.clean(confidence),
                    planned=None if rate is None else int(rate * length),
                    theta=check.theta,
                    alpha=round(1 - confidence, 12),
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
