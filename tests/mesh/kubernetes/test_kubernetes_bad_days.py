"""An API server that has a bad day while a run lasts: the run goes on or says why not, and nothing of it is left."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import fake_runner
import pytest
from fake_api import CUT, Asked, Failure, FakeApi, nobody
from fake_shop import experiment, state

from meshchaos.errors import MeshchaosError
from meshchaos.mesh.kubernetes import api as module
from meshchaos.run.healing import heal
from meshchaos.run.result import Result

DELAY = "delay: {to: stars, fixedDelay: 10ms, replicas: 1}"
ABORT = "abort: {to: stars, httpStatus: 503, at: client}"


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.001)


def run(config: Path, *faults: str) -> Result:
    folder = config.parent / "run"
    folder.mkdir(exist_ok=True)
    return fake_runner.run(experiment(config.parent, "bad-day", *faults), config, folder)


def outcome(config: Path, *faults: str) -> tuple[int, str]:
    """Exit code and reason of a run, or of its planning, and what was left."""
    try:
        result = run(config, *faults)
    except MeshchaosError as error:
        return error.exit_code, str(error)
    return result.exit_code, " ".join((result.reason, *result.leftovers))


class EverySecond:
    """Fails the first of any two equal requests."""

    def __init__(self, status: int, *, late: float = 0.0, lists: bool = False, writes: bool = False) -> None:
        self.failed = 0
        self._seen: Counter[str] = Counter()
        self._how = (status, late)
        self._lists = lists
        self._writes = writes

    def __call__(self, asked: Asked) -> Failure | None:
        passes = (self._lists and not asked.right.startswith("list")) or (self._writes and not asked.writes)
        self._seen[str(asked)] += 1
        if passes or self._seen[str(asked)] % 2 == 0:
            return None
        self.failed += 1
        status, late = self._how
        return Failure("", status, 1, {"Retry-After": "0"}, late=late)


@pytest.mark.parametrize("status", [429, 500, 503, CUT])
def test_every_request_fails_once(api: FakeApi, config: Path, status: int) -> None:
    before = state(api)
    api.ahead = failing = EverySecond(status)
    result = run(config, DELAY, ABORT)
    api.ahead = nobody
    assert (result.verdict.value, result.exit_code, result.leftovers) == ("PASS", 0, ())
    assert failing.failed > 60
    assert state(api) == before


def test_every_listing_expires_once(api: FakeApi, config: Path) -> None:
    before = state(api)
    api.ahead = failing = EverySecond(410, lists=True)
    assert outcome(config, DELAY)[0] == 0
    assert failing.failed > 10
    assert state(api) == before


def test_every_write_is_answered_too_late(api: FakeApi, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state(api)
    monkeypatch.setattr(module, "_TIMEOUT", (5.0, 0.1))
    api.ahead = failing = EverySecond(200, late=0.15, writes=True)
    assert outcome(config, DELAY, ABORT)[0] == 0
    assert failing.failed > 10
    assert state(api) == before


@pytest.mark.parametrize("status", [500, 503, CUT])
def test_from_some_write_on_nobody_answers(
    api: FakeApi, config: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.004)
    before = state(api)
    writes = down_from = 0
    while True:
        writes, down_from = 0, down_from + 1

        def ahead(asked: Asked, first: int = down_from) -> Failure | None:
            nonlocal writes
            writes += asked.writes
            return Failure("", status) if writes >= first else None

        api.ahead = ahead
        code, reason = outcome(config, ABORT)
        api.ahead = nobody
        if writes < down_from:
            break
        assert code in (4, 5), reason
        assert ("does not answer" if status == CUT else f"answers {status} to") in reason
        healed = heal(mesh="real", config=config, force=True)
        assert healed.exit_code == 0, healed.lines
        assert state(api) == before
        if code == 5:
            assert state(api) == before
    assert down_from > 8


WITHOUT_IT_ALL_THE_SAME = {
    "list pods in istio-system",
    "list services in istio-system",
    "list deployments in istio-system",
    "get configmaps in istio-system",
    "get namespaces in the cluster",
    *(
        f"list {plural} in istio-system"
        for plural in (
            "virtualservices",
            "destinationrules",
            "gateways",
            "serviceentries",
            "sidecars",
            "envoyfilters",
            "peerauthentications",
            "requestauthentications",
            "authorizationpolicies",
            "telemetries",
        )
    ),
}
"""Rights that make a run see more, and that it goes without."""


def test_each_right_lacks_in_turn(api: FakeApi, config: Path) -> None:
    before = state(api)
    used: dict[str, None] = {}
    faults = (DELAY, "connectionPool: {to: stars, http: {http1MaxPendingRequests: 100}}")
    api.behind = lambda asked: used.setdefault(asked.right)
    outcome(config, *faults)
    api.behind = nobody
    used.pop("", None)
    assert len(used) > 30
    went_on = set()
    for right in used:
        api.ahead = lambda asked, right=right: Failure("", 403, 1, reason="Forbidden") if asked.right == right else None
        code, reason = outcome(config, *faults)
        api.ahead = nobody
        if "403" not in reason:
            assert code in (0, 3)
            went_on.add(right)
            assert state(api) == before, right
            continue
        assert "may not do this (403)" in reason, (right, reason)
        assert code in (2, 5), (right, reason)
        assert state(api) == before, right
    assert went_on == WITHOUT_IT_ALL_THE_SAME
