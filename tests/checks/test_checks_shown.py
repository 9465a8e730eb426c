"""Faults that no request carries: what counts as seen, and what makes the run INVALID."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshchaos.checks.kind import Verdict
from meshchaos.checks.shown import shown_finding
from meshchaos.history.records import ClusterShare, FaultRecord

RECORD = FaultRecord("chaos-1-0", 0, "timeout", "client", "a -> b", "r", None, (), 1.0, 1.1, 9.0, 9.1, proof="config")


def weights(*shares: tuple[float, int, int]) -> FaultRecord:
    made = tuple(ClusterShare(f"v{number}", *share) for number, share in enumerate(shares))
    return replace(RECORD, proof="weights", shares=made)


def test_what_proxies_ran_is_said_to_be_no_more_than_that() -> None:
    found = shown_finding(replace(RECORD, shown=("2 proxies ran x", "p: timeout: 0s -> 1s")))
    assert found.verdict is Verdict.PASS
    assert found.reason == "2 proxies ran x; it shows what the proxies run, not that a request met it"
    assert found.evidence == ("2 proxies ran x", "p: timeout: 0s -> 1s")
    held = shown_finding(replace(RECORD, proof="accepted", shown=("the mesh held x",)))
    assert held.reason == "the mesh held x; it shows that the mesh holds it, not what it does"


def test_nothing_seen_is_never_a_proof() -> None:
    assert shown_finding(RECORD).verdict is Verdict.INVALID
    assert shown_finding(weights((1.0, 0, 0))).verdict is Verdict.INVALID
    seen = replace(RECORD, shown=("x",))
    assert shown_finding(replace(seen, problem="it vanished")).reason == "it vanished"
    assert shown_finding(replace(seen, live_at=None)).verdict is Verdict.INVALID


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        (((0.9, 900, 1000), (0.1, 100, 1000)), Verdict.PASS),
        (((0.9, 820, 1000), (0.1, 180, 1000)), Verdict.INVALID),
        (((0.9, 9, 10), (0.1, 1, 10)), Verdict.PASS),
        (((0.5, 30, 30), (0.5, 0, 30)), Verdict.INVALID),
        (((1.0, 1000, 1000), (0.0, 0, 1000)), Verdict.PASS),
        (((1.0, 999, 1000), (0.0, 1, 1000)), Verdict.INVALID),
    ],
)
def test_weights_are_judged_by_their_interval(shares: tuple[tuple[float, int, int], ...], verdict: Verdict) -> None:
    assert shown_finding(weights(*shares)).verdict is verdict
