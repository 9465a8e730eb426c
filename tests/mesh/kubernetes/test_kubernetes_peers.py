"""What other tools were measured to do wrong on a real Istio, row by row: could not inject looked like passed, faults
were left behind, others' edits were undone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fake_runner
import pytest
from fake_api import Failure, FakeApi
from fake_shop import experiment, state

from meshchaos.errors import Locked, UserError
from meshchaos.run import events
from meshchaos.run.healing import heal
from meshchaos.run.result import Result
from tests.fakes import FakeClock

ABORT = "abort: {to: stars, httpStatus: 503, percentage: 30, at: client}"
ISTIO = "/apis/networking.istio.io/v1/namespaces/shop"


class Stage:
    """Runs of one experiment, in which something happens one second into the fault."""

    def __init__(self, api: FakeApi, config: Path) -> None:
        self.api = api
        self.config = config
        self.before = state(api)
        self.seen: list[events.Event] = []

    def run(
        self,
        *faults: str,
        during: Callable[[], object] = lambda: None,
        status: int = 200,
        signal: str | None = None,
        run_id: str = fake_runner.RUN_ID,
    ) -> Result:
        clock, signals = FakeClock(), list[str]()

        def handler(event: events.Event) -> None:
            self.seen.append(event)
            if isinstance(event, events.PhaseStarted) and event.name == "fault":
                clock.after(1.0, during)
                if signal:
                    clock.after(1.0, lambda: signals.append(signal))

        folder = self.config.parent / run_id
        folder.mkdir(exist_ok=True)
        file = experiment(self.config.parent, "peers", *(faults or (ABORT,)))
        file.write_text(file.read_text("utf-8").replace("success: 1%", "success: 50%"), "utf-8")
        return fake_runner.run(
            file,
            self.config,
            folder,
            clock=clock,
            run_id=run_id,
            behaviour=lambda at: (status, 0.01),
            handlers=[handler],
            signalled=lambda: signals[0] if signals else None,
        )

    def routes(self) -> list[dict[str, object]]:
        return list(self.api.objects["virtualservices", "shop", "stars"]["spec"]["http"])


@pytest.fixture
def stage(api: FakeApi, config: Path) -> Stage:
    return Stage(api, config)


def test_a_steady_state_that_is_broken_is_no_success(stage: Stage) -> None:
    result = stage.run(status=500)
    assert (result.exit_code, result.verdict.value) == (3, "INVALID")
    assert "no fault was applied" in result.reason
    assert not [line for line in stage.api.written if "virtualservices" in line]
    assert state(stage.api) == stage.before


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_puts_back_and_does_not_look_like_one_that_deviated(stage: Stage, signal: str) -> None:
    result = stage.run(signal=signal)
    assert (result.exit_code, result.healed, result.leftovers) == (130, True, ())
    assert state(stage.api) == stage.before


@pytest.mark.parametrize("reason", ["Forbidden", "admission webhook denied the request"])
def test_a_refused_patch_is_no_success(stage: Stage, reason: str) -> None:
    stage.api.fail = [Failure(f"PUT {ISTIO}/virtualservices/stars", 403, 99, reason=reason)]
    with pytest.raises(UserError, match="scripted 403"):
        stage.run()
    assert state(stage.api) == stage.before


def test_a_patch_that_is_refused_once_it_is_meant_is_no_success(stage: Stage) -> None:
    refused = [False, True]  # the dry run passes
    stage.api.ahead = lambda asked: (
        Failure("", 403, 1) if str(asked) == f"PUT {ISTIO}/virtualservices/stars" and refused[asked.writes] else None
    )
    result = stage.run()
    assert (result.exit_code, result.verdict.value) == (5, "ERROR")
    assert state(stage.api) == stage.before


def test_a_target_that_is_not_there_is_no_success(stage: Stage) -> None:
    with pytest.raises(UserError, match=r"peers.chaos.yaml:9:\d+: spec.faults\[0\].abort"):
        stage.run("abort: {to: starz, httpStatus: 503, at: client}")
    assert stage.api.written == []


def test_no_rights_at_all_and_no_server_at_all_are_no_success(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshchaos.mesh.kubernetes.api.PATIENCE", 0.05)
    stage.api.fail = [Failure("", 403, 999, reason="Forbidden")]
    with pytest.raises(UserError, match=r"may not do this \(403\)"):
        stage.run()
    stage.api.close()
    with pytest.raises(UserError, match="does not answer"):
        stage.run()


def test_a_fault_of_the_users_own_on_the_route_is_still_there_afterwards(stage: Stage) -> None:
    own = {"delay": {"fixedDelay": "1s", "percentage": {"value": 1}}}
    stage.api.edit("virtualservices", "shop", "stars", lambda one: one["spec"]["http"][0].update(fault=own))
    before = state(stage.api)
    with pytest.raises(UserError, match="has a fault of its owner's already; take it away, or write at: server"):
        stage.run()
    assert stage.run(ABORT.replace("client", "server")).exit_code == 0
    assert stage.routes()[0]["fault"] == own
    assert state(stage.api) == before


def test_a_reconciler_in_mid_fault_is_seen_and_named(stage: Stage) -> None:
    stored = dict(stage.api.objects["virtualservices", "shop", "stars"])

    def flagger() -> None:
        again = {**stored, "metadata": {**stored["metadata"], "managedFields": [{"manager": "flagger", "time": "9"}]}}
        stage.api.put("virtualservices", again)

    result = stage.run(during=flagger)
    assert (result.exit_code, result.verdict.value) == (3, "INVALID")
    assert "vanished in mid-phase" in result.reason
    assert "flagger wrote it last" in result.reason
    assert (result.leftovers, state(stage.api)) == ((), stage.before)


def test_a_destination_that_is_edited_in_mid_fault_leaves_no_fault(stage: Stage) -> None:
    route = [{"destination": {"host": "stars", "subset": "some"}, "weight": 100}]

    def move() -> None:
        stage.api.edit("virtualservices", "shop", "stars", lambda one: one["spec"]["http"][-1].update(route=route))

    result = stage.run(during=move)
    assert result.exit_code == 3
    (left,) = stage.routes()
    assert left["route"] == route
    assert "fault" not in left


def test_a_second_experiment_on_one_route_does_not_begin(stage: Stage) -> None:
    refused: list[str] = []

    def second() -> None:
        with pytest.raises(Locked) as caught:
            stage.run(run_id="4567cdef")
        refused.append(str(caught.value))

    assert stage.run(during=second).exit_code == 0
    assert f"run {fake_runner.RUN_ID} (" in refused[0]
    assert "holds it" in refused[0]
    assert state(stage.api) == stage.before


def test_what_a_killed_run_left_is_noticed_by_the_next(stage: Stage) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        stage.api.ahead = lambda asked: Failure("", 403, 1) if asked.writes else None  # nobody heals
        raise Killed

    with pytest.raises(Killed):
        stage.run(during=die)
    stage.api.ahead = lambda asked: None
    assert state(stage.api) != stage.before
    with pytest.raises(Locked, match="meshchaos heal --mesh real"):
        stage.run(run_id="4567cdef")
    assert heal(mesh="real", config=stage.config, force=True).exit_code == 0
    assert state(stage.api) == stage.before


def test_retries_are_not_proved_by_a_fault_that_they_never_meet(stage: Stage) -> None:
    file = experiment(stage.config.parent, "retries", ABORT)
    text = file.read_text("utf-8").replace("- success: 1%", "- retries: {from: page, to: stars, recovered: 95%}")
    file.write_text(text, "utf-8")
    with pytest.raises(UserError, match="retries"):
        fake_runner.run(file, stage.config, stage.config.parent)
    assert stage.api.written == []
