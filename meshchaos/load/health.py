"""Whether a generator kept its word, so that what was measured may be judged at all.

Latency counts from the intended start, so a late generator only ever makes it worse: it can turn PASS into FAIL,
never FAIL into PASS. The limits say when it could have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshchaos.history.records import GeneratorHealth
from meshchaos.history.samples import RowKind, Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEPT_SHARE: Final = 0.99
"""Of the arrivals due, this share must have been started, or dropped at the cap, by the generator in time: the rate
that a report names is then true within 1 %, the usual precision of a rate in an experiment's file.
"""
IN_TIME: Final = 1.0
"""Seconds. An arrival later than this belongs to the load of another second."""
LAG_FLOOR: Final = 0.020
"""Seconds of p99 lag that never matter. Measured on two cores shared with a whole mesh: 1 to 5 ms; a shared CI
machine takes a process off its core for a scheduling slice or two, 3 to 10 ms each.
"""
LAG_SHARE: Final = 0.1
"""Above the floor, the p99 lag may be this share of the tightest latency limit: lag adds to a latency at most
itself, so only a service within a tenth of its limit could be wronged. Without a latency to judge, the timeout
stands in: lag cannot fail a request, and that much of it still leaves the load's shape.
"""
SCATTER: Final = 6.0
"""Standard deviations of a Poisson count that arrivals may fall short of the rate: a belt beside the generator's own
word on what was due, which is all that the other figures go by. By chance, once in 10^9 phases.
"""
BUSY: Final = 0.9
"""Share of a core above which the generator itself is named as the likely reason."""


def judge(
    samples: Samples,
    beats: NDArray[Any],
    *,
    rate: float | None,
    start: float,
    end: float,
    latency_limit: float | None = None,
) -> GeneratorHealth:
    """Over arrivals whose intended start lies in [start, end).

    ``achieved`` = rate x (arrivals started or dropped within ``IN_TIME``) / (arrivals due), so a Poisson load's own
    scatter is not held against it. Arrivals that the generator has not come to, a second after they were due, count
    as due. Every arrival has a row once all are resolved: one without is lost evidence, and who knows which way.
    """
    import numpy as np

    rows = samples.between(start, end).rows
    duration = max(end - start, 1e-9)
    busy = _busy(beats, start, end)
    if samples.closed or rate is None:
        dead = len(rows) == 0
        return GeneratorHealth(
            load=samples.load,
            target=None,
            achieved=len(rows) / duration,
            lag_p99=0.0,
            dropped=0,
            healthy=not dead,
            reason="no request at all" if dead else "",
            closed=True,
            cpu_share=busy,
            requests=len(rows),
        )
    last = beats[-1] if len(beats) else None
    reached = float(last["start"] - last["latency"]) if last is not None else start
    behind = end - max(reached, start)
    missing = rate * behind if behind > IN_TIME else 0.0
    lost = _lost(samples, beats, start, end)
    due = len(rows) + lost + missing
    kept = int(np.count_nonzero(rows["lag"] <= IN_TIME))
    share = kept / due if due else 1.0
    lag = float(np.quantile(rows["lag"], 0.99, method="higher")) if len(rows) else 0.0
    allowed = max(LAG_FLOOR, LAG_SHARE * (latency_limit if latency_limit is not None else samples.timeout))
    reasons = []
    if share < KEPT_SHARE:
        reasons.append(f"the generator started {share:.1%} of the requests that were due")
    if lag > allowed:
        reasons.append(f"it started them late: p99 {lag * 1000:.0f} ms, at most {allowed * 1000:.0f} ms is harmless")
    expected = rate * duration
    if due < expected - SCATTER * max(1.0, expected) ** 0.5:
        reasons.append(f"only {due:,.0f} requests were due where the rate makes about {expected:,.0f}")
    if lost:
        reasons.append(f"{lost:,} of its requests are not in the sample file")
    elif reasons and busy is not None and busy > BUSY:
        reasons.append(f"its own core is full ({busy:.0%}): lower the rate")
    elif reasons:
        reasons.append("where it runs there is too little CPU to spare")
    return GeneratorHealth(
        load=samples.load,
        target=rate,
        achieved=rate * min(share, 1.0),
        lag_p99=lag,
        dropped=int(np.count_nonzero(samples.between(start, end).dropped())),
        healthy=not reasons,
        reason="; ".join(reasons),
        cpu_share=busy,
        requests=len(rows),
    )


def _lost(samples: Samples, beats: NDArray[Any], start: float, end: float) -> int:
    """Arrivals of an open loop without a row: their numbers rise by one in the order of their intended starts."""
    import numpy as np

    rows = samples.rows
    first, after = np.searchsorted(rows["start"], [start, end], side="left")
    begin = int(rows[first - 1]["seq"]) + 1 if first else 0
    if after < len(rows):
        stop = int(rows[after]["seq"])
    else:
        later = beats[(beats["kind"] == RowKind.BEAT) & (beats["start"] >= end)]
        known = later[:1] if len(later) else beats[-1:]
        stop = int(known[0]["seq"]) if len(known) else begin
    return max(0, stop - begin - int(after - first))


def _busy(beats: NDArray[Any], start: float, end: float) -> float | None:
    chosen = beats[(beats["kind"] == RowKind.BEAT) & (beats["start"] >= start) & (beats["start"] < end)]
    return float(chosen["request"].mean()) / 1000 if len(chosen) else None
