"""Expectations about an edge, each on a mesh where it truly holds and on one where it is truly broken."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points

import pytest

from tests.e2e.stage import Stage, said, stage
from tests.e2e.truths import EDGES, FILE, KINDS, POLICIES, ROUTE, SAVING, TRUTHS, WITHOUT, Truth

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

SEEN = (
    "success: {from: page, to: stars, atLeast: 90%}}, {latency: {to: stars, from: page, p80: 500ms}}, "
    "{recovery: {within: 300ms}"
)
TRIES = "timeout: {from: page, to: stars, after: 300ms, tolerance: 100ms, perTry: true}"
STUCK = "delay: {to: stars, fixedDelay: 1s}"


def tries_of(time: str) -> str:
    return ROUTE.format(policy=f"retries: {{attempts: 2, retryOn: 5xx, perTryTimeout: {time}}}")


CASES = [
    *EDGES,
    Truth("timeout of each attempt", True, "300 ms for each of 3", tries_of("300ms"), STUCK, TRIES),
    Truth("timeout of each attempt", False, "75 ms, which make up 225 ms", tries_of("75ms"), STUCK, TRIES),
    *(truth for truth in POLICIES if truth.kind != "mutualTLS"),
    Truth(
        kind="edge success",
        holds=True,
        mesh="retries",
        objects=SAVING,
        faults="abort: {to: stars, httpStatus: 503, percentage: 10}",
        expect=SEEN,
        recovery="1500ms",
    ),
    Truth(
        kind="edge success",
        holds=False,
        mesh="no retries",
        objects=WITHOUT,
        faults="abort: {to: stars, httpStatus: 503, percentage: 50}",
        expect=SEEN,
        recovery="1500ms",
    ),
]


@pytest.fixture
def shop() -> Iterator[Stage]:
    with stage() as made:
        yield made


@pytest.mark.parametrize("truth", CASES, ids=[truth.name for truth in CASES])
def test_an_edge_is_judged_right(shop: Stage, truth: Truth) -> None:
    truth.set_up(shop)
    code = 0 if truth.holds else 1
    text = shop.judges(code, "run", FILE)
    result = shop.newest()
    told = [f"{one['verdict']} {one['name']}: {one['reason']}" for one in result["expectations"]]
    print("\n".join([*told, *(line for one in result["expectations"] for line in one["evidence"])]))
    assert result["verdict"] == truth.verdict, text
    shop.fails(code, "report", str(shop.newest_folder()))


def test_an_edge_that_is_broken_before_the_fault_is_known_then(shop: Stage) -> None:
    Truth(
        kind="success",
        holds=False,
        mesh="fails always",
        objects=ROUTE.format(policy="fault: {abort: {httpStatus: 503, percentage: {value: 100}}}"),
        faults="delay: {to: stars, fixedDelay: 10ms}",
        expect="success: {from: page, to: stars, atLeast: 90%}",
    ).set_up(shop)
    with shop.running("run", FILE) as run:
        code = run.end()
    result = shop.newest()
    assert (result["verdict"], code) == ("INVALID", 3), said(run)
    assert result["reason"].startswith("steady state: success page -> stars: before any fault: 0 % of"), result[
        "reason"
    ]
    assert result["reason"].endswith("no fault was applied")
    assert [one["appliedAt"] for one in result["faults"]] in ([], [None])


def test_there_are_two_truths_about_each_kind() -> None:
    assert [(truth.kind, truth.holds) for truth in TRUTHS] == [
        (kind, holds) for kind in KINDS for holds in (True, False)
    ]
    others = {"slo": "success and latency", "injected": "every run's own proof"}
    assert {point.name for point in entry_points(group="meshchaos.checks")} - {"paint"} <= {*KINDS, *others}
