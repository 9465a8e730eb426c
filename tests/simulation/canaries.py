"""A canary against its baseline: 10 minutes of 500 requests a second, a tenth of them at the canary."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from meshchaos.checks.statistics import eprocess
from meshchaos.checks.statistics.latency_ratio import Latencies, compare_quantiles
from meshchaos.checks.statistics.ratio import Arm, RatioRule, expected_share
from meshchaos.checks.statistics.share import share_holds
from tests.simulation.rates import outcomes
from tests.simulation.row import ALPHA, Row, Section, shares

RATIO, SECONDS, RATE, SHARE = 1.5, 600, 500, 0.1
N1, N0 = round(SECONDS * RATE * SHARE), round(SECONDS * RATE * (1 - SHARE))


def judged(rule: RatioRule, bad1: NDArray[np.int64], bad0: NDArray[np.int64]) -> tuple[float, float, int]:
    found = np.array(
        [rule.compare(Arm(int(x1), N1), Arm(int(x0), N0)).outcome for x1, x0 in zip(bad1, bad0, strict=True)]
    )
    return shares(found == "holds", found == "violated")


def wrong(true: float) -> tuple[str, ...]:
    if true == RATIO:
        return ("passed", "failed")
    return ("failed",) if true < RATIO else ("passed",)


def ratios(rng: Generator, runs: int) -> list[Row]:
    rows = []
    rule = RatioRule(RATIO, 0.0, ALPHA, ALPHA)
    for base in (0.0005, 0.005, 0.05):
        for true in (1.0, 1.5, 2.0, 3.0):
            found = judged(rule, rng.binomial(N1, base * true, runs), rng.binomial(N0, base, runs))
            rows.append(Row(f"baseline {base:.2%}", f"{true:g} times", *found, wrong=wrong(true)))
    rates = np.linspace(0.0, 0.02, SECONDS)
    bad0 = rng.binomial(round(RATE * (1 - SHARE)), rates, size=(runs, SECONDS)).sum(axis=1)
    bad1 = rng.binomial(round(RATE * SHARE), rates * RATIO, size=(runs, SECONDS)).sum(axis=1)
    rows.append(Row("baseline drifts from 0 to 2 %", "1.5 times", *judged(rule, bad1, bad0), wrong=wrong(RATIO)))
    corner = RatioRule(RATIO, 0.0005, ALPHA, ALPHA)
    for base, true in ((0.0, 0.0005), (0.0002, 0.0005), (0.0005 / RATIO, 0.0005), (0.0005, 0.00075)):
        found = judged(corner, rng.binomial(N1, true, runs), rng.binomial(N0, base, runs))
        truth = f"{true:.3%} against {base:.3%}"
        rows.append(Row("negligible 0.05 %, at the boundary", truth, *found, wrong=("passed", "failed")))
    return rows


def ratio_looks(rng: Generator, runs: int, base: float = 0.005, every: int = 10) -> list[Row]:
    """The e-process on the canary's share of the bad ones, a look every 10 s."""
    rows = []
    theta, looks = expected_share(RATIO, SHARE, 1 - SHARE), SECONDS // every
    n1, n0 = round(every * RATE * SHARE), round(every * RATE * (1 - SHARE))
    for true in (1.0, 1.5, 2.0, 3.0):
        bad1 = rng.binomial(n1, base * true, size=(runs, looks)).cumsum(axis=1)
        total = bad1 + rng.binomial(n0, base, size=(runs, looks)).cumsum(axis=1)
        passes, fails = np.zeros(bad1.shape, dtype=bool), np.zeros(bad1.shape, dtype=bool)
        for t in np.unique(total[total > 0]):
            counts = eprocess.critical(int(t), theta, ALPHA, ALPHA)
            here = total == t
            passes[here], fails[here] = outcomes(bad1[here], counts)
        decided = passes | fails
        first = np.where(decided.any(axis=1), decided.argmax(axis=1), looks - 1)
        row = np.arange(runs)
        mean = float((first + 1).mean()) * every
        rows.append(
            Row(
                f"a look every {every} s, baseline {base:.1%}",
                f"{true:g} times",
                *shares(passes[row, first], fails[row, first]),
                mean_n=mean * RATE,
                note=f"decided after {mean:.0f} s on average",
                wrong=wrong(true),
            )
        )
    return rows


def latencies(rng: Generator, runs: int, n1: int = 3000, n0: int = 9000) -> list[Row]:
    """Lognormal latencies, the canary's stretched; 0.2 % of both never answered."""
    rows = []
    for quantile in (0.5, 0.99):
        for true in (1.0, 1.3, 2.0):
            found = []
            for _ in range(runs):
                lost1, lost0 = rng.binomial(n1, 0.002), rng.binomial(n0, 0.002)
                canary = Latencies(true * rng.lognormal(-3, 0.7, n1 - lost1), int(lost1))
                baseline = Latencies(rng.lognormal(-3, 0.7, n0 - lost0), int(lost0))
                one = compare_quantiles(
                    canary, baseline, quantile=quantile, ratio=1.3, alpha_pass=ALPHA, alpha_fail=ALPHA
                )
                found.append(one.outcome)
            outcomes = np.array(found)
            errors = ("passed", "failed") if true == 1.3 else ("failed",) if true < 1.3 else ("passed",)
            what = f"p{quantile * 100:g}, {n1:,} against {n0:,}"
            rows.append(
                Row(what, f"{true:g} times", *shares(outcomes == "holds", outcomes == "violated"), wrong=errors)
            )
    return rows


def traffic(rng: Generator, runs: int, n: int = 5000) -> list[Row]:
    rows = []
    within, edge, beyond = ("failed",), ("passed", "failed"), ("passed",)
    for asked, true, errors in (
        (0.1, 0.1, within),
        (0.1, 0.12, edge),
        (0.1, 0.08, edge),
        (0.1, 0.15, beyond),
        (0.5, 0.5, within),
        (0.5, 0.55, edge),
    ):
        found = np.array(
            [share_holds(int(x), n, asked, alpha_pass=ALPHA, alpha_fail=ALPHA)[0] for x in rng.binomial(n, true, runs)]
        )
        what = f"{asked:.0%} asked, {n:,} attempts"
        rows.append(Row(what, f"{true:.0%}", *shares(found == "holds", found == "violated"), wrong=errors))
    return rows


SECTIONS = (
    Section(
        "Canary: error ratio",
        "At most 1.5 times the baseline; 30,000 attempts at the canary, 270,000 at the baseline, once at the end.",
        ratios,
    ),
    Section(
        "Canary: error ratio with looks", "The same by the e-process, for a gate that looks on the way.", ratio_looks
    ),
    Section(
        "Canary: latency ratio", "A quantile at most 1.3 times the baseline's; lognormal latencies.", latencies, cost=2
    ),
    Section("Canary: share of traffic", "Within 2 points or a tenth of what was asked, whichever is wider.", traffic),
)
