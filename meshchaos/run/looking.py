"""Looks on the way: the proxies' words are read, and a phase may end before its time, where the file allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from meshchaos.checks.judge import look
from meshchaos.errors import EvidenceError
from meshchaos.experiment.model import Phase
from meshchaos.run.outcome import RunStopped
from meshchaos.run.plan import Plan
from meshchaos.run.watch import Watch


class Collecting(Protocol):
    def collect(self) -> None: ...


def collect(sources: Iterable[Collecting]) -> None:
    """Reads what the proxies have said so far. Raises RunStopped when that cannot be read: nothing would be proved."""
    try:
        for source in sources:
            source.collect()
    except EvidenceError as error:
        raise RunStopped("invalid", f"the evidence cannot be read any more: {error}") from error


@dataclass
class Look:
    """Whether a phase may end now by an early verdict, where the file allows one; ``sources`` are read first, those of
    faults that came meanwhile among them.
    """

    plan: Plan
    watch: Watch
    phase: Phase
    start: float
    sources: Callable[[], Iterable[Collecting]] = tuple

    def __call__(self, elapsed: float) -> bool:
        collect(self.sources())
        if self.phase.at_least is None or elapsed < self.phase.at_least:
            return False
        present = self.watch.so_far(self.phase, self.start)
        return look(self.plan.checks, self.watch.history((), present), self.plan.experiment.confidence).decided
