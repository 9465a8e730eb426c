"""Whether stubs kept up: one that gets no CPU is slow by its own fault, and what is measured through it says nothing.

Requests that wait for a place because ``concurrency`` is full are no strain: that limit is the user's model of a
service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TICK: Final = 0.1
"""Seconds between two looks of a stub at the clock."""
STALLED: Final = 0.05
"""Share of those that may come late. On two cores shared with a mesh and its load at 200 requests/s: none of 127."""
ABSENT: Final = 0.1
"""Share of the time for which no tick may account: a process that was stopped has few ticks, and those in time."""
BUSY: Final = 0.9
"""Share of a core above which the process has no more to give: it is a single thread."""
SHORTEST: Final = 1.0
"""Seconds below which nothing is said."""

Stats = Mapping[str, Any]


def strain(name: str, before: Stats, after: Stats | None) -> str | None:
    """What kept one stub from its work between two looks at its counters; None: nothing. ``after`` None: it did not
    answer.
    """
    if after is None:
        return f"the stub {name} does not answer any more"
    elapsed = after["at"] - before["at"]
    if after["pid"] != before["pid"] or elapsed < SHORTEST:
        return None  # a replica that was started in between
    ticks, stalls = after["ticks"] - before["ticks"], after["stalls"] - before["stalls"]
    if stalls > STALLED * max(ticks, 1):
        return f"the stub {name} got no CPU in {stalls} of {ticks} looks at the clock"
    absent = 1 - (ticks + 1) * TICK / elapsed
    if absent > ABSENT:
        return f"the stub {name} got no CPU for {absent:.0%} of the time"
    busy = (after["cpu"] - before["cpu"]) / elapsed
    if busy > BUSY:
        return f"the stub {name} was saturated ({busy:.0%} of its core): lower the rate, or give it more replicas"
    return None
