"""Counters and histograms with labels, and Prometheus's text format (version 0.0.4); pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

BUCKETS: Final = (
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500),
    *(1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000),
)
"""Upper bounds of Envoy's histograms, in their unit (milliseconds, bytes)."""


@dataclass(slots=True)
class Histogram:
    """``counts``: one for each of ``BUCKETS``, not summed up, and one beyond."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: int = 0

    def add(self, value: int) -> None:
        self.counts[bisect_left(BUCKETS, value)] += 1
        self.total += value


class Series:
    """Everything counted under one set of labels: ``name`` -> counter, ``name`` -> histogram."""

    __slots__ = ("counters", "histograms", "labels")

    def __init__(self, labels: Sequence[tuple[str, str]]) -> None:
        self.labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
        self.counters: dict[str, int] = {}
        self.histograms: dict[str, Histogram] = {}

    def count(self, name: str, by: int = 1) -> None:
        self.counters[name] = self.counters.get(name, 0) + by

    def observe(self, name: str, value: int) -> None:
        histogram = self.histograms.get(name)
        if histogram is None:
            histogram = self.histograms[name] = Histogram()
        histogram.add(value)


def rendered(series: Sequence[Series]) -> str:
    """All series, by their names."""
    lines: list[str] = []
    for name in sorted({name for one in series for name in one.counters}):
        lines.append(f"# TYPE {name} counter")
        lines += [f"{name}{{{one.labels}}} {one.counters[name]}" for one in series if name in one.counters]
    for name in sorted({name for one in series for name in one.histograms}):
        lines.append(f"# TYPE {name} histogram")
        for one in series:
            if name in one.histograms:
                lines += _histogram(name, one.labels, one.histograms[name])
    return "".join(f"{line}\n" for line in lines)


def _histogram(name: str, labels: str, one: Histogram) -> Iterator[str]:
    seen = 0
    for bound, count in zip((*(f"{b:g}" if b < 1 else str(b) for b in BUCKETS), "+Inf"), one.counts, strict=True):
        seen += count
        yield f'{name}_bucket{{{labels},le="{bound}"}} {seen}'
    yield f"{name}_sum{{{labels}}} {one.total}"
    yield f"{name}_count{{{labels}}} {seen}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
