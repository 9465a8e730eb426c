"""Samples -> a few hundred points over time, for charts and the tables behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshchaos.history.samples import Samples

MAX_POINTS = 150
"""Enough for a chart 900 px wide; a page stays small however many requests a run made."""
_STEPS = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)


@dataclass(frozen=True, slots=True)
class Point:
    """One bin, ``[at, at + width)`` in seconds since the origin, by intended start.

    ``p50``, ``p99``, ``slowest`` in seconds, None where nothing was asked. ``good`` and ``bad`` are
    requests; a request without an answer is bad, and its time is how long it was waited for. ``late``, ``latest``: how
    much later than due the generator started them, 99th percentile and most, s; None without an open load.
    """

    at: float
    width: float
    good: int
    bad: int
    p50: float | None
    p99: float | None
    slowest: float | None
    late: float | None = None
    latest: float | None = None


def bin_width(span: float, most: int = MAX_POINTS) -> float:
    """The smallest round bin in seconds that needs at most ``most`` bins for ``span`` seconds."""
    return next((step for step in _STEPS if span / step <= most), span / most)


def points(loads: Sequence[Samples], start: float, end: float) -> list[Point]:
    """The bins of all ``loads`` together between two epoch times. Empty where there is no span."""
    import numpy as np

    if end <= start:
        return []
    width = bin_width(end - start)
    count = max(1, int(np.ceil((end - start) / width - 1e-9)))
    parts = [load.between(start, end) for load in loads]
    if not parts:
        return [Point(i * width, width, 0, 0, None, None, None) for i in range(count)]
    starts = np.concatenate([part.rows["start"] for part in parts])
    latency = np.concatenate([part.rows["latency"] for part in parts])
    lag = np.concatenate([np.full(len(part.rows), np.nan) if part.closed else part.rows["lag"] for part in parts])
    good = np.concatenate([part.good() for part in parts])
    asked = np.concatenate([~part.dropped() for part in parts])
    which = np.minimum(((starts - start) / width).astype(int), count - 1)
    order = np.argsort(which, kind="stable")
    edges = np.searchsorted(which[order], np.arange(count + 1))
    found = []
    for i in range(count):
        rows = order[edges[i] : edges[i + 1]]
        times = latency[rows][asked[rows]]
        p50, p99 = (float(q) for q in np.quantile(times, [0.5, 0.99], method="higher")) if times.size else (None, None)
        late = lag[rows][~np.isnan(lag[rows])]
        found.append(
            Point(
                at=i * width,
                width=width,
                good=int(good[rows].sum()),
                bad=int((~good[rows]).sum()),
                p50=p50,
                p99=p99,
                slowest=float(times.max()) if times.size else None,
                late=float(np.quantile(late, 0.99, method="higher")) if late.size else None,
                latest=float(late.max()) if late.size else None,
            )
        )
    return found
