"""``stopIf``, fed as a run would feed it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from histories import T0, rows, samples

from meshchaos.checks.kind import Verdict
from meshchaos.checks.stop import StopRule
from meshchaos.experiment.model import StopIf

RATE = 200


@dataclass
class Beat:
    at: float
    due: int
    in_flight: int = 0
    oldest: float = 0.0
    resolved: float = 0.0


def feed(rule, made, until, *, step=0.25, start=T0, lag=0.0, name="main"):
    """Looks every ``step`` seconds; each row is there ``latency`` after its start. The first finding, and when."""
    steps = round((until - start) / step)
    for i in range(1, steps + 1):
        now = start + i * step
        begun = made[made["start"] <= now - lag]
        ended = begun["start"] + begun["latency"] <= now
        waiting = begun[~ended]
        oldest = float(now - waiting["start"].min()) if len(waiting) else 0.0
        beat = Beat(now, len(begun), len(waiting), oldest, now - oldest if len(waiting) else now)
        found = rule.look(now, [samples(begun[ended], load=name)], {name: beat})
        if found is not None:
            return found, now - start
    return None, None


def test_a_good_run_goes_on():
    found, _ = feed(
        StopRule(StopIf(0.5), T0, slow_after=0.8), rows(T0, 60, 60 * RATE, bad=range(0, 12_000, 3)), T0 + 60
    )
    assert found is None, "two of three are good, and half is allowed"


def test_below_the_limit_for_sure_stops_soon():
    found, after = feed(StopRule(StopIf(0.5), T0), rows(T0, 60, 60 * RATE, bad=range(12_000)), T0 + 60)
    assert found.verdict is Verdict.FAIL
    assert found.name == "stopIf success below 50 %"
    assert after <= 0.5
    assert "since the fault were good" in found.reason
    assert found.reason.endswith("below 50 %: healed at once")


def test_what_was_before_the_fault_is_not_counted():
    before = rows(T0, 10, 10 * RATE, bad=range(2000))
    found, _ = feed(StopRule(StopIf(0.5), T0 + 10), before, T0 + 10.5, start=T0 + 10)
    assert found is None


def test_the_last_ten_seconds_are_seen_under_a_long_good_start():
    made = rows(T0, 120, 120 * RATE, bad=range(100 * RATE, 120 * RATE))
    found, after = feed(StopRule(StopIf(0.5), T0), made, T0 + 120, step=0.5)
    assert found.verdict is Verdict.FAIL
    assert "in the last 10 s" in found.reason
    assert 103 <= after <= 110


def test_requests_in_flight_beyond_the_loosest_limit_count_as_bad():
    """Every second request hangs for 10 s: none of those has ended when the others look well."""
    made = rows(T0, 20, 20 * RATE, slow=range(0, 4000, 2), slow_latency=10.0)
    strict, after = feed(StopRule(StopIf(0.8), T0, slow_after=0.8), made, T0 + 8)
    assert strict.verdict is Verdict.FAIL
    assert "still waiting" in strict.reason
    assert 0.8 < after < 3
    lenient, _ = feed(StopRule(StopIf(0.8), T0), made, T0 + 8)
    assert lenient is None


def test_dropped_arrivals_are_left_out():
    found, _ = feed(StopRule(StopIf(0.5), T0), rows(T0, 10, 10 * RATE, dropped=range(0, 2000, 2)), T0 + 10)
    assert found is None


@pytest.mark.parametrize("dropped", [(), range(1000, 2000)])
def test_two_seconds_without_an_answer_stop_the_run_and_prove_nothing(dropped):
    """From the third second on nothing is answered; arrivals dropped at the cap are no answers."""
    made = rows(T0, 10, 10 * RATE, slow=range(600, 2000), slow_latency=60.0, dropped=dropped)
    made["latency"][list(dropped)] = 0.0
    found, after = feed(StopRule(StopIf(0.5), T0), made, T0 + 10)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no answer at all for 2" in found.reason
    assert 5 <= after <= 5.5


def test_a_generator_that_fell_silent_stops_the_run():
    rule = StopRule(StopIf(0.5), T0)
    made = samples(rows(T0, 1, RATE))
    beat = Beat(T0 + 1, RATE, resolved=T0 + 1)
    assert rule.look(T0 + 1, [made], {"main": beat}) is None
    assert rule.look(T0 + 2.5, [made], {"main": beat}) is None
    found = rule.look(T0 + 3.5, [made], {"main": beat})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no pulse" in found.reason


def test_a_slow_trickle_is_not_silence():
    """One request in 4 s, answered at once: nothing is in flight, so nothing is missing."""
    found, _ = feed(StopRule(StopIf(0.5), T0), rows(T0, 60, 15), T0 + 60)
    assert found is None


def test_one_load_of_two():
    sick = rows(T0, 10, 10 * RATE, bad=range(2000))
    found, _ = feed(StopRule(StopIf(0.5, load="api"), T0), sick, T0 + 10, name="api")
    assert found.name == "stopIf success api below 50 %"
    two = [samples(rows(T0, 10, 2000), load="shop"), samples(sick, load="api")]
    beats = {"shop": Beat(T0 + 10, 2000, resolved=T0 + 10), "api": Beat(T0 + 10, 2000, resolved=T0 + 10)}
    assert StopRule(StopIf(0.5, load="shop"), T0).look(T0 + 10, two, beats) is None
    assert StopRule(StopIf(0.5, load="api"), T0).look(T0 + 10, two, beats) is not None
    assert StopRule(StopIf(0.6), T0).look(T0 + 10, two, beats) is not None, "both together: half"
