"""Each test against scipy.stats, exact sums, or figures worked by hand."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from meshchaos.checks.statistics import binomial, bursts, eprocess, planner
from meshchaos.checks.statistics.quantile import quantile_with_bounds, rank

COUNTS = [(0, 1), (1, 1), (0, 299), (3, 1000), (31, 1000), (5, 598), (120, 12000), (999_000, 1_000_000), (500, 500)]


@pytest.mark.parametrize(("bad", "n"), COUNTS)
@pytest.mark.parametrize("alpha", [0.05, 0.0005])
def test_clopper_pearson_is_scipys(bad, n, alpha):
    low, high = binomial.interval(bad, n, alpha)
    expected = stats.binomtest(bad, n).proportion_ci(confidence_level=1 - alpha, method="exact")
    assert low == pytest.approx(expected.low, rel=1e-9, abs=1e-15)
    assert high == pytest.approx(expected.high, rel=1e-9)
    assert binomial.lower_bound(bad, n, alpha / 2) == low
    assert binomial.upper_bound(bad, n, alpha / 2) == high


@pytest.mark.parametrize(("bad", "n"), COUNTS)
@pytest.mark.parametrize("theta", [0.001, 0.01, 0.4])
def test_tails_and_decisions_are_scipys(bad, n, theta):
    assert binomial.tail_at_most(bad, n, theta) == pytest.approx(stats.binom.cdf(bad, n, theta), rel=1e-9, abs=1e-300)
    assert binomial.tail_at_least(bad, n, theta) == pytest.approx(
        stats.binom.sf(bad - 1, n, theta), rel=1e-9, abs=1e-300
    )
    assert binomial.passes(bad, n, theta, 0.05) == (binomial.upper_bound(bad, n, 0.05) <= theta)
    assert binomial.fails(bad, n, theta, 0.05) == (binomial.lower_bound(bad, n, 0.05) > theta)


def test_nothing_seen_decides_nothing():
    assert not binomial.passes(0, 0, 0.5, 0.05)
    assert not binomial.fails(0, 0, 0.5, 0.05)
    assert not eprocess.crossed(0, 0, 0.5, "pass", 0.999)
    assert binomial.interval(0, 0, 0.05) == (0.0, 1.0)
    assert eprocess.bounds(0, 0, 0.05, 0.05) == (0.0, 1.0)


@pytest.mark.parametrize(("theta", "exact", "early"), [(0.01, 299, 401), (0.005, 598, 805), (0.001, 2995, 4030)])
def test_the_smallest_clean_pass(theta, exact, early):
    assert planner.clean_minimum(theta, 0.05) == exact
    assert binomial.passes(0, exact, theta, 0.05)
    assert not binomial.passes(0, exact - 1, theta, 0.05)
    assert eprocess.crossed(0, early, theta, "pass", 0.05)
    assert not eprocess.crossed(0, early - 1, theta, "pass", 0.05)


@pytest.mark.parametrize("module", [binomial, eprocess])
@pytest.mark.parametrize("n", [10, 500, 12_000])
def test_critical_counts_are_where_the_decision_turns(module, n):
    decide = {
        binomial: (binomial.passes, binomial.fails),
        eprocess: (
            lambda bad, n, theta, alpha: eprocess.crossed(bad, n, theta, "pass", alpha),
            lambda bad, n, theta, alpha: eprocess.crossed(bad, n, theta, "fail", alpha),
        ),
    }[module]
    counts = module.critical(n, 0.01, 0.05, 0.01)
    for bad in range(0, min(n, 400) + 1):
        assert decide[0](bad, n, 0.01, 0.05) == (counts.passing is not None and bad <= counts.passing)
        assert decide[1](bad, n, 0.01, 0.01) == (counts.failing is not None and bad >= counts.failing)


def test_e_by_hand():
    """Three requests, one bad, theta 1/10: the grid {1/8, 3/20, 1/5, 3/10, 1/2, 19/20 clipped to 191/200}."""
    theta = Fraction(1, 10)
    grid = {
        min(theta * k, 1 - Fraction(5, 100) * (1 - theta))
        for k in map(Fraction, ("1.25", "1.5", "2", "3", "5", "10", "30"))
    }
    expected = sum((p / theta) * ((1 - p) / (1 - theta)) ** 2 for p in grid) / len(grid)
    assert math.exp(eprocess.log_e(1, 3, 0.1, "fail")) == pytest.approx(float(expected), rel=1e-12)
    grid = {theta * k for k in map(Fraction, ("0.8", "0.6", "0.4", "0.2", "0"))}
    expected = sum((p / theta) * ((1 - p) / (1 - theta)) ** 2 for p in grid) / len(grid)
    assert math.exp(eprocess.log_e(1, 3, 0.1, "pass")) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("side", ["fail", "pass"])
@pytest.mark.parametrize("theta", [0.001, 0.05, 0.5, 0.95])
def test_e_has_mean_one_at_the_limit(side, theta):
    """Exactly: the sum over all outcomes of 40 requests at rate theta. This is what Ville's inequality needs."""
    n = 40
    mean = sum(stats.binom.pmf(bad, n, theta) * math.exp(eprocess.log_e(bad, n, theta, side)) for bad in range(n + 1))
    assert mean == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("side", ["fail", "pass"])
