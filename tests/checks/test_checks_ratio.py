"""Canary against baseline, attempts per request, shares of traffic: error rates summed exactly where possible."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from meshchaos.checks.statistics import ratio as ratios
from meshchaos.checks.statistics.latency_ratio import Latencies, compare_quantiles
from meshchaos.checks.statistics.mean import mean_bounds
from meshchaos.checks.statistics.planner import needed_ratio
from meshchaos.checks.statistics.ratio import Arm, RatioRule, ratio_bounds
from meshchaos.checks.statistics.share import share_holds, tolerance

ALPHA = 0.05


def rule(ratio=1.5, negligible=0.0, **options):
    return RatioRule(ratio, negligible, ALPHA, ALPHA, **options)


def errors(of: RatioRule, n1: int, n0: int, p1: float, p0: float) -> tuple[float, float]:
    """The chances of PASS and of FAIL, summed over all pairs of counts that are not next to impossible."""
    arms = ((n1, p1), (n0, p0))
    bad1, bad0 = (np.arange(stats.binom.ppf(1e-9, n, p), stats.binom.ppf(1 - 1e-9, n, p) + 1) for n, p in arms)
    weights = np.outer(stats.binom.pmf(bad1, n1, p1), stats.binom.pmf(bad0, n0, p0))
    chance = {"holds": 0.0, "violated": 0.0, "undecided": 0.0}
    for i, x1 in enumerate(bad1):
        for j, x0 in enumerate(bad0):
            chance[of.compare(Arm(int(x1), n1), Arm(int(x0), n0)).outcome] += weights[i, j]
    return chance["holds"], chance["violated"]


@pytest.mark.parametrize(
    ("n1", "n0", "p0"),
    [
        *((n1, n0, p0) for n1, n0 in ((3, 5), (40, 40), (100, 900), (900, 100)) for p0 in (0.0005, 0.005, 0.05)),
        *((n1, n0, 0.4) for n1, n0 in ((3, 5), (40, 40), (30, 200), (200, 30))),
        *((2000, 6000, p0) for p0 in (0.0005, 0.005)),
    ],
)
@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
def test_at_the_boundary_both_errors_are_at_most_alpha_exactly(n1, n0, p0, ratio):
    passed, failed = errors(rule(ratio), n1, n0, ratio * p0, p0)
    assert passed <= ALPHA
    assert failed <= ALPHA


@pytest.mark.parametrize("p0", [0.0, 0.001, 0.002, 0.00333, 0.01])
def test_with_negligible_the_two_rules_together_err_at_most_alpha(p0):
    """On the boundary of max(1.5 p0, 0.5 %), on both sides of its corner and on it."""
    of = rule(1.5, 0.005)
    p1 = max(1.5 * p0, 0.005)
    passed, failed = errors(of, 1500, 3000, p1, p0)
    assert passed <= ALPHA
    assert failed <= ALPHA


def test_it_has_power():
    assert errors(rule(1.5), 2000, 6000, 0.005, 0.005)[0] > 0.1
    passed, failed = errors(rule(1.5), 2000, 6000, 0.04, 0.01)
    assert failed > 0.99
    assert passed == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("true", "outcome"), [(1.0, 0), (3.0, 1)])
def test_the_number_planned_has_about_the_power_asked(true, outcome):
    n = needed_ratio(1.5, true, rate=0.01, share=0.3, alpha=ALPHA)
    assert n is not None
    n1 = round(0.3 * n)
    assert errors(rule(1.5), n1, n - n1, 0.01 * true, 0.01)[outcome] == pytest.approx(0.8, abs=0.06)


def test_no_number_is_planned_at_the_limit_or_without_failures():
    assert needed_ratio(1.5, 1.5, rate=0.01, share=0.1, alpha=ALPHA) is None
    assert needed_ratio(1.5, 1.0, rate=0.0, share=0.1, alpha=ALPHA) is None


def test_by_hand():
    """20 of 1,000 against 10 of 9,000: P(X >= 20 | 30, 1.5 / 10.5) decides; the bounds are those of pi."""
    found = rule(1.5).compare(Arm(20, 1000), Arm(10, 9000))
    assert found.outcome == "violated"
    assert found.estimate == pytest.approx(18)
    interval = stats.binomtest(20, 30).proportion_ci(confidence_level=1 - 2 * ALPHA, method="exact")
    assert found.interval == pytest.approx([p / (1 - p) * 9 for p in (interval.low, interval.high)])
    assert ratios.expected_share(1.5, 1000, 9000) == pytest.approx(1.5 / 10.5)


@pytest.mark.parametrize("sequential", [False, True])
def test_nothing_bad_in_either_arm_is_no_proof_of_a_ratio(sequential):
    clean = Arm(0, 1_000_000), Arm(0, 1_000_000)
    found = rule(1.5, sequential=sequential).compare(*clean)
    assert (found.outcome, found.estimate, found.interval) == ("undecided", None, (0.0, None))
    found = rule(1.5, 0.0001, sequential=sequential).compare(*clean)
    assert (found.outcome, found.by) == ("holds", "negligible")
    assert rule(1.5, 0.0001, sequential=sequential).compare(Arm(0, 1000), Arm(0, 1_000_000)).outcome == "undecided"


def test_the_clean_minimum_with_negligible_is_at_half_alpha():
    n = math.ceil(math.log(ALPHA / 2) / math.log1p(-0.0001))
    assert rule(1.5, 0.0001).compare(Arm(0, n), Arm(0, n)).outcome == "holds"
    assert rule(1.5, 0.0001).compare(Arm(0, n - 1), Arm(0, n)).outcome == "undecided"


def test_more_than_so_many_times_but_negligible_is_no_fail():
    canary, baseline = Arm(60, 100_000), Arm(1, 100_000)
    assert rule(1.5, 0.001).compare(canary, baseline).outcome == "holds"
    assert rule(1.5, 0.0006).compare(canary, baseline).outcome == "undecided"
    assert rule(1.5, 0.0001).compare(canary, baseline).outcome == "violated"


@pytest.mark.parametrize(("canary", "baseline"), [(Arm(0, 0), Arm(5, 1000)), (Arm(5, 1000), Arm(0, 0))])
def test_an_arm_without_traffic_decides_nothing(canary, baseline):
    found = rule(1.5, 0.9).compare(canary, baseline)
    assert (found.outcome, found.estimate, found.interval) == ("undecided", None, (0.0, None))


def test_everything_bad_in_the_canary_alone_has_no_upper_bound():
    low, high = ratio_bounds(Arm(50, 50), Arm(0, 1000), ALPHA)
    assert low > 100
    assert high is None
    assert rule(1.5).compare(Arm(50, 50), Arm(0, 1000)).outcome == "violated"


@pytest.mark.parametrize("sequential", [False, True])
def test_the_interval_agrees_with_the_verdict(sequential):
    baseline = Arm(30, 9000)
    for bad in range(0, 40):
        found = rule(1.5, sequential=sequential).compare(Arm(bad, 3000), baseline)
        low, high = found.interval
        assert (found.outcome == "holds") == (high is not None and high <= 1.5)
        assert (found.outcome == "violated") == (low > 1.5)


def second(seed: int, seconds: int, mean1: float, mean0: float) -> list[np.ndarray]:
    """Bad and all by the second: canary 50/s, baseline 450/s."""
    rng = np.random.default_rng(seed)
    n1, n0 = np.full(seconds, 50), np.full(seconds, 450)
    return [rng.binomial(n1, mean1), n1, rng.binomial(n0, mean0), n0]


def test_a_bad_time_for_both_arms_is_held_against_neither():
    bad1, n1, bad0, n0 = second(1, 120, 0.005, 0.005)
    bad1[40:50], bad0[40:50] = 10, 90
    found, clusters = rule(1.5).compare_by_second(bad1, n1, bad0, n0)
    assert (found.outcome, clusters) == ("holds", None)


def test_a_cluster_in_the_canary_alone_takes_the_pass_away():
    bad1, n1, bad0, n0 = second(2, 120, 0.002, 0.02)
    bad1[60] = 50
    assert rule(1.5).compare(Arm(bad1.sum(), n1.sum()), Arm(bad0.sum(), n0.sum())).outcome == "holds"
    found, clusters = rule(1.5).compare_by_second(bad1, n1, bad0, n0)
    assert found.outcome == "undecided"
    assert clusters is not None


def test_clusters_fail_by_blocks_of_seconds_only():
    bad1, n1, bad0, n0 = second(3, 120, 0.0, 0.001)
    bad1[60] = 50
    assert rule(1.5).compare(Arm(50, n1.sum()), Arm(bad0.sum(), n0.sum())).outcome == "violated"
    found, clusters = rule(1.5).compare_by_second(bad1, n1, bad0, n0)
    assert found.outcome == "undecided", "one bad second says little about the canary"
    assert clusters is not None
    bad1[::4] = 25
    found, clusters = rule(1.5).compare_by_second(bad1, n1, bad0, n0)
    assert found.outcome == "violated", "one bad second in four says all"
    assert clusters is not None


def latencies(values, slow=0) -> Latencies:
    return Latencies(np.asarray(values, dtype=np.float32), slow)


def compare(canary, baseline, ratio=1.3, quantile=0.9):
    return compare_quantiles(canary, baseline, quantile=quantile, ratio=ratio, alpha_pass=ALPHA, alpha_fail=ALPHA)


def test_quantile_ratio_by_hand():
    """The 90 % quantile of 1..1000 ms and of 2 x that: bounds are order statistics at alpha / 2."""
    one, two = latencies(np.arange(1, 1001) / 1000), latencies(np.arange(1, 1001) / 500)
    failing = int(stats.binom.isf(ALPHA / 2, 1000, 0.1)) + 1
    passing = int(stats.binom.ppf(ALPHA / 2, 1000, 0.1)) - 1
    low, high = 1000 - failing + 1, 1000 - passing
    found = compare(two, one)
    assert found.outcome == "violated"
    assert found.estimate == pytest.approx(2)
    assert found.interval == pytest.approx((2 * low / high, 2 * high / low), rel=1e-5)
    assert compare(one, two).outcome == "holds"
    assert compare(two, one, ratio=2.0).outcome == "undecided"


def test_a_quantile_ratio_with_requests_that_never_ended():
    good = latencies(np.linspace(0.1, 0.2, 1000))
    lost = latencies(np.linspace(0.1, 0.2, 500), slow=500)
    some = latencies(np.linspace(0.1, 0.2, 905), slow=95)
    found = compare(lost, good)
    assert (found.outcome, found.estimate, found.interval) == ("violated", None, (None, None))
    assert compare(lost, lost).outcome == "undecided"
    found = compare(good, lost)
    assert found.outcome == "holds", "the baseline's quantile is beyond every latency of the canary"
    found = compare(some, good)
    assert found.outcome == "undecided"
    assert found.estimate is not None
    assert found.interval[1] is None
    for nothing in (latencies([]), latencies([0.1])):
        found = compare(nothing, good)
        assert (found.outcome, found.interval[1]) == ("undecided", None)
        assert compare(good, nothing).outcome == "undecided"


def test_share_of_traffic():
    assert tolerance(0.1) == 0.02
    assert tolerance(0.5) == 0.05

    def outcome(count, of, asked):
        return share_holds(count, of, asked, alpha_pass=ALPHA, alpha_fail=ALPHA)[0]

    assert outcome(1000, 10_000, 0.1) == "holds"
    assert outcome(1300, 10_000, 0.1) == "violated"
    assert outcome(700, 10_000, 0.1) == "violated"
    assert outcome(1200, 10_000, 0.1) == "undecided"
    assert outcome(10, 100, 0.1) == "undecided"
    assert outcome(0, 0, 0.1) == "undecided"
    assert outcome(0, 500, 0.01) == "holds", "0 is within 2 points of 1 %"


@pytest.mark.parametrize("true", [0.08, 0.12, 0.1])
@pytest.mark.parametrize("n", [20, 300, 3000])
def test_share_errs_at_most_alpha_exactly(true, n):
    chance = {"holds": 0.0, "violated": 0.0, "undecided": 0.0}
    for count in range(n + 1):
        chance[share_holds(count, n, 0.1, alpha_pass=ALPHA, alpha_fail=ALPHA)[0]] += stats.binom.pmf(count, n, true)
    assert chance["violated"] <= ALPHA
    if true != 0.1:
        assert chance["holds"] <= ALPHA


def test_mean_of_two_values_is_clopper_pearson():
    low, high = mean_bounds([1] * 970 + [2] * 30, most=2, alpha_lower=0.025, alpha_upper=0.025)
    expected = stats.binomtest(30, 1000).proportion_ci(method="exact")
    assert (low - 1, high - 1) == pytest.approx((expected.low, expected.high))


def test_mean_with_nothing_or_only_one_value_possible():
    assert mean_bounds([], most=3, alpha_lower=0.05, alpha_upper=0.05) == (1.0, 3.0)
    assert mean_bounds([1, 1], most=1, alpha_lower=0.05, alpha_upper=0.05) == (1.0, 1.0)
    with pytest.raises(ValueError, match="only 1 to 3 are possible"):
        mean_bounds([1, 4], most=3, alpha_lower=0.05, alpha_upper=0.05)


def test_mean_bounds_hold_the_mean_and_narrow():
    rng = np.random.default_rng(7)
    widths = []
    for n in (100, 1000, 10_000, 100_000):
        attempts = rng.choice([1, 2, 3], n, p=[0.9, 0.07, 0.03])
        low, high = mean_bounds(attempts, most=3, alpha_lower=0.05, alpha_upper=0.05)
        assert 1 <= low < 1.13 < high <= 3
        widths.append(high - low)
    assert all(after < before / 2 for before, after in pairwise(widths))
    low, high = mean_bounds([1] * 1000, most=3, alpha_lower=0.05, alpha_upper=0.05)
    assert low == 1
    assert 1 < high < 1.02
    low, high = mean_bounds([3] * 1000, most=3, alpha_lower=0.05, alpha_upper=0.05)
    assert high == 3
    assert 2.98 < low < 3


def test_mean_errs_at_most_alpha_exactly_over_all_orders():
    """Every sequence of seven values with a mean of 1.75: the chance that a bound misses it."""
    chances = {1: 0.5, 2: 0.25, 3: 0.25}
    missed = [0.0, 0.0]
    for code in range(3**7):
        values = [code // 3**i % 3 + 1 for i in range(7)]
        chance = math.prod(chances[value] for value in values)
        low, high = mean_bounds(values, most=3, alpha_lower=0.3, alpha_upper=0.3)
        missed[0] += chance * (low > 1.75)
        missed[1] += chance * (high < 1.75)
    assert 0 < missed[0] <= 0.3
    assert 0 < missed[1] <= 0.3
