"""Failures that come in bursts, and those that do not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from meshchaos.checks.decide import Decision, Rule, decide
from meshchaos.checks.tally import Tally
from tests.simulation.row import ALPHA, THETA, Row, Section, of_verdicts

RULE = Rule(THETA, ALPHA, ALPHA)


def counted(bad: NDArray[np.int64], n: NDArray[np.int64]) -> Tally:
    return Tally(0.0, float(len(n)), int(n.sum()), int(bad.sum()), 0, n, bad, np.zeros_like(n))


def bursts(
    rng: Generator, runs: int, *, mean: float, seconds: int, rate: int, length: int, share: float
) -> Iterator[tuple[Tally, bool]]:
    """Phases whose failures come in bursts of ``length`` seconds in which ``share`` of the requests fail, so
    often that the long-run mean is ``mean``; and whether there was a burst in this one.
    """
    start = mean / (share * length)
    for _ in range(runs):
        begun = rng.random(seconds + length - 1) < start
        burning = np.convolve(begun, np.ones(length), mode="valid") > 0
        n = rng.poisson(rate, seconds)
        yield counted(rng.binomial(n, np.where(burning, share, 0.0)), n), bool(burning.any())


def independent(rng: Generator, runs: int, *, mean: float, seconds: int = 60, rate: int = 200) -> Iterator[Tally]:
    """Poisson arrivals, each failing by itself."""
    for _ in range(runs):
        n = rng.poisson(rate, seconds)
        yield counted(rng.binomial(n, mean), n)


def in_bursts(rng: Generator, runs: int) -> list[Row]:
    """Of a phase without a burst in it nothing can be told but that: PASS speaks of this run. So PASS is counted where
    a burst was, and may not be; FAIL in all.
    """
    rows = []
    for length, share, seconds, rate in (
        (1, 0.9, 60, 200),
        (2, 0.5, 60, 200),
        (5, 0.2, 60, 200),
        (10, 0.3, 60, 200),
        (10, 0.2, 1200, 5),
        (10, 0.1, 600, 20),
        (20, 0.05, 300, 200),
        (40, 0.05, 600, 200),
    ):
        found = list(bursts(rng, runs, mean=THETA, seconds=seconds, rate=rate, length=length, share=share))
        decisions = [(decide(tally, RULE), burst) for tally, burst in found]
        _, failed, _ = of_verdicts([one.verdict for one, _ in decisions])
        hit = [one for one, burst in decisions if burst]
        passed, _, _ = of_verdicts([one.verdict for one in hit])
        rows.append(
            Row(
                f"bursts of {length} s, {share:.0%} bad, {seconds} s of {rate}/s",
                "1.0% in the long run",
                passed,
                failed,
                runs,
                note=f"{len(hit) / runs:.0%} had a burst, {_flagged(hit):.0%} of them were flagged",
                wrong=("passed", "failed"),
                never=("passed",) if rate >= 200 and share >= 0.2 else (),
            )
        )
    decisions = [
        (decide(tally, RULE)) for tally, _ in bursts(rng, runs, mean=0.15, seconds=60, rate=200, length=2, share=0.5)
    ]
    rows.append(
        Row(
            "bursts of 2 s, 50% bad, 60 s of 200/s",
            "15.0%",
            *of_verdicts([one.verdict for one in decisions]),
            power=("failed", 0.9),
        )
    )
    return rows


def on_their_own(rng: Generator, runs: int) -> list[Row]:
    rows = []
    for true in (0.005, 0.01, 0.02):
        found = [decide(tally, RULE) for tally in independent(rng, runs, mean=true)]
        errors = ("passed", "failed") if true == THETA else ("failed",) if true < THETA else ("passed",)
        rows.append(
            Row(
                "60 s of 200/s",
                f"{true:.1%}",
                *of_verdicts([one.verdict for one in found]),
                note=f"{_flagged(found):.1%} were flagged",
                wrong=errors,
            )
        )
    return rows


def _flagged(found: list[Decision]) -> float:
    return sum(one.clusters is not None for one in found) / max(1, len(found))


SECTIONS = (
    Section(
        "Bursts",
        "Failures in bursts that come at random; limit 1 %. FAIL: of all phases; PASS: of those in which a burst was "
        "(one without any is a clean run, and a PASS speaks of this run).",
        in_bursts,
        cost=4,
    ),
    Section("No bursts", "Independent failures, judged with the eye on clusters; limit 1 %.", on_their_own, cost=2),
)
