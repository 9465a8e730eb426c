"""A canary beside what it is measured by: a table, and their latencies with bounds, drawn one above the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from meshchaos.checks import words
from meshchaos.checks.kind import Finding, Side, SideQuantile
from meshchaos.report import lines

WIDTH, LEFT, RIGHT, ROW, TOP = 920, 64, 30, 46, 8
_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Versus:
    """``sides``: the baseline first. ``rows``: a table, one a side; no ``svg`` where nothing was answered."""

    title: str
    sides: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    quantiles: tuple[str, ...]
    svg: str


def versus_of(findings: Sequence[Finding]) -> tuple[Versus, ...]:
    """One for each pair that was compared, however many expectations are about it."""
    found: dict[tuple[Side, ...], str] = {}
    for finding in findings:
        if finding.sides:
            phases = " and ".join(lines.phase_word(phase) for phase in finding.during)
            found.setdefault(finding.sides, f"{' against '.join(s.name for s in finding.sides[::-1])}, {phases}")
    return tuple(_versus(title, sides) for sides, title in found.items())


def _versus(title: str, sides: tuple[Side, ...]) -> Versus:
    every = sum(side.attempts for side in sides)
    return Versus(
        title=title,
        sides=tuple(side.name for side in sides),
        rows=tuple(_row(side, every) for side in sides),
        quantiles=tuple(_name(one) for one in sides[0].latencies),
        svg=_draw(title, sides),
    )


def _row(side: Side, every: int) -> tuple[str, ...]:
    return (
        side.name,
        words.count(side.attempts),
        words.percent(side.attempts / every),
        words.count(side.failed),
        f"{words.percent(side.failed / side.attempts)} ({words.percent_range(*side.interval)})",
        *(_told(one) for one in side.latencies),
    )


def _told(one: SideQuantile) -> str:
    return "no end seen" if one.estimate is None else words.seconds(one.estimate)


def _name(one: SideQuantile) -> str:
    return f"p{one.quantile * 100:g}"


def _draw(title: str, sides: Sequence[Side]) -> str:
    """A row a quantile, on one logarithmic axis: a hollow circle for the first, a filled diamond for the second."""
    shown = [v for side in sides for one in side.latencies for v in (one.low, one.estimate, one.high) if v]
    if not shown:
        return ""
    low, high = _axis(min(shown), max(shown))

    def x(seconds: float) -> float:
        share = math.log(max(seconds, low) / low) / math.log(high / low)
        return LEFT + (WIDTH - LEFT - RIGHT) * min(share, 1.0)

    count = len(sides[0].latencies)
    floor = TOP + ROW * count
    body = []
    for tick in _ticks(low, high):
        at = x(tick)
        body.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{floor}"/>')
        body.append(
            f'<text class="tick" x="{at:.1f}" y="{floor + 15}" text-anchor="middle">{words.seconds(tick)}</text>'
        )
    told = []
    for index in range(count):
        middle = TOP + ROW * (index + 0.5)
        name = _name(sides[0].latencies[index])
        body.append(f'<text class="name" x="{LEFT - 12}" y="{middle + 4}" text-anchor="end">{name}</text>')
        for place, side in enumerate(sides):
            one = side.latencies[index]
            told.append(f"{name} of {side.name}: {_told(one)}")
            body.append(_mark(one, middle + (place - 0.5) * 16, x, second=place > 0))
    return (
        f'<svg viewBox="0 0 {WIDTH} {floor + 22}" role="img" aria-label="{escape(title)}. {escape("; ".join(told))}">'
        f"{''.join(body)}</svg>"
    )


def _mark(one: SideQuantile, y: float, x: Callable[[float], float], *, second: bool) -> str:
    kind = "canary" if second else "base"
    until = WIDTH - RIGHT if one.high is None else x(one.high)
    since = until if one.low is None else x(one.low)
    bounds = f'<path class="bounds {kind}" d="M{since:.1f} {y:.1f}H{until:.1f}"/>'
    if one.estimate is None:
        return f'{bounds}<text class="tick" x="{WIDTH - RIGHT}" y="{y - 3:.1f}" text-anchor="end">no end seen</text>'
    at = x(one.estimate)
    if second:
        return f'{bounds}<path class="mark canary" d="M{at - 6:.1f} {y:.1f}l6 -6l6 6l-6 6z"/>'
    return f'{bounds}<circle class="mark base" cx="{at:.1f}" cy="{y:.1f}" r="5"/>'


def _axis(least: float, most: float) -> tuple[float, float]:
    """From a tick below all to one above; no less than a factor of 4, so that equals look equal."""
    low = max(tick for tick in _around(least) if tick <= least * 0.97 or tick < 1e-6)
    high = min(tick for tick in _around(most) if tick >= most * 1.03)
    return low, max(high, low * 4)


def _around(value: float) -> list[float]:
    power = math.floor(math.log10(value))
    return [step * 10.0**exponent for exponent in range(power - 1, power + 2) for step in _STEPS]


def _ticks(low: float, high: float) -> list[float]:
    """At 1, 2 and 5 of each decade; at 1 alone where those would be many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = _STEPS if math.log10(high / low) <= 3 else (1,)
    ticks = [step * 10.0**power for power in powers for step in steps]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
