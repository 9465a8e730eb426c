"""The charts of a report as inline SVG: latency, answers, and lateness of the generator over time, each with the phases
and the fault's band. Drawn here and not by a script, so that a page shows them without JavaScript and in print.

Colours are CSS classes of the page; every line and area differs from the others in dash or hatching, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from meshchaos.checks import words
from meshchaos.report import lines
from meshchaos.report.series import Point

WIDTH, HEIGHT = 920, 250
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 34, 30
LABEL = 13.0
"""Height of a line of text."""


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of time, in seconds since the chart's origin. ``kind``: ``phase``, ``fault``, ``step`` (of a
    ramp), ``healed`` (a moment).
    """

    kind: str
    label: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Frame:
    """What both charts share: the span in seconds, the phases and faults in it."""

    span: float
    bands: tuple[Band, ...]

    def x(self, seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(seconds / self.span, 0.0), 1.0)


def latency_chart(
    points: Sequence[Point], frame: Frame, limits: Sequence[tuple[str, float]], reach: Sequence[float] = ()
) -> str:
    """p50, p99 and the slowest answer of each bin on a logarithmic axis, with each limit as a line.

    ``limits``: (label, seconds). ``reach``: seconds that the axis covers in any case, to compare charts. A bin
    in which nothing was asked leaves a gap.
    """
    values = [value for p in points for value in (p.p50, p.slowest) if value] + [limit for _, limit in limits]
    y, ticks = _logarithmic([*values, *reach])
    body = [_grid(ticks, y), _bands(frame)]
    for name, pick in (("slowest", _slowest), ("p99", _p99), ("p50", _p50)):
        body.append(_line(points, frame, pick, y, name))
    for (label, limit), beside in zip(limits, _apart([_beside(y(limit)) for _, limit in limits]), strict=True):
        at = y(limit)
        body.append(f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        body.append(
            f'<text class="limit-label" x="{WIDTH - RIGHT - 4}" y="{beside:.1f}">{escape(lines.cut(label, 90))}</text>'
        )
    return _svg("Latency over time: median, 99th percentile and slowest answer", body, frame)


def late_chart(points: Sequence[Point], frame: Frame) -> str:
    """How late the generator started requests, by bin; empty where no load is an open one."""
    if all(point.late is None for point in points):
        return ""
    y, ticks = _logarithmic([value for p in points for value in (p.late, p.latest) if value])
    body = [_grid(ticks, y), _bands(frame)]
    for name, pick in (("slowest", _latest), ("p99", _late)):
        body.append(_line(points, frame, pick, y, name))
    return _svg("How late requests were started over time: 99th percentile and latest", body, frame)


def answers_chart(points: Sequence[Point], frame: Frame) -> str:
    """Requests per second, good below and failed on top, as bars."""
    top = max((p.good + p.bad) / p.width for p in points) if points else 1.0
    step = _round_step(top or 1.0)
    high = step * max(1, math.ceil((top or 1.0) / step))

    def y(rate: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * rate / high

    ticks = [(step * i, f"{step * i:g}/s") for i in range(round(high / step) + 1)]
    body = [_grid(ticks, y), _bands(frame)]
    for point in points:
        x0, x1 = frame.x(point.at), frame.x(point.at + point.width)
        good, every = point.good / point.width, (point.good + point.bad) / point.width
        width = max(x1 - x0 - 0.6, 0.6)
        if point.good:
            body.append(_bar("good", x0, y(good), width, y(0) - y(good)))
        if point.bad:
            body.append(_bar("bad", x0, y(every), width, max(y(good) - y(every), 1.5)))
    return _svg("Answers over time: good and failed requests a second", body, frame)


def _p50(point: Point) -> float | None:
    return point.p50


def _p99(point: Point) -> float | None:
    return point.p99


def _slowest(point: Point) -> float | None:
    return point.slowest


def _late(point: Point) -> float | None:
    return point.late


def _latest(point: Point) -> float | None:
    return point.latest


def _logarithmic(values: Sequence[float]) -> tuple[Callable[[float], float], list[tuple[float, str]]]:
    """Where seconds lie on an axis of decades around ``values``, and its ticks."""
    low, high = _decades(values)

    def y(value: float) -> float:
        share = (math.log10(max(value, low)) - math.log10(low)) / (math.log10(high) - math.log10(low))
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    return y, [(low * 10**i, words.seconds(low * 10**i)) for i in range(round(math.log10(high / low)) + 1)]


def _beside(height: float) -> float:
    """Where a line's label goes: above it, or below it where the phases' names are above."""
    return height - 4 if height - 4 >= TOP + LABEL - 4 else height + LABEL


def _apart(heights: Sequence[float]) -> list[float]:
    """Where labels go that would stand at ``heights``: none over another, the lower ones pushed down, all inside."""
    placed = [0.0] * len(heights)
    free = TOP - 4.0
    for index in sorted(range(len(heights)), key=heights.__getitem__):
        placed[index] = max(heights[index], free)
        free = placed[index] + LABEL
    floor = float(HEIGHT - BOTTOM - 2)
    for index in sorted(range(len(heights)), key=placed.__getitem__, reverse=True):
        placed[index] = min(placed[index], floor)
        floor = placed[index] - LABEL
    return placed


def _decades(values: Iterable[float]) -> tuple[float, float]:
    """Powers of ten around the values: at least one decade, at most from 10 us."""
    present = [value for value in values if value > 0] or [0.01]
    low = 10 ** math.floor(math.log10(max(min(present), 1e-5)))
    high = 10 ** math.ceil(math.log10(max(present)) - 1e-9)
    return low, max(high, low * 10)


def _round_step(top: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that makes three to six ticks."""
    raw = top / 4
    power: float = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= raw)


def _grid(ticks: Sequence[tuple[float, str]], y: Callable[[float], float]) -> str:
    parts = []
    for value, label in ticks:
        at = y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{escape(label)}</text>')
    return "".join(parts)


def _bands(frame: Frame) -> str:
    parts = []
    for band in frame.bands:
        x0, x1 = frame.x(band.start), frame.x(band.end)
        if band.kind == "fault":
            box = f'x="{x0:.1f}" y="{TOP}" width="{max(x1 - x0, 1):.1f}" height="{HEIGHT - TOP - BOTTOM}"'
            parts.append(f'<rect class="fault" {box}/><rect class="hatch" {box} fill="url(#hatch)"/>')
            continue
        if band.kind == "step":
            parts.append(f'<line class="step" x1="{x0:.1f}" x2="{x0:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
            if x1 - x0 > 6.5 * len(band.label) + 4:
                parts.append(
                    f'<text class="step-label" x="{x0 + 3:.1f}" y="{HEIGHT - BOTTOM - 4}">{escape(band.label)}</text>'
                )
            continue
        if band.kind == "healed":
            parts.append(f'<line class="healed" x1="{x0:.1f}" x2="{x0:.1f}" y1="{TOP - 2}" y2="{HEIGHT - BOTTOM}"/>')
            fits = x0 + 7.5 * len(band.label) + 4 < WIDTH
            place = f'x="{x0 + 4:.1f}"' if fits else f'x="{x0 - 4:.1f}" text-anchor="end"'
            parts.append(f'<text class="healed-label" {place} y="{TOP + 2 * LABEL:.0f}">{escape(band.label)}</text>')
            continue
        parts.append(f'<line class="phase" x1="{x0:.1f}" x2="{x0:.1f}" y1="{TOP - 12}" y2="{HEIGHT - BOTTOM}"/>')
        if x1 - x0 > 7.5 * len(band.label) + 4:
            parts.append(f'<text class="phase-label" x="{x0 + 4:.1f}" y="{TOP - 10}">{escape(band.label)}</text>')
    return "".join(parts)


def _line(
    points: Sequence[Point],
    frame: Frame,
    pick: Callable[[Point], float | None],
    y: Callable[[float], float],
    name: str,
) -> str:
    """One path; a bin without a value breaks it, a value alone between two gaps is a dot."""
    path: list[str] = []
    pen_down = False
    for point in points:
        value = pick(point)
        if value is None:
            pen_down = False
            continue
        path.append(f"{'L' if pen_down else 'M'}{frame.x(point.at + point.width / 2):.1f} {y(value):.1f}")
        if not pen_down:
            path.append("h0.01")
        pen_down = True
    return f'<path class="line {name}" d="{"".join(path)}"/>'


def _bar(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _svg(title: str, body: Sequence[str], frame: Frame) -> str:
    step = _round_step(frame.span)
    ticks = "".join(
        f'<text class="tick" x="{frame.x(step * i):.1f}" y="{HEIGHT - 10}" text-anchor="middle">{step * i:g} s</text>'
        for i in range(int(frame.span / step + 1e-9) + 1)
    )
    faults = [band for band in frame.bands if band.kind == "fault"]
    told = "; ".join(f"{band.label} from {band.start:.1f} s to {band.end:.1f} s" for band in faults)
    told += "".join(f"; {band.label} at {band.start:.1f} s" for band in frame.bands if band.kind == "healed")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}. {escape(told)}">'
        f"<title>{escape(title)}</title>{''.join(body)}{ticks}</svg>"
    )