def test_fed_piece_by_piece_it_is_the_same(side):
    process = eprocess.EProcess(0.01, side)
    for bad, n in ((0, 100), (3, 50), (0, 0), (1, 1), (0, 849)):
        process.update(bad, n)
    assert (process.bad, process.n) == (4, 1000)
    assert process.log_e == pytest.approx(eprocess.log_e(4, 1000, 0.01, side), abs=1e-9)
    assert process.crossed(0.05) == eprocess.crossed(4, 1000, 0.01, side, 0.05)


@pytest.mark.parametrize(("bad", "n"), [(0, 1000), (4, 1000), (50, 1000), (999, 1000), (1000, 1000)])
def test_the_inverted_interval_turns_where_the_test_turns(bad, n):
    low, high = eprocess.bounds(bad, n, 0.05, 0.05)
    exact_low, exact_high = binomial.lower_bound(bad, n, 0.05), binomial.upper_bound(bad, n, 0.05)
    assert low <= exact_low <= bad / n <= exact_high <= high, "wider than the fixed-n bounds"
    if bad > 2:
        assert eprocess.crossed(bad, n, low * 0.999, "fail", 0.05)
        assert not eprocess.crossed(bad, n, low * 1.001, "fail", 0.05)
    if high < 1:
        assert eprocess.crossed(bad, n, high * 1.001, "pass", 0.05)
        assert not eprocess.crossed(bad, n, high * 0.999, "pass", 0.05)


def test_theta_outside_zero_and_one_is_refused():
    for theta in (0, 1, -0.1, 2):
        with pytest.raises(ValueError, match="between 0 and 1"):
            eprocess.alternatives(theta, "fail")


@pytest.mark.parametrize(
    ("n", "quantile", "expected"), [(100, 0.99, 99), (101, 0.99, 100), (1, 0.5, 1), (1000, 0.999, 999), (10, 0.5, 5)]
)
def test_rank_of_the_estimate(n, quantile, expected):
    assert rank(n, quantile) == expected


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("slow", [0, 3, 40, 1000])
def test_the_quantile_agrees_with_the_test_at_every_limit(quantile, slow):
    """For each limit T: PASS of the rate test if and only if the upper bound is at most T, FAIL if and
    only if the lower bound is above T, and the estimate is at most T if the share is.
    """
    seed = 5
    latencies = np.random.default_rng(seed).permutation(np.arange(1, 1001, dtype=float))
    n, theta = 1000 + slow, round(1 - quantile, 12)
    counts = binomial.critical(n, theta, 0.05, 0.05)
    estimate, low, high = quantile_with_bounds(latencies, slow, quantile, counts)
    for limit in range(1, 1001):
        bad = 1000 - limit + slow
        assert binomial.passes(bad, n, theta, 0.05) == (high is not None and high <= limit)
        assert binomial.fails(bad, n, theta, 0.05) == (low is None or low > limit)
        assert (bad <= n * theta + 1e-9) == (estimate is not None and estimate <= limit)


def test_a_quantile_of_nothing_or_of_failures_alone():
    empty = np.zeros(0)
    assert quantile_with_bounds(empty, 0, 0.99, binomial.Critical(None, None)) == (None, None, None)
    assert quantile_with_bounds(empty, 500, 0.99, binomial.critical(500, 0.01, 0.05, 0.05)) == (None, None, None)
    few = np.array([0.1, 0.2])
    assert quantile_with_bounds(few, 0, 0.99, binomial.critical(2, 0.01, 0.05, 0.05)) == (0.2, 0.2, None), (
        "two of two below p99 is no surprise"
    )


def test_dispersion_by_hand():
    """Four seconds of 10 requests, bad 0, 0, 0, 8: p = 0.2, phi = (3 x 4 + 36) / 1.6 / 3 = 10."""
    found = bursts.dispersion([0, 0, 0, 8, 0], [10, 10, 10, 10, 0])
    assert found.phi == pytest.approx(10)
    assert found.blocks == 4
    assert found.limit == pytest.approx(stats.chi2.ppf(0.99, 3) / 3)
    assert found.flagged


def test_dispersion_with_cuts_by_hand():
    """Two parts, [5, 3] and [0, 2] of 10, cut at 2.4 s (that second left out): p 0.4 and 0.1."""
    bad, n = [5, 3, 9, 0, 2], [10] * 5
    found = bursts.dispersion(bad, n, [2.4])
    assert found.phi == pytest.approx((2 / 2.4 + 2 / 0.9) / 2)
    assert found.blocks == 5


