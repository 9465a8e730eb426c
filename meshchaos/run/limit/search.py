"""Which value to try next, and what all points say together. Pure.

First an even scan over the range: half of the runs, so that a passing stretch *above* a failing one is seen (a delay
beyond a timeout is cut by it, and hurts less than one just below). Then bisection below the smallest FAIL.
A point that is neither PASS nor FAIL counts as neither: the search goes on at both sides of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshchaos.checks.kind import Verdict
from meshchaos.run.limit.axis import Axis

SCAN = 5
"""The scan takes at most so many runs."""


@dataclass(frozen=True, slots=True)
class Point:
    value: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Bracket:
    """``failed``: the smallest value that FAILed; ``passed``: the largest that PASSed below it. ``between``: those
    without either verdict from ``passed`` to ``failed``; ``undecided``: all of them; ``above``: values that PASSed
    though a smaller one FAILed.
    """

    passed: float | None
    failed: float | None
    between: tuple[float, ...]
    undecided: tuple[float, ...]
    above: tuple[float, ...]


def scan(axis: Axis, runs: int) -> list[float]:
    """The values to begin with, largest first: where nothing fails, that is known soonest."""
    count = min(SCAN, max(2, runs // 2))
    parts = count - 1 if axis.runs_low else count
    width = (axis.high - axis.low) / parts
    first = 0 if axis.runs_low else 1
    values = [axis.snapped(axis.low + width * part) for part in range(first, parts)]
    return sorted({*values, axis.high}, reverse=True)


def bracket(points: Sequence[Point]) -> Bracket:
    fails = [point.value for point in points if point.verdict is Verdict.FAIL]
    failed = min(fails, default=None)
    good = sorted(point.value for point in points if point.verdict is Verdict.PASS)
    passed = max((value for value in good if failed is None or value < failed), default=None)
    undecided = tuple(sorted(point.value for point in points if point.verdict not in (Verdict.PASS, Verdict.FAIL)))
    between = tuple(
        value for value in undecided if (passed is None or value > passed) and (failed is None or value < failed)
    )
    above = tuple(value for value in good if failed is not None and value > failed)
    return Bracket(passed, failed, between, undecided, above)


def following(axis: Axis, points: Sequence[Point]) -> float | None:
    """The next value to try, None when none would narrow the bracket down to more than the axis' resolution."""
    found = bracket(points)
    floor = axis.low if found.passed is None else found.passed
    gaps: list[tuple[float, float]] = []
    if found.between:
        gaps.append((floor, found.between[0]))
        if found.failed is not None:
            gaps.append((found.between[-1], found.failed))
    elif found.failed is not None:
        gaps.append((floor, found.failed))
    tried = {point.value for point in points}
    for low, high in sorted(gaps, key=lambda gap: gap[0] - gap[1]):
        middle = axis.snapped((low + high) / 2)
        if high - low > axis.resolution and low < middle < high and middle not in tried:
            return middle
    return None
