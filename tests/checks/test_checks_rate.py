"""Success and latency over whole phases and on the way, from made histories."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import T0, fault, history, phases, rows, samples, spread, where

from meshchaos.checks.kind import Verdict
from meshchaos.checks.rate import RateCheck
from meshchaos.checks.tally import Measure
from meshchaos.history.records import PhaseRecord


def success(theta=0.005, during=("fault",), **measure):
    return RateCheck("success", "success", during, theta, Measure(**measure), where())


def latency(quantile=0.99, limit=0.8, **measure):
    theta = round(1 - quantile, 12)
    return RateCheck("latency", "latency", ("fault",), theta, Measure(limit=limit, **measure), where(), quantile)


def minute(**kinds):
    """60 s of 12,000 requests under the fault."""
    return history(samples(rows(T0, 60, 12_000, **kinds)), phases(fault=60))


@pytest.mark.parametrize(
    ("bad", "verdict"),
    [
        (20, Verdict.PASS),
        (47, Verdict.PASS),
        (48, Verdict.INCONCLUSIVE),
        (73, Verdict.INCONCLUSIVE),
        (74, Verdict.FAIL),
        (200, Verdict.FAIL),
    ],
)
def test_success_turns_at_the_exact_counts(bad, verdict):
    """Critical counts for n = 12,000, theta 0.5 %, alpha 5 %: pass up to 47, fail from 74 (scipy.stats.binom)."""
    found = success().judge(minute(bad=spread(bad, 12_000)), alpha=0.05)
    assert found.verdict is verdict
    assert found.n == 12_000
    assert found.estimate == pytest.approx(1 - bad / 12_000)
    assert found.threshold == 0.995
    low, high = found.interval
    assert low < found.estimate < high
    assert (low >= 0.995) == (verdict is Verdict.PASS)
    assert (high < 0.995) == (verdict is Verdict.FAIL)
    assert (found.needs is not None) == (verdict is Verdict.INCONCLUSIVE)


def test_reasons_in_words():
    found = success().judge(minute(bad=spread(20, 12_000)), alpha=0.05)
    assert found.reason == (
        "during this run 99.83 % of 12,000 requests were good (95 % bounds 99.76-99.89 %), at least 99.5 % asked"
    )
    found = success().judge(minute(bad=spread(200, 12_000)), alpha=0.05)
    assert found.reason == "98.33 % of 12,000 requests were good (95 % bounds 98.13-98.52 %), at least 99.5 % asked"
    found = latency().judge(minute(slow=spread(20, 12_000)), alpha=0.05)
    assert (
        found.reason
        == "during this run p99 was 50 ms over 12,000 requests (95 % bounds 50-50 ms), at most 800 ms asked"
    )
    assert found.evidence == ("20 of 12,000 (0.17 %) were slower than 800 ms, timed out or failed; 1 % may be",)


def test_undecided_says_how_many_more_and_that_many_do():
    found = success().judge(minute(bad=spread(50, 12_000)), alpha=0.05)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert f"about {found.needs:,} more requests would" in found.reason
    longer = 12_000 + found.needs
    more = history(samples(rows(T0, 60, longer, bad=spread(round(50 * longer / 12_000), longer))), phases(fault=60))
    assert success().judge(more, alpha=0.05).verdict is Verdict.PASS


def test_a_fail_is_corrected_for_several_expectations_and_a_pass_is_not():
    doubtful = minute(bad=spread(74, 12_000))
    assert success().judge(doubtful, alpha=0.05).verdict is Verdict.FAIL
    found = success().judge(doubtful, alpha=0.05 / 5)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "as a FAIL takes 99 % where several expectations are judged" in found.reason
    assert success().judge(minute(bad=spread(47, 12_000)), alpha=0.05 / 5).verdict is Verdict.PASS


def test_no_traffic_is_never_pass():
    nothing = history(samples(rows(T0, 10, 100)), phases(baseline=10, fault=60))
    for check in (success(), latency()):
        found = check.judge(nothing, alpha=0.05)
        assert found.verdict is Verdict.INVALID
        assert "nothing was tested" in found.reason
    missing = history(samples(rows(T0, 10, 100)), phases(baseline=10))
    assert success().judge(missing, alpha=0.05).verdict is Verdict.INVALID


def test_requests_belong_to_the_phase_of_their_intended_start():
    records = phases(baseline=10, fault=10)
    everything = samples(rows(T0, 10, 1000, bad=range(1000)), rows(T0 + 10, 10, 1000))
    found = success().judge(history(everything, records), alpha=0.05)
    assert (found.n, found.verdict) == (1000, Verdict.PASS)


def test_dropped_arrivals_are_bad_for_pass_and_left_out_for_fail():
    dropped = spread(600, 12_000)
    found = success(theta=0.02).judge(minute(dropped=dropped), alpha=0.05)
    assert found.verdict is Verdict.INCONCLUSIVE, (
        "5 % dropped: no PASS at 2 %, and no FAIL as all that was sent is good"
    )
    assert any("600 arrivals dropped" in line for line in found.evidence)
    found = success(theta=0.02).judge(minute(dropped=dropped, timeout=spread(3000, 11_999)), alpha=0.05)
    assert found.verdict is Verdict.FAIL


def test_a_hang_fails():
    """Nothing is answered from the fifth second on; most arrivals are dropped at the cap."""
    n = 12_000
    found = success().judge(minute(timeout=range(1000, 5000), dropped=range(5000, n)), alpha=0.05)
    assert found.verdict is Verdict.FAIL
    slow = latency().judge(minute(timeout=range(1000, 5000), dropped=range(5000, n)), alpha=0.05)
    assert slow.verdict is Verdict.FAIL
    assert slow.estimate is None
    assert slow.censored_at == 10.0


@pytest.mark.parametrize(
    ("kinds", "held"), [({"status": 404}, False), ({"status": 302}, True), ({"grpc": 14}, False), ({"grpc": 0}, True)]
)
def test_what_is_good(kinds, held):
    some = rows(T0, 60, 2000)
    for name, value in kinds.items():
        some[name] = value
    verdict = success().judge(history(samples(some), phases(fault=60)), alpha=0.05).verdict
    assert verdict is (Verdict.PASS if held else Verdict.FAIL)


def test_good_status_overrides():
    some = rows(T0, 60, 2000)
    some["status"] = 404
    check = success(good=((404, 404),))
    assert check.judge(history(samples(some), phases(fault=60)), alpha=0.05).verdict is Verdict.PASS


def test_a_failed_request_is_slow_however_fast_it_failed():
    found = latency().judge(minute(bad=spread(400, 12_000)), alpha=0.05)
    assert found.verdict is Verdict.FAIL
    assert found.estimate is None
    assert found.censored_at == 10.0
    assert "p99 has no bound" in found.reason


def test_a_request_of_exactly_the_limit_is_within_it():
    found = latency(quantile=0.5, limit=0.8).judge(minute(slow=range(12_000), slow_latency=0.8), alpha=0.05)
    assert found.verdict is Verdict.PASS


def test_loads_are_pooled_or_picked():
    good = samples(rows(T0, 60, 2000), load="shop")
    sick = samples(rows(T0, 60, 2000, bad=range(0, 2000, 2)), load="pay")
    both = history([good, sick], phases(fault=60))
    assert success().judge(both, alpha=0.05).n == 4000
    assert success().judge(both, alpha=0.05).verdict is Verdict.FAIL
    assert success(load="shop").judge(both, alpha=0.05).verdict is Verdict.PASS


def test_one_request_of_several():
    mixed = samples(
        rows(T0, 60, 2000, request=0), rows(T0, 60, 1000, request=1, bad=range(1000)), requests=("home", "pay")
    )
    one = history(mixed, phases(fault=60))
    assert success(request="home").judge(one, alpha=0.05).verdict is Verdict.PASS
    found = success(request="pay").judge(one, alpha=0.05)
    assert (found.verdict, found.n) == (Verdict.FAIL, 1000)


def test_the_worst_phase_is_the_verdict_and_the_others_are_told():
    records = phases(baseline=10, fault=10, recovery=10)
    made = samples(rows(T0, 10, 2000), rows(T0 + 10, 10, 2000), rows(T0 + 20, 10, 2000, bad=spread(200, 2000)))
    check = success(during=("baseline", "fault", "recovery"))
    found = check.judge(history(made, records), alpha=0.05)
    assert found.verdict is Verdict.FAIL
    assert found.during == ("baseline", "fault", "recovery")
    assert found.reason.startswith("in the recovery: 90 % of 2,000")
    assert any(line.startswith("PASS during this run, in the baseline: 100 %") for line in found.evidence)


def test_clusters_take_a_pass_away():
    found = success().judge(minute(bad=range(3000, 3020)), alpha=0.05)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith("failures came in clusters")
    assert any(line.startswith("failures per second scatter") for line in found.evidence)


def test_clusters_leave_a_fail_only_where_many_seconds_are_bad():
    burst = range(3000, 3110)
    found = success().judge(minute(bad=burst), alpha=0.05)
    assert found.verdict is Verdict.INCONCLUSIVE, "one bad second of 60 says nothing about the rate"
    outages = [i for second in range(0, 60, 2) for i in range(second * 200, second * 200 + 100)]
    assert success().judge(minute(bad=outages), alpha=0.05).verdict is Verdict.FAIL
    short = history(samples(rows(T0, 8, 1600, bad=range(800))), phases(fault=8))
    assert success().judge(short, alpha=0.05).verdict is Verdict.INCONCLUSIVE, "fewer than 10 seconds"


def test_a_transient_inside_a_pass_is_told():
    found = success(theta=0.05).judge(minute(bad=[100, 101, 102, 103]), alpha=0.05)
    assert found.verdict is Verdict.PASS
    assert found.evidence == ()
    thin = rows(T0, 60, 240, bad=[40, 41, 42, 43])
    found = success(theta=0.05).judge(history(samples(thin), phases(fault=60)), alpha=0.05)
    assert found.verdict is Verdict.PASS
    assert found.evidence == ("a transient: 4 of 4 were bad in the second from 10 s on",)


# Looks on the way.


def going(seconds, made, at_least=10.0):
    record = PhaseRecord("fault", T0, T0 + seconds, 60, at_least=at_least)
    return history(replace(made, rows=made.rows[made.rows["start"] < T0 + seconds]), (record,))


def test_no_early_verdict_within_ten_seconds():
    clean = samples(rows(T0, 60, 12_000))
    check = success()
    assert check.look(going(9.9, clean), alpha=0.05).verdict is Verdict.INCONCLUSIVE
    assert check.look(going(10.0, clean), alpha=0.05).verdict is Verdict.PASS


def test_an_early_verdict_waits_while_failures_cluster():
    broken = samples(rows(T0, 60, 12_000, bad=range(1000, 1500)))
    found = success().look(going(12, broken), alpha=0.05)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "clusters" in found.reason
    steady = samples(rows(T0, 60, 12_000, bad=spread(600, 12_000)))
    assert success().look(going(12, steady), alpha=0.05).verdict is Verdict.FAIL


def test_looks_that_count_only_what_is_new_count_the_same():
    made = samples(rows(T0, 60, 12_000, bad=spread(60, 12_000), slow=spread(90, 11_000)), requests=("main",))
    for check in (success(), latency()):
        kept = replace(check)
        for second in (11, 12, 30, 20, 45, 60):
            fresh = replace(check)
            assert kept.look(going(second, made), alpha=0.05) == fresh.look(going(second, made), alpha=0.05)


def test_a_phase_that_was_cut_by_what_was_seen_is_judged_by_the_e_process():
    """350 clean requests PASS a fixed length at 1 % (299), not one that was chosen by looking (401)."""
    made = samples(rows(T0, 10, 350))
    whole = PhaseRecord("fault", T0, T0 + 10, 10)
    check = success(theta=0.01)
    assert check.judge(history(made, (whole,)), alpha=0.05).verdict is Verdict.PASS
    for cut in ("early-verdict", "stop-if"):
        found = check.judge(history(made, (replace(whole, cut=cut),)), alpha=0.05)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert any("e-process" in line for line in found.evidence)
    interrupted = replace(whole, cut="interrupted")
    assert check.judge(history(made, (interrupted,)), alpha=0.05).verdict is Verdict.PASS


def test_looks_and_the_final_test_share_the_error_rate():
    """Where looks were allowed the exact test gets 0.15 of it: 487 clean requests at 1 %, not 299."""
    record = PhaseRecord("fault", T0, T0 + 10, 10, at_least=5)
    check = success(theta=0.01)
    assert check.judge(history(samples(rows(T0, 10, 486)), (record,)), alpha=0.05).verdict is Verdict.INCONCLUSIVE
    assert check.judge(history(samples(rows(T0, 10, 487)), (record,)), alpha=0.05).verdict is Verdict.PASS


def test_failures_while_a_fault_of_the_phase_was_live_are_no_cluster():
    """1.5 % fail from 20 s to 40 s of 60, none before and after; the same without a fault that came and went."""
    bad = [int(4000 + i * 4000 / 60) for i in range(60)]
    made, check = samples(rows(T0, 60, 12_000, bad=bad)), success(theta=0.01)
    timed = replace(fault(), live_at=T0 + 20, removed_at=T0 + 40, gone_at=T0 + 40)
    assert check.judge(history(made, phases(fault=60), (timed,)), alpha=0.05).verdict is Verdict.PASS
    always = replace(fault(), live_at=T0, removed_at=T0 + 60, gone_at=T0 + 60)
    assert check.judge(history(made, phases(fault=60), (always,)), alpha=0.05).verdict is Verdict.INCONCLUSIVE


# Closed-model loads.


def closed(fault_rows, baseline=2000):
    made = samples(rows(T0, 10, baseline), fault_rows, closed=True)
    return history(made, phases(baseline=10, fault=20))


def test_a_closed_load_that_fell_silent_passes_no_latency():
    steady = closed(rows(T0 + 10, 20, 4000))
    found = latency().judge(steady, alpha=0.05)
    assert found.verdict is Verdict.PASS
    assert any("closed model" in line for line in found.evidence)
    stalled = closed(rows(T0 + 10, 20, 4000)[[*range(1000), *range(2000, 4000)]])
    found = latency().judge(stalled, alpha=0.05)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "throughput fell to 0 requests/s from 200 in the baseline" in found.reason
    assert success().judge(stalled, alpha=0.05).verdict is Verdict.PASS, "success is not a matter of throughput"


def test_a_closed_load_without_a_baseline_passes_no_latency():
    made = samples(rows(T0, 20, 4000), closed=True)
    found = latency().judge(history(made, phases(fault=20)), alpha=0.05)
    assert found.verdict is Verdict.INCONCLUSIVE
