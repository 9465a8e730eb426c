"""Loads in tests of a user's own, by real Locusts on real Envoys; what they came to, and how a failure reads."""

from __future__ import annotations

import pytest

from tests.plugin.project import Project

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

HOLDS = """
import math, pytest

def test_before_and_under_a_fault(chaos):
    with chaos.load("http://shop.example/", rate=40) as load:
        before = load.during("1s")
        with chaos.abort(to="page", httpStatus=503) as fault:
            under = load.during("1s")
        assert load.so_far().requests > before.requests + under.requests
    assert (before.success, before.failures) == (1, 0)
    assert 0 < before.p50 <= before.p99 < 5
    assert 20 < under.requests == under.failures
    assert (under.success, under.p99) == (0, math.inf)
    assert sum(one.injected for one in fault.record.injections) >= under.requests
    chaos.expect(before, success="80%", latency={"p50": "5s"})
    with pytest.raises(AssertionError, match=r"FAIL: success: during this run 0 % of|FAIL: success: 0 % of"):
        chaos.expect(under, success="80%")

def test_from_a_workload(chaos):
    with chaos.load("http://stars:8000/", from_="page", rate="40/s", arrivals="uniform", name="stars") as load:
        with chaos.delay(to="stars", fixedDelay="300ms"):
            slow = load.during("1s")
    assert 0.3 <= slow.p50 < 3
    assert repr(slow) == "load stars for 1 s"

@pytest.mark.parametrize("fields, words", [
    ({"rate": "fast"}, r"chaos.load: rate: .* not 'fast'"),
    ({"rate": 10, "from_": "pagee"}, r"chaos.load: there is no workload 'pagee'"),
    ({"rate": 10, "timeout": "soon"}, r"chaos.load: timeout: 'soon' is"),
    ({"rate": 10, "retries": 3}, r"chaos.load: retries"),
    ({"rate": 10, "locustfile": "a.py"}, r"chaos.load: a locustfile needs an experiment"),
])
def test_mistakes(chaos, fields, words):
    with pytest.raises(Exception, match=words), chaos.load("http://shop.example/", **fields):
        pass

def test_outside_of_with(chaos):
    with pytest.raises(Exception, match="was not entered: write `with chaos.load"):
        chaos.load("http://shop.example/", rate=1).during("1s")
    with chaos.load("http://shop.example/", rate=10) as load, pytest.raises(Exception, match="during.*write"):
        load.during(5)
"""
FAILS = """
def test_plainly(chaos):
    with chaos.load("http://shop.example/", rate=40) as load, chaos.abort(to="page", httpStatus=503):
        result = load.during("1s")
    assert result.success >= 0.99

def test_expected(chaos):
    with chaos.load("http://shop.example/", rate=40) as load, chaos.abort(to="page", httpStatus=503):
        result = load.during("1s")
    chaos.expect(result, success="99%", latency={"p99": "1s"})

def test_undecided(chaos):
    with chaos.load("http://shop.example/", rate=20) as load:
        result = load.during("1s")
    chaos.expect(result, success="99.99%")
"""


def test_loads(up: Project) -> None:
    up.write("tests/test_loads.py", HOLDS)
    ran = up.pytest("tests/test_loads.py")
    assert (ran.code, ran.outcomes()) == (0, "8 passed")


def test_failures_read(up: Project) -> None:
    up.write("tests/test_fails.py", FAILS)
    ran = up.pytest("tests/test_fails.py", "--meshchaos-inconclusive=skip", "-rs")
    assert (ran.code, ran.outcomes()) == (1, "2 failed, 1 skipped")
    assert ">= 0.99" in ran.text
    assert "E       assert 0 % (0 of " in ran.text
    assert " were good, 95 % bounds 0-" in ran.text
    assert " = load main for 1 s.success" in ran.text
    assert "E       pytest_meshchaos.chaos.ExpectationFailed: FAIL: success: " in ran.text
    assert "FAIL         latency p99: " in ran.text
    assert "meshchaos/run" not in ran.text, "the way through our own code is nobody's"
    assert "INCONCLUSIVE: success: " in ran.text
    assert "more requests would" in ran.text
