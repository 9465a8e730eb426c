"""One line of a table: what was simulated, what came out, and what is promised about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from meshchaos.checks.kind import Verdict

THETA, ALPHA = 0.01, 0.05


@dataclass(frozen=True)
class Row:
    """Of ``runs`` repetitions the shares by outcome, and the mean number of requests until the decision (None: fixed).

    ``wrong``: the outcomes that are errors at this truth, each promised to come in at most ``alpha`` of the runs;
    ``never``: those that may not come at all. ``power``: an outcome, and the share of the runs it comes in at least.
    ``oracle``: the requests of the test of fixed length that finds the same in 9 of 10 runs; ``mean_n`` is promised to
    be at most 1.1 times that.
    """

    what: str
    truth: str
    passed: float
    failed: float
    runs: int
    mean_n: float | None = None
    note: str = ""
    wrong: Sequence[str] = ()
    never: Sequence[str] = ()
    power: tuple[str, float] | None = None
    oracle: int | None = None
    alpha: float = ALPHA

    @property
    def undecided(self) -> float:
        return max(0.0, 1 - self.passed - self.failed)

    def broken(self) -> list[str]:
        """What is not kept, allowing for three standard errors of the simulation."""
        found = []
        slack = 3 * (self.alpha * (1 - self.alpha) / self.runs) ** 0.5
        for outcome in self.wrong:
            if getattr(self, outcome) > self.alpha + slack:
                found.append(f"{outcome} in {getattr(self, outcome):.3f}, {self.alpha:g} promised")
        found += [
            f"{outcome} in {getattr(self, outcome):.4f}, never promised"
            for outcome in self.never
            if getattr(self, outcome) > 0
        ]
        if self.power is not None:
            outcome, least = self.power
            if getattr(self, outcome) < least - 3 * (least * (1 - least) / self.runs) ** 0.5:
                found.append(f"{outcome} in {getattr(self, outcome):.3f} only, {least:g} promised")
        if self.oracle is not None and self.mean_n is not None and self.mean_n > 1.1 * self.oracle:
            found.append(f"{self.mean_n:,.0f} requests, more than 1.1 times {self.oracle:,}")
        return [f"{self.what}, {self.truth}: {text}" for text in found]


@dataclass(frozen=True)
class Section:
    """A table. ``rows``: (generator of random numbers, repetitions) -> its rows. ``cost``: the repetitions are divided
    by it, where a single one is expensive.
    """

    title: str
    text: str
    rows: Callable[[Generator, int], list[Row]]
    cost: int = 1

    def run(self, seed: int, runs: int) -> list[Row]:
        """Each section has a stream of its own, so that adding one changes no other."""
        key = [seed, *self.title.encode()]
        return self.rows(np.random.default_rng(key), max(1, runs // self.cost))


def shares(passed: NDArray[np.bool_], failed: NDArray[np.bool_]) -> tuple[float, float, int]:
    """The first numbers of a row, from the outcomes of all repetitions."""
    return float(passed.mean()), float(failed.mean()), int(passed.shape[0])


def of_verdicts(verdicts: Sequence[Verdict]) -> tuple[float, float, int]:
    found = np.array([verdict.value for verdict in verdicts])
    return shares(found == "PASS", found == "FAIL")
