"""All together: steady state, injection, recovery, the order of verdicts, a check that crashes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import T0, fault, history, phases, rows, samples, spread, where

from meshchaos.checks.injected import InjectedCheck, injection_findings
from meshchaos.checks.judge import judge, look, overall
from meshchaos.checks.kind import Finding, Verdict
from meshchaos.checks.rate import RateCheck
from meshchaos.checks.recovery import RecoveryCheck, recovered_after
from meshchaos.checks.steady import steady_state
from meshchaos.checks.tally import Measure
from meshchaos.history.records import GeneratorHealth, Injection, PhaseRecord

SUCCESS = RateCheck("success", "success", ("fault",), 0.005, Measure(), where())
LATENCY = RateCheck("latency", "latency p99", ("fault",), 0.01, Measure(limit=0.8), where(1), 0.99)
RECORDS = phases(baseline=10, fault=20, recovery=20)


def run(baseline=(), faulty=(), recovery=(), faults=()):
    """200 requests/s through all phases; lists of bad rows in each."""
    made = samples(
        rows(T0, 10, 2000, bad=baseline), rows(T0 + 10, 20, 4000, bad=faulty), rows(T0 + 30, 20, 4000, bad=recovery)
    )
    return history(made, RECORDS, faults)


class Crashing:
    kind, name, during, where = "own", "mine", ("fault",), where(3)

    def judge(self, history, *, alpha):
        raise KeyError("histogram")


def test_a_check_that_crashes_is_an_error_with_its_words():
    findings = judge([SUCCESS, Crashing()], run(), 0.95)
    assert [finding.verdict for finding in findings] == [Verdict.PASS, Verdict.ERROR]
    assert findings[1].reason == "the check crashed: KeyError: 'histogram'"
    assert findings[1].line == 23
    assert "in judge, line" in findings[1].evidence[-1]
    assert overall(findings).verdict is Verdict.ERROR


@pytest.mark.parametrize(
    ("verdict", "seen"),
    [("FAIL", Verdict.FAIL), ("PASS", Verdict.PASS), ("fail", Verdict.ERROR), (None, Verdict.ERROR)],
)
def test_a_verdict_of_a_plug_in_is_never_overlooked(verdict, seen):
    class Loose(Crashing):
        def judge(self, history, *, alpha):
            return Finding("loose", "loose", ("fault",), verdict, "by its own words")

    found = judge([SUCCESS, Loose()], run(), 0.95)
    assert found[1].verdict is seen
    assert overall(found).verdict is seen


@pytest.mark.parametrize("answer", [None, True, Verdict.PASS])
def test_an_answer_that_is_no_finding_is_an_error(answer):
    class Silent(Crashing):
        def judge(self, history, *, alpha):
            return answer

    found = judge([SUCCESS, Silent()], run(), 0.95)
    assert overall(found).verdict is Verdict.ERROR
    assert "instead of a Finding" in found[1].reason


def test_expectations_share_the_error_rate_of_a_fail():
    doubtful = run(faulty=spread(29, 4000))
    assert judge([SUCCESS], doubtful, 0.95)[0].verdict is Verdict.FAIL
    assert judge([SUCCESS] * 5, doubtful, 0.95)[0].verdict is Verdict.INCONCLUSIVE


def test_steady_state_is_what_is_expected_under_the_fault():
    during_all = replace(SUCCESS, name="all", during=("baseline", "fault", "recovery"))
    only_baseline = replace(SUCCESS, name="before", during=("baseline",))
    checks = [SUCCESS, LATENCY, during_all, only_baseline, Crashing()]
    found = steady_state(checks, run(), 0.05)
    assert [finding.name for finding in found] == ["success", "latency p99", "all"]
    assert all(finding.steady and finding.during == ("baseline",) for finding in found)
    broken = steady_state(checks, run(baseline=spread(200, 2000)), 0.05)
    assert [finding.verdict for finding in broken] == [Verdict.INVALID] * 3
    assert broken[0].reason.startswith("before any fault: 90 % of 2,000 requests were good")
    doubtful = steady_state([SUCCESS], run(baseline=spread(10, 2000)), 0.05)
    assert doubtful[0].verdict is Verdict.INCONCLUSIVE
    assert overall(judge([SUCCESS], run(), 0.95), steady=doubtful).verdict is Verdict.PASS, "inconclusive there goes on"


def test_without_a_baseline_there_is_no_steady_state_rule():
    assert steady_state([SUCCESS], history(samples(rows(T0, 10, 10)), phases(observe=10)), 0.05) == ()


# What was injected.


def injection(injected, of, before=None, after=None, proxy="ratings-v1-0.bookinfo"):
    return Injection(proxy, injected, of, "fault.delays_injected", before, after, ("a line",))


@pytest.mark.parametrize(
    ("injected", "of", "verdict"),
    [
        (5000, 10_000, Verdict.PASS),
        (0, 10_000, Verdict.INVALID),
        (4300, 10_000, Verdict.INVALID),
        (5700, 10_000, Verdict.INVALID),
        (4400, 10_000, Verdict.PASS),
        (43, 100, Verdict.PASS),
        (1, 3, Verdict.PASS),
    ],
)
def test_the_measured_share_against_the_share_asked(injected, of, verdict):
    """Wholly outside 45-55 % at 99.9 % (43 % of 10,000: 41.4-44.6 %; 44 %: 42.4-45.6 %)."""
    (found,) = injection_findings(run(faults=(fault(injection(injected, of)),)))
    assert found.verdict is verdict
    assert found.threshold == 0.5


def test_the_shares_of_several_proxies_are_added():
    (found,) = injection_findings(run(faults=(fault(injection(500, 1000), injection(510, 1000, proxy="b")),)))
    assert (found.n, found.estimate) == (2000, 0.505)
    assert found.reason == "50.5 % of 2,000 requests got the delay (99.9 % interval 46.8-54.2 %), 50 % asked"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (fault(injection(0, 0)), "no request came to reviews -> ratings:9080 while the delay was live"),
        (fault(injection(0, 400)), "none of 400 requests on reviews -> ratings:9080 got the delay"),
        (fault(injection(0, None, 3, 3)), "the proxies show no delay injected"),
        (fault(), "the run ended before a proxy was asked what the delay on reviews -> ratings:9080 did"),
        (fault(injection(50, 100), problem="colleague@x changed ratings in mid-phase"), "colleague@x changed"),
        (replace(fault(injection(50, 100)), live_at=None), "never live"),
    ],
)
def test_what_is_not_proved_is_invalid_and_says_why(made, said):
    (found,) = injection_findings(run(faults=(made,)))
    assert found.verdict is Verdict.INVALID
    assert said in found.reason
    assert overall([], proof=[found]).verdict is Verdict.INVALID


def test_an_unknown_denominator_proves_that_it_bit_but_no_share():
    (found,) = injection_findings(run(faults=(fault(injection(120, None)),)))
    assert found.verdict is Verdict.PASS
    assert found.reason.startswith("120 delays injected; of how many requests")
    check = InjectedCheck("injected", 0.5, ("fault",), where())
    assert check.judge(run(faults=(fault(injection(120, None)),)), alpha=0.05).verdict is Verdict.INVALID


def test_a_counter_alone_is_proof_only_where_there_is_no_log():
    (found,) = injection_findings(run(faults=(fault(injection(0, None, 10, 210)),)))
    assert found.verdict is Verdict.PASS
    assert found.reason.startswith("200 delays injected")
    for of, said in ((400, "none of 400 requests"), (0, "no request came")):
        (found,) = injection_findings(run(faults=(fault(injection(0, of, 10, 210)),)))
        assert found.verdict is Verdict.INVALID
        assert said in found.reason
        assert found.reason.endswith("though the proxies counted 200")


@pytest.mark.parametrize(
    ("after", "said"),
    [(505, None), (495, None), (400, "400 counted, 500 logged"), (700, "700 counted, only 500 logged")],
)
def test_counter_and_log_are_compared_with_slack_for_requests_in_flight(after, said):
    (found,) = injection_findings(run(faults=(fault(injection(500, 1000, 0, after)),)))
    lines = [line for line in found.evidence if "disagree" in line]
    assert bool(lines) == (said is not None)
    if said:
        assert said in lines[0]


def test_the_expectation_asks_for_more_than_not_refuted():
    check = InjectedCheck("injected", 0.5, ("fault",), where())
    for injected, of, verdict in (
        (5000, 10_000, Verdict.PASS),
        (50, 100, Verdict.INCONCLUSIVE),
        (4300, 10_000, Verdict.INVALID),
    ):
        found = check.judge(run(faults=(fault(injection(injected, of)),)), alpha=0.05)
        assert found.verdict is verdict


# Recovery.


def recovery(within=10.0, base=SUCCESS):
    return RecoveryCheck(f"recovery: {base.name}", base, within, where(2))


def test_recovery_judges_from_the_time_allowed_on():
    gone = T0 + 30.5
    sick_until = [i for i in range(4000) if T0 + 30 + i / 200 < gone + 9.9]
    found = recovery().judge(run(recovery=sick_until, faults=(fault(gone_at=gone),)), alpha=0.05)
    assert found.verdict is Verdict.PASS
    assert found.n == 1900
    assert found.reason.startswith("during this run, from 10 s after the fault on: 100 % of 1,900 requests")
    assert found.evidence[0].startswith("back within its limit 9.89 s after the fault was gone (watched for 19.5 s")


def test_a_service_that_stays_broken_fails():
    found = recovery().judge(run(recovery=range(0, 4000, 3), faults=(fault(gone_at=T0 + 30.5),)), alpha=0.05)
    assert found.verdict is Verdict.FAIL
    assert found.evidence[0] == "not back within its limit in the 19.5 s watched"
    assert overall([found]).reason.startswith("recovery: success: from 10 s after the fault on: 66.")


def test_a_window_too_short_is_inconclusive_and_says_what_it_takes():
    over = recovery(within=25).judge(run(faults=(fault(),)), alpha=0.05)
    assert (over.verdict, over.needs) == (Verdict.INCONCLUSIVE, 598)
    assert "before the 25 s allowed were over" in over.reason
    brief = recovery(within=18).judge(run(faults=(fault(),)), alpha=0.05)
    assert (brief.verdict, brief.n) == (Verdict.INCONCLUSIVE, 400)
    assert brief.needs == 198
    none = recovery(within=19.999).judge(run(faults=(fault(),)), alpha=0.05)
    assert (none.verdict, none.needs) == (Verdict.INCONCLUSIVE, 598)


def test_a_fault_never_seen_gone_is_invalid():
    assert recovery().judge(run(faults=(fault(gone_at=None),)), alpha=0.05).verdict is Verdict.INVALID
    assert recovery().judge(run(), alpha=0.05).verdict is Verdict.INVALID
    no_phase = history(samples(rows(T0, 10, 2000)), phases(baseline=10), (fault(),))
    assert recovery().judge(no_phase, alpha=0.05).verdict is Verdict.INVALID


def test_the_time_to_recover():
    def told(*bad):
        return recovered_after(SUCCESS, run(recovery=bad), T0 + 30, T0 + 50)

    assert told() == ("within its limit from the moment the fault was gone (watched for 20 s)",)
    assert told(100) == told(), "one of 1,000 is within 0.5 %"
    assert told(*range(0, 300))[0].startswith("back within its limit 1.49 s after")
    assert told(*range(0, 300), *range(2000, 2100))[0].startswith("back within its limit 10.5 s after"), "a relapse"
    assert told(*range(3900, 4000)) == ("not back within its limit in the 20 s watched",)


# The one verdict.


def finding(verdict, name="x", **more):
    return Finding("success", name, ("fault",), verdict, f"{name} says {verdict}", **more)


ILL = GeneratorHealth("main", 200, 120, 0.2, 0, healthy=False, reason="it started 120 requests/s of 200")
WELL = GeneratorHealth("main", 200, 200, 0.001, 0, healthy=True)


@pytest.mark.parametrize(
    ("findings", "more", "verdict", "reason"),
    [
        ([Verdict.PASS], {}, Verdict.PASS, "the expectation holds at 95 % confidence"),
        (
            [Verdict.PASS, Verdict.PASS],
            {"generator": [WELL]},
            Verdict.PASS,
            "all 2 expectations hold at 95 % confidence",
        ),
        ([Verdict.PASS, Verdict.INCONCLUSIVE], {}, Verdict.INCONCLUSIVE, "1: 1 says INCONCLUSIVE"),
        ([Verdict.INCONCLUSIVE, Verdict.INVALID], {}, Verdict.INVALID, "1: 1 says INVALID"),
        ([Verdict.INVALID, Verdict.FAIL, Verdict.FAIL], {}, Verdict.FAIL, "1: 1 says FAIL (and 1 more)"),
        ([Verdict.FAIL], {"generator": [WELL, ILL]}, Verdict.INVALID, "load main: it started 120 requests/s of 200"),
        ([Verdict.FAIL], {"steady": [finding(Verdict.INVALID, "s")]}, Verdict.INVALID, "s: s says INVALID"),
        ([Verdict.FAIL], {"proof": [finding(Verdict.INVALID, "p")]}, Verdict.INVALID, "p: p says INVALID"),
        ([Verdict.ERROR, Verdict.FAIL], {"proof": [finding(Verdict.INVALID)]}, Verdict.ERROR, "0: 0 says ERROR"),
        ([Verdict.PASS], {"stopped": finding(Verdict.FAIL, "stopIf")}, Verdict.FAIL, "stopIf: stopIf says FAIL"),
        (
            [Verdict.PASS],
            {"stopped": finding(Verdict.INCONCLUSIVE, "stopIf")},
            Verdict.INCONCLUSIVE,
            "stopIf: stopIf says INCONCLUSIVE",
        ),
        ([], {}, Verdict.INVALID, "nothing was expected, so nothing was judged"),
    ],
)
def test_precedence(findings, more, verdict, reason):
    found = overall([finding(one, str(i)) for i, one in enumerate(findings)], **more)
    assert (found.verdict, found.reason) == (verdict, reason)


# Early looks over all checks.


def test_a_phase_may_end_when_all_pass_or_one_fails():
    def going(bad, slow=()):
        made = samples(rows(T0, 20, 8000, bad=bad, slow=slow, latency=0.05 + len(bad) / 1e6))
        return history(made, (PhaseRecord("fault", T0, T0 + 20, 60, at_least=10.0),))

    other = replace(SUCCESS, name="later", during=("recovery",))
    assert look([SUCCESS, LATENCY, other], going([]), 0.95).decided
    assert len(look([SUCCESS, LATENCY, other], going([]), 0.95).findings) == 2
    assert not look([SUCCESS, LATENCY], going(spread(35, 8000)), 0.95).decided
    assert look([SUCCESS, LATENCY], going(spread(400, 8000)), 0.95).decided
    assert not look([other], going([]), 0.95).decided, "nothing about this phase, nothing to end it for"
