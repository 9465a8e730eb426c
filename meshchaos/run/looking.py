"""Looks on the way: the proxies' words are read, and a phase may end before its time, where the file allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from meshchaos.checks.judge import look
from meshchaos.errors import EvidenceError
from meshchaos.experiment.model import Phase
from meshchaos.run.edges_so_far import live_edges
from meshchaos.run.outcome import RunStopped
from meshchaos.run.plan import Plan
from meshchaos.run.watch import Watch

_EDGES = 1.0
"""Seconds to wait for the lines of edges between the baseline and the faults."""
_AGAIN = 0.02
"""Seconds until the logs are read again: Envoy's flush interval."""


class Collecting(Protocol):
    def collect(self) -> None: ...


def collect(sources: Iterable[Collecting]) -> None:
    """Reads what the proxies have said so far. Raises RunStopped when that cannot be read: nothing would be proved."""
    try:
        for source in sources:
            source.collect()
    except EvidenceError as error:
        raise RunStopped("invalid", f"the evidence cannot be read any more: {error}") from error


def settle(watch: Watch, sources: Sequence[Collecting], at: float) -> None:
    """Waits until all that began before ``at`` is over and known: requests of loads, and those on the edges that the
    steady state is about, where the proxies tell so soon: an edge is worth a second, and no more. Raises RunStopped.
    """
    edges = live_edges([check for check in watch.checks if "fault" in check.during])
    if edges:
        collect(sources)  # from this moment on the proxies count
    watch.loads.settle(at)
    watch.tick()
    give_up = watch.clock.now() + _EDGES
    while edges:
        collect(sources)
        watch.edges.take(sources)
        if watch.edges.until(edges) >= at or watch.clock.now() >= give_up:
            return
        watch.clock.wait(_AGAIN)


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
        sources = tuple(self.sources())
        collect(sources)
        self.watch.edges.take(sources)
        if self.phase.at_least is None or elapsed < self.phase.at_least:
            return False
        present = self.watch.so_far(self.phase, self.start)
        return look(self.plan.checks, self.watch.history((), present), self.plan.experiment.confidence).decided
