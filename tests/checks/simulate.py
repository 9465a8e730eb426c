"""Error rates and power of the verdicts, by simulation of the production code: a table when run as a
program, and the functions that the tests call with fewer repetitions.

    python tests/checks/simulate.py [repetitions] [seed]
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from meshchaos.checks.decide import Rule, decide
from meshchaos.checks.kind import Verdict
from meshchaos.checks.statistics import binomial, eprocess
from meshchaos.checks.tally import Tally

THETA, ALPHA = 0.01, 0.05


@dataclass(frozen=True)
class Shares:
    """Of ``runs`` repetitions, the shares by verdict, and the mean number of requests at the decision."""

    passed: float
    failed: float
    undecided: float
    mean_n: float
    runs: int

    def at_most(self, share: float, alpha: float) -> bool:
        """Whether a share may be alpha in truth: within three standard errors above it."""
        return share <= alpha + 3 * (alpha * (1 - alpha) / self.runs) ** 0.5


def full_phase(rng: Generator, runs: int, true: float, n: int, alpha: float = ALPHA) -> Shares:
    """The exact test, once, after n independent requests."""
    bad = rng.binomial(n, true, runs)
    counts = binomial.critical(n, THETA, alpha, alpha)
    passed = float((bad <= (-1 if counts.passing is None else counts.passing)).mean())
    failed = float((bad >= (n + 1 if counts.failing is None else counts.failing)).mean())
    return Shares(passed, failed, 1 - passed - failed, n, runs)


def with_looks(
    rng: Generator,
    runs: int,
    true: float | NDArray[np.float64],
    *,
    every: int = 500,
    most: int = 30_000,
    final: bool = False,
) -> Shares:
    """The e-process with a look every ``every`` requests; with ``final`` the exact test at the end too, each at
    half the error rate, as in a phase that an early verdict may end. ``true``: the rate, or one for each look
    (drift).
    """
    alpha = ALPHA / 2 if final else ALPHA
    looks = np.arange(every, most + 1, every)
    rates = np.broadcast_to(np.asarray(true, dtype=float), looks.shape)
    bad = rng.binomial(every, rates, size=(runs, looks.shape[0])).cumsum(axis=1)
    critical = [eprocess.critical(int(n), THETA, alpha, alpha) for n in looks]
    passes = bad <= np.array([-1 if one.passing is None else one.passing for one in critical])
    fails = bad >= np.array([most + 1 if one.failing is None else one.failing for one in critical])
    decided = passes | fails
    first = np.where(decided.any(axis=1), decided.argmax(axis=1), looks.shape[0] - 1)
    row = np.arange(runs)
    passed, failed = passes[row, first], fails[row, first]
    if final:
        last = binomial.critical(most, THETA, alpha, alpha)
        undecided = ~(passed | failed)
        assert last.passing is not None
        assert last.failing is not None
        passed |= undecided & (bad[:, -1] <= last.passing)
        failed |= undecided & (bad[:, -1] >= last.failing)
    return Shares(
        float(passed.mean()),
        float(failed.mean()),
        float(1 - passed.mean() - failed.mean()),
        float(looks[first].mean()),
        runs,
    )


def bursts(
    rng: Generator, runs: int, *, mean: float, seconds: int = 60, rate: int = 200, length: int = 2, share: float = 0.5
) -> Iterator[Tally]:
    """Phases whose failures come in bursts of ``length`` seconds in which ``share`` of the requests fail, so
    often that the long-run mean is ``mean``.
    """
    start = mean / (share * length)
    for _ in range(runs):
        begun = rng.random(seconds + length - 1) < start
        burning = np.convolve(begun, np.ones(length), mode="valid") > 0
        n = np.full(seconds, rate)
        yield counted(rng.binomial(n, np.where(burning, share, 0.0)), n)


def independent(rng: Generator, runs: int, *, mean: float, seconds: int = 60, rate: int = 200) -> Iterator[Tally]:
    """Poisson arrivals, each failing by itself."""
    for _ in range(runs):
        n = rng.poisson(rate, seconds)
        yield counted(rng.binomial(n, mean), n)


def counted(bad: NDArray[np.int64], n: NDArray[np.int64]) -> Tally:
    return Tally(0.0, float(len(n)), int(n.sum()), int(bad.sum()), 0, n, bad, np.zeros_like(n))


def decisions(tallies: Iterator[Tally]) -> tuple[Shares, float]:
    """Verdicts of whole phases by all the rules, and the share flagged for clusters."""
    rule = Rule(THETA, ALPHA, ALPHA)
    found = [decide(tally, rule) for tally in tallies]
    by = Counter(one.verdict for one in found)
    runs = len(found)
    shares = Shares(by[Verdict.PASS] / runs, by[Verdict.FAIL] / runs, by[Verdict.INCONCLUSIVE] / runs, 0, runs)
    return shares, sum(one.clusters is not None for one in found) / runs


def drift(looks: int, low: float, high: float) -> NDArray[np.float64]:
    """Rates that rise from ``low`` to ``high`` over all looks."""
    return np.linspace(low, high, looks)


def main(runs: int = 4000, seed: int = 1) -> None:
    rng = np.random.default_rng(seed)
    print(f"seed {seed}, {runs} repetitions, theta {THETA:.0%}, alpha {ALPHA:.0%}")
    line = "{:<44} {:>8} {:>6} {:>6} {:>6} {:>8}".format
    print(line("", "true", "PASS", "FAIL", "open", "mean n"))

    def show(what: str, true: str, shares: Shares) -> None:
        print(
            line(
                what,
                true,
                f"{shares.passed:.3f}",
                f"{shares.failed:.3f}",
                f"{shares.undecided:.3f}",
                f"{shares.mean_n:,.0f}",
            )
        )

    for n in (1000, 2000, 4000, 12_000):
        for true in (0.005, 0.01, 0.015):
            show(f"full phase, exact test, n = {n:,}", f"{true:.1%}", full_phase(rng, runs, true, n))
    for true in (0.002, 0.005, 0.008, 0.01, 0.012, 0.015, 0.02):
        show("e-process, a look every 500, at most 30,000", f"{true:.1%}", with_looks(rng, runs, true))
        show("the same, then the exact test, half each", f"{true:.1%}", with_looks(rng, runs, true, final=True))
    show("drift from 0 to 2 % over 30,000, exact", "1.0%", full_drift(rng, runs, 0, 0.02, n=30_000))
    few = max(100, runs // 4)
    for length, share in ((1, 0.9), (2, 0.5), (5, 0.2), (1, 0.1)):
        shares, flagged = decisions(bursts(rng, few, mean=THETA, length=length, share=share))
        show(f"bursts of {length} s, {share:.0%} bad ({flagged:.0%} flagged)", "1.0%", shares)
    shares, flagged = decisions(independent(rng, few, mean=THETA))
    show(f"60 s of independent failures ({flagged:.1%} flagged)", "1.0%", shares)


def full_drift(rng: Generator, runs: int, low: float, high: float, *, n: int, steps: int = 60) -> Shares:
    """The exact test after n requests whose rate rose from ``low`` to ``high``."""
    bad = rng.binomial(n // steps, drift(steps, low, high), size=(runs, steps)).sum(axis=1)
    counts = binomial.critical(n, THETA, ALPHA, ALPHA)
    assert counts.passing is not None
    assert counts.failing is not None
    passed, failed = float((bad <= counts.passing).mean()), float((bad >= counts.failing).mean())
    return Shares(passed, failed, 1 - passed - failed, n, runs)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
