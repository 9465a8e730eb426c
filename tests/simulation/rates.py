"""One rate against its limit: full phases, early stops, drift, several expectations at once."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from meshchaos.checks.decide import EARLY_PART
from meshchaos.checks.statistics import binomial, eprocess, planner
from meshchaos.checks.statistics.binomial import Critical
from tests.simulation.row import ALPHA, THETA, Row, Section, shares


def wrong(true: float) -> tuple[str, ...]:
    """What is an error at this rate: at the limit itself both are promised to be rare."""
    if true == THETA:
        return ("passed", "failed")
    return ("failed",) if true < THETA else ("passed",)


def outcomes(bad: NDArray[np.int64], counts: Critical) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(passed, failed) for each count."""
    never = np.zeros(bad.shape, dtype=bool)
    return (
        never if counts.passing is None else bad <= counts.passing,
        never if counts.failing is None else bad >= counts.failing,
    )


def full_phases(rng: Generator, runs: int) -> list[Row]:
    rows = []
    for n in (300, 1000, 2000, 4000, 12_000):
        counts = binomial.critical(n, THETA, ALPHA, ALPHA)
        for true in (0.005, 0.01, 0.015):
            found = outcomes(rng.binomial(n, true, runs), counts)
            rows.append(Row(f"n = {n:,}", f"{true:.1%}", *shares(*found), wrong=wrong(true)))
    for true, right in ((0.005, "passed"), (0.015, "failed")):
        n = planner.needed(THETA, true, ALPHA)
        assert n is not None
        found = outcomes(rng.binomial(n, true, runs), binomial.critical(n, THETA, ALPHA, ALPHA))
        rows.append(Row(f"n = {n:,}, planned for 80 %", f"{true:.1%}", *shares(*found), power=(right, 0.79)))
    return rows


def with_looks(
    rng: Generator,
    runs: int,
    true: float | NDArray[np.float64],
    *,
    every: int = 500,
    most: int = 30_000,
    how: Literal["e-process", "as judged"] = "as judged",
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], float]:
    """(passed, failed, mean n at the decision) by looks every ``every`` requests. ``as judged``: as a phase with
    ``atLeast`` is, the looks at their part of the error rate and the exact test at the end at the rest; ``e-process``:
    the looks alone, at all of it. ``true``: the rate, or one for each look (drift).
    """
    part = EARLY_PART if how == "as judged" else 1.0
    looks = np.arange(every, most + 1, every)
    rates = np.broadcast_to(np.asarray(true, dtype=float), looks.shape)
    bad = rng.binomial(every, rates, size=(runs, looks.shape[0])).cumsum(axis=1)
    passes, fails = np.zeros(bad.shape, dtype=bool), np.zeros(bad.shape, dtype=bool)
    for at, n in enumerate(looks):
        counts = eprocess.critical(int(n), THETA, ALPHA * part, ALPHA * part)
        passes[:, at], fails[:, at] = outcomes(bad[:, at], counts)
    decided = passes | fails
    first = np.where(decided.any(axis=1), decided.argmax(axis=1), looks.shape[0] - 1)
    row = np.arange(runs)
    passed, failed = passes[row, first], fails[row, first]
    if part < 1:
        rest = ALPHA * (1 - part)
        last_passed, last_failed = outcomes(bad[:, -1], binomial.critical(most, THETA, rest, rest))
        still = ~(passed | failed)
        passed, failed = passed | (still & last_passed), failed | (still & last_failed)
    return passed, failed, float(looks[first].mean())


def early_stops(rng: Generator, runs: int) -> list[Row]:
    rows = []
    kinds: tuple[tuple[Literal["e-process", "as judged"], int], ...] = (
        ("e-process", 500),
        ("as judged", 500),
        ("as judged", 100),
    )
    for how, every in kinds:
        for true in (0.002, 0.005, 0.008, 0.01, 0.012, 0.015, 0.02):
            passed, failed, mean_n = with_looks(rng, runs, true, every=every, how=how)
            fixed = planner.needed(THETA, true, ALPHA, 0.9)
            note = "" if fixed is None else f"{mean_n / fixed:.2f} times {fixed:,}"
            rows.append(
                Row(
                    f"{how}, every {every}",
                    f"{true:.1%}",
                    *shares(passed, failed),
                    mean_n=mean_n,
                    note=note,
                    wrong=wrong(true),
                    power=("failed", 0.99) if true == 0.015 else None,
                    oracle=fixed if true == 0.015 and (how, every) != ("as judged", 500) else None,
                )
            )
    return rows


def drifts(rng: Generator, runs: int) -> list[Row]:
    rows = []
    for low, high, errors in (
        (THETA / 2, THETA, ("failed",)),
        (THETA, THETA / 2, ("failed",)),
        (THETA * 2, THETA, ("passed",)),
        (THETA, THETA * 2, ("passed",)),
    ):
        passed, failed, mean_n = with_looks(rng, runs, np.linspace(low, high, 60))
        truth = f"{low:.1%} to {high:.1%}"
        rows.append(Row("looks every 500", truth, *shares(passed, failed), mean_n=mean_n, wrong=errors))
    counts = binomial.critical(30_000, THETA, ALPHA, ALPHA)
    for low, high in ((0.0, 2 * THETA), (2 * THETA, 0.0)):
        bad = rng.binomial(500, np.linspace(low, high, 60), size=(runs, 60)).sum(axis=1)
        truth = f"{low:.1%} to {high:.1%}, mean 1.0%"
        rows.append(Row("n = 30,000, at the end", truth, *shares(*outcomes(bad, counts)), wrong=("passed", "failed")))
    return rows


def several(rng: Generator, runs: int, n: int = 12_000) -> list[Row]:
    """As ``checks.judge`` does it: FAIL at alpha / m, PASS when all pass at alpha each."""
    rows = []
    for m in (2, 5, 20):
        counts = binomial.critical(n, THETA, ALPHA, ALPHA / m)
        for others, truth, errors in (
            (THETA, "all at the limit", ("failed",)),
            (THETA / 5, "one at the limit, the others far below", ("passed", "failed")),
        ):
            rates = np.array([THETA] + [others] * (m - 1))
            passed, failed = outcomes(rng.binomial(n, rates, size=(runs, m)), counts)
            any_failed = failed.any(axis=1)
            rows.append(Row(f"{m} expectations", truth, *shares(passed.all(axis=1), any_failed), wrong=errors))
    return rows


SECTIONS = (
    Section("Full phases", "The exact binomial test, once, at the end; limit 1 %.", full_phases),
    Section(
        "Early stops",
        "A look every 500 or 100 requests, at most 30,000; limit 1 %. *E-process*: the looks alone; *as judged*: as a "
        "phase with `atLeast` is, the looks at 85 % of alpha, then the exact test at the end at 15 %. Beside the "
        "mean number of requests: that number over the one of a test of fixed length that is right in 9 of 10 runs.",
        early_stops,
    ),
    Section("Drift", "The rate changes steadily over 30,000 requests; limit 1 %.", drifts),
    Section(
        "Several expectations",
        "12,000 independent requests for each; limit 1 %. PASS: the run passes; FAIL: any of them fails.",
        several,
    ),
)
