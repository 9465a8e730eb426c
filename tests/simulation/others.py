"""Recovery windows, and bounds of a mean."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from meshchaos.checks.kind import Verdict
from meshchaos.checks.rate import RateCheck
from meshchaos.checks.recovery import RecoveryCheck
from meshchaos.checks.statistics.mean import mean_bounds
from meshchaos.checks.tally import Measure
from meshchaos.experiment.model import Where
from meshchaos.history.records import FaultRecord, History, PhaseRecord
from meshchaos.history.samples import ROW, Samples
from tests.simulation.row import ALPHA, THETA, Row, Section, of_verdicts

T0, RATE, LENGTH, WITHIN = 1_700_000_000.0, 100, 60.0, 10.0
WHERE = Where("simulation.chaos.yaml", 1, 1, "spec")
CHECK = RecoveryCheck("recovery", RateCheck("success", "success", ("fault",), THETA, Measure(), WHERE), WITHIN, WHERE)


def recovered(rng: Generator, *, out: float, after: float) -> Verdict:
    """The verdict on 60 s after the fault: 30 % fail for the first ``out`` s, a share ``after`` from then on."""
    n = rng.poisson(RATE * LENGTH)
    rows = np.zeros(n, dtype=ROW)
    rows["start"] = T0 + np.sort(rng.random(n)) * LENGTH
    rows["grpc"], rows["latency"] = -1, 0.05
    bad = rng.random(n) < np.where(rows["start"] < T0 + out, 0.3, after)
    rows["status"] = np.where(bad, 503, 200)
    fault = FaultRecord("chaos-1-0", 0, "delay", "server", "", "", 1.0, (), live_at=T0 - 60, removed_at=T0, gone_at=T0)
    phase = PhaseRecord("recovery", T0, T0 + LENGTH, LENGTH)
    history = History((phase,), (fault,), {"main": Samples("main", rows, ("main",), 10.0)}, (), 1 - ALPHA)
    return CHECK.judge(history, alpha=ALPHA).verdict


def recovery(rng: Generator, runs: int) -> list[Row]:
    rows = []
    for out, after, errors in (
        (5.0, 0.002, ("failed",)),
        (9.0, THETA, ("passed", "failed")),
        (0.0, THETA, ("passed", "failed")),
        (15.0, 0.002, ("passed",)),
        (60.0, 0.3, ("passed",)),
    ):
        found = [recovered(rng, out=out, after=after) for _ in range(runs)]
        what = f"30% fail for {out:g} s, then {after:.1%}"
        power = ("passed", 0.98) if out == 5 else ("failed", 0.99) if out == 60 else None
        rows.append(
            Row(what, "back in time" if out <= WITHIN else "late", *of_verdicts(found), wrong=errors, power=power)
        )
    return rows


MEANS = (
    ("one retry, 5 % retried", 2, (0.95, 0.05)),
    ("two retries, 1 % retried", 3, (0.99, 0.008, 0.002)),
    ("two retries, 20 % retried", 3, (0.8, 0.15, 0.05)),
    ("two retries, a storm", 3, (0.1, 0.1, 0.8)),
    ("ten tries, seldom all of them", 10, (0.98, *([0.0] * 8), 0.02)),
)


def means(rng: Generator, runs: int) -> list[Row]:
    """How often each bound misses the true mean; as a limit at the true mean is judged: PASS below, FAIL above."""
    rows = []
    for what, most, chances in MEANS:
        values = np.arange(1, most + 1)
        true = float((values * np.array(chances)).sum())
        spread = math.sqrt(float((values**2 * np.array(chances)).sum()) - true**2)
        for n in (200, 5000):
            widths, below, above = [], np.zeros(runs, dtype=bool), np.zeros(runs, dtype=bool)
            for run in range(runs):
                drawn = rng.choice(values, n, p=chances)
                low, high = mean_bounds(drawn, most=most, alpha_lower=ALPHA, alpha_upper=ALPHA)
                below[run], above[run] = high < true, low > true
                widths.append(high - low)
            normal = 2 * 1.645 * spread / math.sqrt(n)
            rows.append(
                Row(
                    f"{what}, n = {n:,}",
                    f"mean {true:.3f}",
                    float(below.mean()),
                    float(above.mean()),
                    runs,
                    note=f"{np.mean(widths):.3f} wide, {np.mean(widths) / normal:.1f} times the normal approximation",
                    wrong=("passed", "failed"),
                )
            )
    return rows


SECTIONS = (
    Section(
        "Recovery",
        "60 s of 100 requests a second after the fault, success 99 % again within 10 s: judged on the 50 s from there.",
        recovery,
        cost=4,
    ),
    Section(
        "Bounds of a mean",
        "Attempts a request. PASS: the upper bound lies below the true mean; FAIL: the lower one above it.",
        means,
        cost=4,
    ),
)
