"""Where a run's phases, faults and requests lie on the charts' axis of time."""

from __future__ import annotations

from collections.abc import Sequence

from meshchaos.checks import words
from meshchaos.history.samples import Samples
from meshchaos.report import charts, lines
from meshchaos.report.series import Point, points
from meshchaos.run.result import Result

BEFORE = 2.0
"""Seconds of the fault that the curve of a recovery begins with."""


def timeline(result: Result, samples: Sequence[Samples]) -> tuple[charts.Frame, list[Point]]:
    """The span of all phases as one chart; its bands in seconds since the first phase began."""
    phases = [count.record for count in result.phases]
    if not phases:
        return charts.Frame(1.0, ()), []
    return _between(result, samples, phases[0].start, phases[-1].end)


def recovery(result: Result, samples: Sequence[Samples]) -> tuple[charts.Frame, list[Point]]:
    """The same from just before the last fault was gone, with finer bins; empty where none was, or nothing follows."""
    phases = [count.record for count in result.phases]
    gone = [fault.gone_at for fault in result.faults if fault.gone_at is not None]
    if not gone or phases[-1].name != "recovery":
        return charts.Frame(1.0, ()), []
    return _between(result, samples, max(max(gone) - BEFORE, phases[0].start), phases[-1].end)


def _between(result: Result, samples: Sequence[Samples], start: float, end: float) -> tuple[charts.Frame, list[Point]]:
    phases = [count.record for count in result.phases if count.record.end > start]
    bands = [charts.Band("phase", lines.phase_word(p.name), max(p.start - start, 0.0), p.end - start) for p in phases]
    for fault in result.faults:
        if fault.live_at is not None:
            until = fault.gone_at or fault.removed_at or end
            bands.append(charts.Band("fault", f"{fault.kind} is live", max(fault.live_at - start, 0.0), until - start))
            for step in fault.steps if fault.live_at >= start else ():
                bands.append(
                    charts.Band("step", words.percent(step.share), step.live_at - start, (step.until or until) - start)
                )
    gone = [fault.gone_at for fault in result.faults if fault.live_at is not None]
    if gone and None not in gone and not result.leftovers:
        healed = max(at for at in gone if at is not None) - start
        bands.append(charts.Band("healed", "healed", healed, healed))
    frame = charts.Frame(max(end - start, 0.001), tuple(bands))
    return frame, points(samples, start, end) if samples else []
