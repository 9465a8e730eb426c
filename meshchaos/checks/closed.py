"""Closed-model loads: users who wait for an answer before they ask again.

When the target stalls such a load falls silent, so the requests that would have been slow are never
sent and tail latencies look better than they were (coordinated omission).
"""

from __future__ import annotations

from meshchaos.checks import words
from meshchaos.checks.tally import Measure, Tally, tally
from meshchaos.history.records import History

LABEL = "closed model: users wait for answers, so the tail under a stall is understated"

FALL = 0.9
"""Throughput below this part of the baseline's is a fall."""

BLOCK = 5.0
"""Throughput is looked at over so many seconds at least, s."""

BLOCK_REQUESTS = 400
"""And over so long that the baseline would send this many: fewer scatter by more than the fall looked for."""


def stalled(measure: Measure, history: History, counts: Tally) -> str | None:
    """Why a PASS of latency cannot be trusted: throughput fell, or nothing to compare with; else None."""
    baseline = history.phase("baseline")
    if baseline is None:
        return "the load is closed and there is no baseline to show that its throughput held"
    before = tally(measure, list(history.samples.values()), baseline.start, baseline.end)
    if before.rate <= 0:
        return "the load is closed and its baseline had no traffic to compare with"
    block = max(BLOCK, BLOCK_REQUESTS / before.rate)
    lowest = lowest_rate(counts, block)
    if lowest >= FALL * before.rate:
        return None
    return (
        f"the load is closed and its throughput fell to {lowest:.3g} requests/s from {before.rate:.3g} in the baseline "
        f"(over {words.seconds(block)})"
    )


def lowest_rate(counts: Tally, block: float) -> float:
    """The lowest rate over any run of ``block`` seconds (whole seconds; the window's own if it is shorter)."""
    import numpy as np

    whole = int(counts.seconds)
    width = max(1, min(round(block), whole))
    if whole < 1:
        return counts.rate
    by_second = np.zeros(whole, dtype=np.int64)
    known = counts.n_by_second[:whole]
    by_second[: known.shape[0]] = known
    sums = np.convolve(by_second, np.ones(width, dtype=np.int64), mode="valid")
    return float(sums.min()) / width
