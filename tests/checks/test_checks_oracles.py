"""Against ``ville``, another implementation of confidence sequences: bounds of the same kind from the same requests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ville import BernoulliCS, BernoulliTest, BettingCS

from meshchaos.checks.statistics import eprocess
from meshchaos.checks.statistics.mean import mean_bounds

SEED = 20_260_101


@pytest.mark.parametrize("true", [0.002, 0.01, 0.05])
def test_bounds_of_a_rate_valid_at_every_look_are_about_as_wide(true):
    """Ville's mixture is over a Beta prior on all rates, ours over a few near the limit: the bounds are not the same,
    but overlap, hold the truth, and ours are the narrower ones.
    """
    bad = np.random.default_rng(SEED).random(20_000) < true
    low, high = eprocess.bounds(int(bad.sum()), len(bad), 0.025, 0.025)
    other_low, other_high = BernoulliCS(alpha=0.05, intersect=False).fit(bad.astype(float)).interval()
    assert low < true < high
    assert other_low < true < other_high
    assert 0.6 < (high - low) / (other_high - other_low) < 1.1


@pytest.mark.parametrize(("true", "side"), [(0.02, "fail"), (0.005, "pass")])
def test_it_stops_sooner_than_a_test_that_knows_no_direction(true, side):
    ours, theirs = [], []
    for seed in range(40):
        bad = np.random.default_rng([SEED, seed]).random(20_000) < true
        stop = BernoulliTest(0.01, alpha=0.05).fit(bad.astype(float)).stopping_time()
        counts = bad.cumsum()
        crossed = (n for n in range(1, len(bad) + 1) if eprocess.crossed(int(counts[n - 1]), n, 0.01, side, 0.025))
        ours.append(next(crossed))
        theirs.append(stop if stop is not None else len(bad))
    assert 0.4 < np.mean(ours) / np.mean(theirs) < 1


def test_the_mixture_is_the_mean_of_bets_with_fixed_stakes():
    """The likelihood ratio of p against theta is a bet of (p - theta) / (theta (1 - theta)) on each request."""
    theta = 0.01
    bad = np.random.default_rng(SEED).random(3000) < 0.015
    stakes = [(p - theta) / (theta * (1 - theta)) for p in eprocess.alternatives(theta, "fail")]
    wealths = [np.prod(1 + stake * (bad - theta)) for stake in stakes]
    log_e = eprocess.log_e(int(bad.sum()), len(bad), theta, "fail")
    assert log_e == pytest.approx(math.log(np.mean(wealths)), rel=1e-9)


@pytest.mark.parametrize("chances", [(0.9, 0.07, 0.03), (0.2, 0.3, 0.5), (0.99, 0.005, 0.005)])
def test_bounds_of_a_mean_hold_it_and_are_within_those_for_every_look(chances):
    """Ville's betting sequence (c = 3 / 4 as ours) is to be valid at every n, ours at this one: narrower."""
    values = np.random.default_rng(SEED).choice([1, 2, 3], 5000, p=chances)
    true = float(np.dot([1, 2, 3], chances))
    low, high = mean_bounds(values, most=3, alpha_lower=0.025, alpha_upper=0.025)
    other_low, other_high = BettingCS(bounds=(1, 3), alpha=0.05, c=0.75).fit(values).interval()
    assert low < true < high
    assert 0.35 < (high - low) / (other_high - other_low) < 1
