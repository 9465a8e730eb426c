"""``limit.html``: the curve of ``--find-limit``, each expectation's estimate over the values that were tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from meshchaos.checks.kind import Finding
from meshchaos.errors import EvidenceError
from meshchaos.report import view
from meshchaos.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from meshchaos.report.limit_table import cell, names
from meshchaos.report.page import template
from meshchaos.run.limit.finder import Limit

FILE = "limit.html"
_ROOM = 0.08
"""Of the axis' length, left free above and below."""


def write(found: Limit, *, target: Path | None = None) -> Path:
    """Into the search's folder, or to ``target``. Raises EvidenceError."""
    path = target or found.folder / FILE
    try:
        path.write_text(render(found), "utf-8")
    except OSError as error:
        raise EvidenceError(f"cannot write {path}: {error.strerror}") from error
    return path


def render(found: Limit) -> str:
    """The page as text. Links lead to the runs' reports, which lie beside the search's folder."""
    from markupsafe import Markup

    columns = names(found)
    by_name = [{item.name: item for item in one.result.findings} for one in found.points]
    bracket = found.bracket
    context = {
        "name": found.experiment,
        "path": found.axis.path,
        "reason": found.reason,
        "notes": list(found.notes),
        "verdict": "PASS" if bracket.passed is not None else "INCONCLUSIVE" if bracket.failed is None else "FAIL",
        "columns": columns,
        "charts": [(name, Markup(chart(found, name))) for name in columns],
        "rows": [
            {
                "value": found.axis.written(one.value),
                "verdict": one.result.verdict.value,
                "reason": one.result.reason,
                "cells": [cell(there.get(name)) for name in columns],
                "link": f"../{one.result.folder.name}/report.html",
                "run": one.result.run_id,
            }
            for one, there in zip(found.points, by_name, strict=True)
        ],
    }
    return template("limit.html.j2").render(context)


def chart(found: Limit, name: str) -> str:
    """One expectation: estimate and bounds at each value, its limit as a line, the interval of the answer as a band.
    Verdicts differ in shape, too: PASS a disc, FAIL a cross, anything else a ring.
    """
    axis = found.axis
    shown: list[tuple[float, str, Finding]] = []
    for one in found.points:
        item = next((finding for finding in one.result.findings if finding.name == name), None)
        if item is not None:
            shown.append((one.value, one.result.verdict.value, item))
    low, high = _span([finding for _, _, finding in shown])
    unit = shown[0][2].unit if shown else "share"

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - axis.low) / (axis.high - axis.low)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    parts = [_interval_band(found, x)]
    for step in range(5):
        value = low + (high - low) * step / 4
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(_text(LEFT - 8, y(value) + 4, view.value(value, unit), "end"))
        at = axis.low + (axis.high - axis.low) * step / 4
        parts.append(_text(x(at), HEIGHT - 10, axis.written(at), "middle"))
    limit = next((finding.threshold for _, _, finding in shown if finding.threshold is not None), None)
    if limit is not None:
        parts.append(f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(limit):.1f}" y2="{y(limit):.1f}"/>')
    drawn = [(x(value), _height(finding, y), verdict, finding) for value, verdict, finding in shown]
    joined = [f"{at:.1f} {height:.1f}" for at, height, _, _ in drawn if height is not None]
    if len(joined) > 1:
        parts.append(f'<path class="line p50" d="M{"L".join(joined)}"/>')
    for at, height, verdict, finding in drawn:
        if height is not None:
            parts.append(_bounds(at, finding, y, low, high) + _mark(at, height, verdict))
    told = "; ".join(f"{axis.written(value)}: {cell(finding)}, {verdict}" for value, verdict, finding in shown)
    title = f"{name} over {axis.path}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}. {escape(told)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _span(findings: Sequence[Finding]) -> tuple[float, float]:
    values = [
        value
        for finding in findings
        for value in (finding.estimate, finding.threshold, finding.censored_at, *(finding.interval or ()))
        if value is not None
    ] or [0.0, 1.0]
    low, high = min(values), max(values)
    room = (high - low) * _ROOM or abs(high) * _ROOM or 1.0
    if findings and findings[0].unit == "share":
        return max(0.0, low - room), min(1.0, high + room)
    return max(0.0, low - room) if low >= 0 else low - room, high + room


def _height(finding: Finding, y: Callable[[float], float]) -> float | None:
    value = finding.estimate if finding.estimate is not None else finding.censored_at
    return None if value is None else y(value)


def _interval_band(found: Limit, x: Callable[[float], float]) -> str:
    """From the largest PASS to the smallest FAIL: the limit lies somewhere in it."""
    passed, failed = found.bracket.passed, found.bracket.failed
    left = x(found.axis.low if passed is None else passed)
    right = x(found.axis.high if failed is None else failed)
    box = f'x="{left:.1f}" y="{TOP}" width="{max(right - left, 1):.1f}" height="{HEIGHT - TOP - BOTTOM}"'
    return f'<rect class="fault" {box}/>'


def _bounds(at: float, finding: Finding, y: Callable[[float], float], low: float, high: float) -> str:
    if finding.interval is None:
        return ""
    first, last = finding.interval
    bottom = y(low if first is None else first)
    top = y(high if last is None else last)
    return f'<path class="line slowest" d="M{at:.1f} {bottom:.1f}V{top:.1f}"/>'


def _mark(x: float, y: float, verdict: str) -> str:
    if verdict == "PASS":
        return f'<circle class="mark PASS" cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="currentColor"/>'
    if verdict == "FAIL":
        cross = f"M{x - 4.5:.1f} {y - 4.5:.1f}l9 9m0 -9l-9 9"
        return f'<path class="mark FAIL" d="{cross}" stroke="currentColor" stroke-width="2.4" fill="none"/>'
    ring = f'cx="{x:.1f}" cy="{y:.1f}" r="4.5" stroke="currentColor" stroke-width="2" fill="none"'
    return f'<circle class="mark {escape(verdict)}" {ring}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
