"""Looks on the way: whether a phase may end before its time, where the file allows it."""

from __future__ import annotations

from dataclasses import dataclass

from meshchaos.checks.judge import look
from meshchaos.experiment.model import Phase
from meshchaos.run.plan import Plan
from meshchaos.run.watch import Watch


@dataclass
class Look:
    """Whether a phase may end now by an early verdict, where the file allows one."""

    plan: Plan
    watch: Watch
    phase: Phase
    start: float

    def __call__(self, elapsed: float) -> bool:
        if self.phase.at_least is None or elapsed < self.phase.at_least:
            return False
        present = self.watch.so_far(self.phase, self.start)
        return look(self.plan.checks, self.watch.history((), present), self.plan.experiment.confidence).decided