def test_a_fault_that_comes_and_goes_is_no_cluster_but_one_within_a_part_is():
    rng = np.random.default_rng(11)
    n = np.full(60, 200)
    bad = rng.binomial(n, np.where((np.arange(60) >= 20) & (np.arange(60) < 40), 0.02, 0.001))
    assert bursts.dispersion(bad, n).flagged
    assert not bursts.dispersion(bad, n, [20.0, 40.0]).flagged
    assert not bursts.dispersion(bad, n, [40.0, 20.0]).flagged
    bad[30] = 60
    assert bursts.dispersion(bad, n, [20.0, 40.0]).flagged
    assert not bursts.dispersion([0] * 60, n, [20.0, 40.0]).flagged
    assert not bursts.dispersion([5, 5], [5, 5], [1.0]).flagged


def test_dispersion_is_not_flagged_below_five_bad_or_when_undefined():
    assert not bursts.dispersion([0] * 59 + [4], [100] * 60).flagged
    assert bursts.dispersion([0] * 59 + [5], [100] * 60).flagged
    assert not bursts.dispersion([10] * 9, [10] * 9).flagged
    assert not bursts.dispersion([0] * 9, [10] * 9).flagged
    assert not bursts.dispersion([], []).flagged
    assert not bursts.dispersion([5], [10]).flagged


def test_the_betting_test_has_mean_one_and_needs_ten_blocks():
    """Exactly: blocks that are 0 or 1 with mean theta, all 2^12 outcomes."""
    theta, n = 0.3, 12
    mean = sum(
        math.comb(n, ones)
        * theta**ones
        * (1 - theta) ** (n - ones)
        * math.exp(bursts.log_wealth([1.0] * ones + [0.0] * (n - ones), theta))
        for ones in range(n + 1)
    )
    assert mean == pytest.approx(1, abs=1e-9)
    assert not bursts.blocks_fail([10] * 9, [10] * 9, 0.01, 0.05)
    assert not bursts.blocks_fail([10] * 9 + [0] * 5, [10] * 9 + [0] * 5, 0.01, 0.05), "empty seconds are no blocks"
    assert bursts.blocks_fail([10] * 5 + [0] * 5, [10] * 10, 0.01, 0.05)


@pytest.mark.parametrize(("theta", "true"), [(0.01, 0.005), (0.01, 0.015), (0.005, 0.001), (0.05, 0.08)])
def test_needed_has_the_power_it_says(theta, true):
    n = planner.needed(theta, true, 0.05)
    assert n is not None
    tail = stats.binom.cdf if true < theta else (lambda k, n, p: stats.binom.sf(k - 1, n, p))
    counts = binomial.critical(n, theta, 0.05, 0.05)
    decisive = counts.passing if true < theta else counts.failing
    assert tail(decisive, n, true) >= 0.8
    assert planner.power(int(n * 0.9), theta, true, 0.05) < 0.8


def test_planner_by_the_figures_that_were_simulated():
    assert planner.needed_early(0.01, 0.015, 0.05) == pytest.approx(4513, rel=0.01)
    assert planner.kl(0.015, 0.01) == pytest.approx(0.015 * math.log(1.5) + 0.985 * math.log(0.985 / 0.99))
    assert planner.needed(0.01, 0.01, 0.05) is None
    assert planner.needed_early(0.01, 0.01, 0.05) is None


@pytest.mark.parametrize(("bad", "n"), [(0, 0), (0, 100), (3, 1000), (8, 1000), (4, 1000)])
def test_as_many_more_as_said_do_decide(bad, n):
    further = planner.more(bad, n, 0.005, 0.05, 0.01)
    assert further is not None
    assert further > 0
    total = n + further
    share = bad / n if n else 0.0
    if share < 0.005:
        assert binomial.passes(math.ceil(round(share * total, 6)), total, 0.005, 0.05)
    else:
        assert binomial.fails(math.floor(round(share * total, 6)), total, 0.005, 0.01)


def test_at_the_limit_no_number_of_requests_would_do():
    assert planner.more(5, 1000, 0.005, 0.05, 0.05) is None
    assert planner.more(0, 598, 0.005, 0.05, 0.05) == 0


@pytest.mark.parametrize("decided", [binomial.passes, lambda b, n, t, a: eprocess.crossed(b, n, t, "pass", a)])
def test_more_failures_never_help_and_a_laxer_limit_never_hurts(decided):
    for n in (50, 299, 2000):
        verdicts = [decided(bad, n, 0.02, 0.05) for bad in range(n)]
        assert verdicts == sorted(verdicts, reverse=True)
        by_limit = [decided(3, n, theta, 0.05) for theta in np.linspace(0.001, 0.5, 60)]
        assert by_limit == sorted(by_limit)
