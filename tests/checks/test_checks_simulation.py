"""Error rates by simulation of the production code. `simulate.py` prints the whole table with more runs."""

from __future__ import annotations

import numpy as np
import pytest
from simulate import ALPHA, THETA, bursts, decisions, drift, full_drift, full_phase, independent, with_looks

from meshchaos.checks.decide import Rule, decide
from meshchaos.checks.kind import Verdict
from meshchaos.checks.statistics.planner import needed, needed_early

SEED = 20_260_101
RUNS = 4000


@pytest.fixture
def rng():
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


@pytest.mark.parametrize("n", [300, 1000, 4000, 12_000])
def test_a_full_phase_at_the_limit_errs_at_most_one_time_in_twenty(rng, n):
    shares = full_phase(rng, RUNS, THETA, n)
    assert shares.at_most(shares.passed, ALPHA)
    assert shares.at_most(shares.failed, ALPHA)


@pytest.mark.parametrize("final", [False, True])
def test_looks_every_500_requests_at_the_limit_err_at_most_one_time_in_twenty(rng, final):
    shares = with_looks(rng, RUNS, THETA, final=final)
    assert shares.at_most(shares.passed, ALPHA)
    assert shares.at_most(shares.failed, ALPHA)


def test_at_the_planned_number_the_power_is_as_planned(rng):
    for true, right in ((0.005, "passed"), (0.015, "failed")):
        shares = full_phase(rng, RUNS, true, needed(THETA, true, ALPHA))
        assert getattr(shares, right) == pytest.approx(0.8, abs=0.05)


def test_early_stops_come_when_they_were_predicted(rng):
    shares = with_looks(rng, RUNS, 0.015)
    assert shares.failed > 0.99
    assert shares.mean_n == pytest.approx(needed_early(THETA, 0.015, ALPHA), rel=0.1)


@pytest.mark.parametrize("final", [False, True])
def test_drift_fools_neither_side(rng, final):
    """Rates that stay at or below the limit never FAIL too often, rates at or above it never PASS too often."""
    below = with_looks(rng, RUNS, drift(60, THETA / 2, THETA), final=final)
    assert below.at_most(below.failed, ALPHA)
    above = with_looks(rng, RUNS, drift(60, THETA * 2, THETA), final=final)
    assert above.at_most(above.passed, ALPHA)


def test_a_drift_whose_mean_is_the_limit_errs_no_more_than_a_constant_rate(rng):
    shares = full_drift(rng, RUNS, 0, 2 * THETA, n=30_000)
    assert shares.at_most(shares.passed, ALPHA)
    assert shares.at_most(shares.failed, ALPHA)


@pytest.mark.parametrize(("length", "share"), [(1, 0.9), (2, 0.5), (5, 0.2), (10, 0.3)])
def test_a_phase_with_a_burst_in_it_never_passes_and_seldom_fails_at_the_limit(rng, length, share):
    tallies = list(bursts(rng, 400, mean=THETA, length=length, share=share))
    rule = Rule(THETA, ALPHA, ALPHA)
    passed = [tally for tally in tallies if decide(tally, rule).verdict is Verdict.PASS]
    assert all(tally.bad < 30 for tally in passed), "what passed has no burst in it, or the edge of one"
    shares, flagged = decisions(iter(tallies))
    assert flagged > 0.1
    assert shares.at_most(shares.failed, ALPHA)


def test_bursts_far_above_the_limit_do_fail(rng):
    tallies = bursts(rng, 300, mean=0.15, length=2, share=0.5)
    shares, _ = decisions(tallies)
    assert shares.failed > 0.9
    assert shares.passed == 0


def test_independent_failures_are_seldom_taken_for_clusters(rng):
    shares, flagged = decisions(independent(rng, 2000, mean=THETA))
    assert flagged < 0.01 + 3 * (0.01 * 0.99 / 2000) ** 0.5
    assert shares.at_most(shares.failed, ALPHA)
    assert shares.at_most(shares.passed, ALPHA)
