"""What happens when inside the fault phase: faults that come later, end before it does, go up in steps. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from meshchaos.faults.kind import Placement
from meshchaos.units import format_duration, format_percentage


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a ramp: the fault at this ``percentage``, as it is placed then; the same objects by other numbers."""

    percentage: float
    placement: Placement


@dataclass(frozen=True, slots=True)
class Timing:
    """When one fault is live: ``after`` s into the phase, for ``lasts`` s (None: to its end), in equal ``steps``."""

    after: float = 0.0
    lasts: float | None = None
    steps: tuple[Step, ...] = ()
    every: float | None = None
    """Killed again after so many seconds."""

    def __str__(self) -> str:
        """``from 10s on for 20s, in 10 steps to 100%``."""
        parts = [f"from {format_duration(self.after)} on" if self.after else "from the phase's begin"]
        if self.lasts is not None:
            parts[0] += f" for {format_duration(self.lasts)}"
        if self.every is not None:
            parts.append(f"again every {format_duration(self.every)}")
        if self.steps:
            levels = [format_percentage(step.percentage) for step in self.steps]
            shown = levels if len(levels) <= 4 else [*levels[:2], "...", levels[-1]]
            parts.append(f"in {len(levels)} steps: {', '.join(shown)}")
        return ", ".join(parts)


def live_before(placements: Sequence[Placement], timings: Mapping[str, Timing], position: int) -> list[Placement]:
    """Those that are live when the one at ``position`` begins, in the order in which they began: of those that begin
    with it only those that stand before it.
    """

    def begins(number: int) -> float:
        timing = timings.get(placements[number].id)
        return 0.0 if timing is None else timing.after

    def ends(number: int) -> float:
        timing = timings.get(placements[number].id)
        return math.inf if timing is None or timing.lasts is None else timing.after + timing.lasts

    now = (begins(position), position)
    live = [one for one in range(len(placements)) if (begins(one), one) < now and ends(one) > now[0]]
    return [placements[one] for one in sorted(live, key=lambda one: (begins(one), one))]


class Do(IntEnum):
    """At one moment in this order: what ends makes room for what begins."""

    UNDO = 0
    STEP = 1
    APPLY = 2
    KILL = 3


@dataclass(frozen=True, slots=True, order=True)
class Action:
    """Due at ``at`` (epoch seconds). ``step`` counts from 0; the first comes with APPLY."""

    at: float
    do: Do
    number: int
    placement: Placement = field(compare=False)
    step: int = 0


@dataclass
class Timeline:
    """Of one fault phase of ``length`` s. The times of what follows count from when a fault was really live."""

    placements: Sequence[Placement]
    timings: Mapping[str, Timing]
    length: float
    _due: list[Action] = field(default_factory=list)
    _end: float = float("inf")

    @property
    def first(self) -> tuple[Placement, ...]:
        """Those that are applied before the phase begins."""
        return tuple(one for one in self.placements if not self._timing(one).after)

    def begin(self, start: float) -> None:
        """The phase begins; all of ``first`` are live."""
        self._end = start + self.length
        for number, placement in enumerate(self.placements):
            after = self._timing(placement).after
            if after:
                self._add(Action(start + after, Do.APPLY, number, placement))
            else:
                self.live(placement, start)

    def live(self, placement: Placement, at: float) -> None:
        """One is live now: what follows from it gets its time. Its end is not later than that of the phase, where
        healing takes it away.
        """
        timing, number = self._timing(placement), list(self.placements).index(placement)
        end = self._end if timing.lasts is None else min(self._end, at + timing.lasts)
        if end < self._end:
            self._add(Action(end, Do.UNDO, number, placement))
        width = (end - at) / max(1, len(timing.steps))
        for step in range(1, len(timing.steps)):
            self._add(Action(at + width * step, Do.STEP, number, placement, step))
        if timing.every is not None:
            for time in range(1, math.ceil((end - at) / timing.every)):
                self._add(Action(at + timing.every * time, Do.KILL, number, placement))

    def due(self, now: float) -> Action | None:
        """The next thing to do, once its time has come."""
        return heapq.heappop(self._due) if self._due and self._due[0].at <= now else None

    def next_at(self) -> float:
        """When something is due next (epoch seconds); infinity: never."""
        return self._due[0].at if self._due else float("inf")

    @property
    def never_applied(self) -> tuple[Placement, ...]:
        """Those whose time has not come."""
        return tuple(action.placement for action in sorted(self._due) if action.do is Do.APPLY)

    def _add(self, action: Action) -> None:
        heapq.heappush(self._due, action)

    def _timing(self, placement: Placement) -> Timing:
        return self.timings.get(placement.id, Timing())
