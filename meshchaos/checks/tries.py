"""What the servers' logs tell of attempts of requests that were tried again: the client's line has but their number.

Measured: an attempt that the client's proxy gives up is a line with the flag ``DC`` at the server, which lasted as long
as the client waited.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshchaos.checks.joining import calls_of
from meshchaos.history.edges import Edge, EdgeLine
from meshchaos.history.records import PhaseRecord


@dataclass(frozen=True, slots=True)
class Tries:
    """Servers' lines of attempts: ``cut`` in time, ``late`` when cut, ``let`` answer after the time they had.
    ``untold``: attempts before the last of which no server's proxy tells.
    """

    cut: tuple[EdgeLine, ...]
    late: tuple[EdgeLine, ...]
    let: tuple[EdgeLine, ...]
    untold: int


def tries_of(edge: Edge, phase: PhaseRecord, *, after: float, tolerance: float, early: float) -> Tries:
    """Of the requests of the phase with several attempts. How the last one ended is the client's to tell, and of a
    request whose client left, nobody's. ``early``: seconds by which a cut may be off. All times in s.
    """
    cut, late, let, untold = [], [], [], 0
    for call in calls_of(edge):
        line = call.sent.line
        if line.attempts < 2 or "DC" in line.flags or not phase.start <= line.start < phase.end:
            continue
        before = list(call.arrived[:-1]) if call.reached else list(call.arrived)
        untold += max(0, line.attempts - 1 - len(before))
        for one in before:
            duration = one.line.duration
            if "DC" not in one.line.flags:
                let += [one] if duration > after + early else []
            elif duration > after + tolerance:
                late.append(one)
            elif duration >= after - tolerance:
                cut.append(one)
        last = call.arrived[-1].line if call.reached else None
        if last is not None and "DC" not in last.flags and "UT" not in line.flags and last.duration > after + early:
            let.append(call.arrived[-1])
    return Tries(tuple(cut), tuple(late), tuple(let), untold)
