"""What a verdict costs: a million samples on disk judged from scratch, and the looks on the way."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from meshchaos.checks.judge import judge, look
from meshchaos.checks.rate import RateCheck
from meshchaos.checks.recovery import RecoveryCheck
from meshchaos.checks.statistics import preload
from meshchaos.checks.steady import steady_state
from meshchaos.checks.stop import StopRule
from meshchaos.checks.tally import Measure
from meshchaos.experiment.model import StopIf, Where
from meshchaos.history.records import FaultRecord, History, PhaseRecord
from meshchaos.history.samples import ROW, Outcome, Samples
from meshchaos.load.driver import Pulse
from meshchaos.load.reader import read_samples
from meshchaos.load.sample_file import FORMAT, VERSION
from tests.bench.figure import Figure, quantile, spread

N = 1_000_000
PHASES = (("baseline", 100.0), ("fault", 700.0), ("recovery", 200.0))
T0 = 1_700_000_000.0
RUNS = 5
WHERE = Where("bench.chaos.yaml", 1, 1, "spec")


def measure() -> Iterator[Figure]:
    """1,000 s of 1,000 requests a second with 0.3 % of failures; success, three quantiles, recovery of each; then the
    fault phase looked at every second, by an early verdict's look and by ``stopIf``.
    """
    preload()
    with tempfile.TemporaryDirectory(prefix="meshchaos-bench-") as folder:
        rows = write_samples(Path(folder, "samples-main.bin"))
        seconds, judging, verdicts = [], [], set()
        for _ in range(RUNS):
            started = time.perf_counter()
            samples = read_samples(Path(folder))
            read = time.perf_counter()
            history = history_of(samples["main"])
            findings = (*steady_state(_rates(), history, 0.05), *judge(_checks(), history, 0.95))
            seconds.append(time.perf_counter() - started)
            judging.append(time.perf_counter() - read)
            verdicts.update(finding.verdict.value for finding in findings)
    words = f"{len(_checks())} expectations, steady state; {', '.join(sorted(verdicts))}"
    yield Figure(f"judging {N:,} samples from disk", statistics.median(seconds), "s", 1, RUNS, spread(seconds))
    yield Figure("of it without reading the file", statistics.median(judging), "s", None, RUNS, words)
    whole = Samples("main", rows, ("page",), 10.0)
    for name, times in (("second, early verdict", _early(whole)), ("tenth of a second, stopIf", _stopping(whole))):
        told = f"median {statistics.median(times) * 1e3:.2g} ms, worst {max(times) * 1e3:.2g} ms"
        yield Figure(f"a look every {name}, p99", quantile(times, 0.99) * 1e3, "ms", 2, len(times), told)


def _rates() -> tuple[RateCheck, ...]:
    success = RateCheck("success", "success", ("fault",), 0.005, Measure(), WHERE)
    limits = ((0.5, 0.06), (0.99, 0.8), (0.999, 3.0))
    return (
        success,
        *(
            RateCheck("latency", f"p{share}", ("fault",), round(1 - share, 12), Measure(limit=limit), WHERE, share)
            for share, limit in limits
        ),
    )


def _checks() -> tuple[Any, ...]:
    return (*_rates(), *(RecoveryCheck(f"recovery {check.name}", check, 10.0, WHERE) for check in _rates()))


def write_samples(path: Path) -> np.ndarray[Any, Any]:
    """Rows in the order of their ends, as a generator writes them; returns them in the order of their starts."""
    rng = np.random.default_rng(1)
    rows = np.zeros(N, dtype=ROW)
    rows["start"] = T0 + np.sort(rng.random(N)) * sum(length for _, length in PHASES)
    rows["latency"] = rng.lognormal(-3, 0.7, N)
    rows["status"], rows["grpc"], rows["seq"] = 200, -1, np.arange(N)
    rows["status"][rng.random(N) < 0.002] = 503
    lost = rng.random(N) < 0.001
    rows["outcome"][lost], rows["status"][lost], rows["latency"][lost] = Outcome.TIMEOUT, 0, 10.0
    order = np.argsort(rows["start"] + rows["latency"], kind="stable")
    header = (
        f'{{"format": "{FORMAT}", "version": {VERSION}, "load": "main", "index": 0, "runId": "00000001", '
        '"requests": ["page"], "timeout": 10.0, "rate": 1000, "closed": false}\n'
    )
    path.write_bytes(header.encode() + rows[order].tobytes())
    return rows


def history_of(samples: Samples, *, records: Sequence[PhaseRecord] | None = None) -> History:
    """Three phases and a fault's record, or other phases."""
    found, at = [], T0
    for name, length in PHASES:
        found.append(PhaseRecord(name, at, at + length, length))  # type: ignore[arg-type]
        at += length
    fault = FaultRecord("chaos-1-0", 0, "delay", "server", "", "", 0.5, (), live_at=T0 + 100, gone_at=T0 + 800)
    return History(tuple(records or found), (fault,), {"main": samples}, (), 0.95)


def _early(whole: Samples) -> list[float]:
    """Seconds of each look at the fault phase, whose requests grow by a second's worth."""
    checks = _rates()
    phase = PhaseRecord("fault", T0 + 100, T0 + 100, 700.0, "early-verdict", 10.0)
    times = []
    for second in range(1, 701):
        now = T0 + 100 + second
        present = replace(phase, end=now)
        so_far = replace(whole, rows=whole.rows[: np.searchsorted(whole.rows["start"], now)])
        history = history_of(so_far, records=[present])
        started = time.perf_counter()
        look(checks, history, 0.95)
        times.append(time.perf_counter() - started)
    return times


def _stopping(whole: Samples) -> list[float]:
    """The same by ``stopIf``, at each of 10 beats a second."""
    rule = StopRule(StopIf(success_below=0.5), T0 + 100, slow_after=3.0)
    times = []
    for second in range(1, 701):
        now = T0 + 100 + second
        for tenth in range(10):
            at = now - 0.9 + tenth / 10
            pulse = Pulse(at, in_flight=60, oldest=0.5, resolved=at - 0.5, due=int(1000 * (at - T0)), finished=False)
            so_far = (replace(whole, rows=whole.rows[: np.searchsorted(whole.rows["start"], at)]),)
            started = time.perf_counter()
            rule.look(at, so_far, {"main": pulse})
            times.append(time.perf_counter() - started)
    return times
