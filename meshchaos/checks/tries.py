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
    ``untold``: attempts before the last of which no server's proxy tells. ``hasty``: clients' lines of requests that
    were over before all the attempts that were cut can have had their time.
    """

    cut: tuple[EdgeLine, ...] = ()
    late: tuple[EdgeLine, ...] = ()
    let: tuple[EdgeLine, ...] = ()
    untold: int = 0
    hasty: tuple[EdgeLine, ...] = ()


def tries_of(edge: Edge, phase: PhaseRecord, *, after: float, tolerance: float, early: float) -> Tries:
    """Of the requests of the phase with several attempts. How the last one ended is the client's to tell, and of a
    request whose client left, nobody's. ``early``: seconds by which a cut may be off. All times in s.

    A server's proxy that was held up (starved, frozen) has begun an attempt or seen its end later than the client says,
    so its line alone makes no cut a late or an early one: the client's own time bounds both.
    """
    cut, late, let, hasty, untold = [], [], [], [], 0
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
            elif duration > line.duration + early:
                untold += 1
            elif duration > after + tolerance:
                late.append(one)
            elif duration >= after - tolerance:
                cut.append(one)
        given_up = min(sum("DC" in one.line.flags for one in before), line.attempts - 1)
        given_up += "per_try_timeout" in line.details
        if line.duration < given_up * (after - tolerance):
            hasty.append(call.sent)
        last = call.arrived[-1].line if call.reached else None
        if last is not None and "DC" not in last.flags and "UT" not in line.flags and last.duration > after + early:
            let.append(call.arrived[-1])
    return Tries(tuple(cut), tuple(late), tuple(let), untold, tuple(hasty))
