"""Several experiments: validated first, one mesh a name, the worst exit code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from meshchaos.checks.prometheus import PROMETHEUS
from meshchaos.errors import Locked, MeshError, UserError
from meshchaos.experiment.config import Config, PrometheusConfig
from meshchaos.experiment.model import Experiment, Secret
from meshchaos.experiment.specs import build
from meshchaos.run.catalog import Catalog
from meshchaos.run.rooms import Rooms
from meshchaos.run.suite import Suite
from tests.fakes import Builder, FakeClock, FakeFaultSpec, FakeLoad, FakeMesh, FakeProver, fine
from tests.run.bench import EXPECT, KINDS


class Fixture:
    """A suite on fakes; ``bad`` names experiments whose requests all fail."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.opened: list[FakeMesh] = []
        self.ran: list[str] = []
        self.bad: set[str] = set()
        self.present = ""
        monkeypatch.setattr("meshchaos.run.interrupts.Interrupts.clock", lambda _: self.clock)
        monkeypatch.setattr(Catalog, "mesh_name", lambda _, experiment: experiment.mesh or "fake")

    def experiment(self, name: str, **changes: object) -> Experiment:
        builder = replace(Builder(expect=EXPECT), **changes)  # type: ignore[arg-type]
        return replace(builder.build(), name=name)

    def open(self, name: str, logs: Path) -> FakeMesh:
        mesh = FakeMesh(self.clock)
        self.opened.append(mesh)
        return mesh

    def suite(self, *experiments: Experiment, fail_fast: bool = False) -> Suite:
        rooms = Rooms(
            driver=lambda plan, limit: FakeLoad(plan, self.clock, self.behaviour),
            prover=lambda mesh, placement, run_id: FakeProver(placement.proof.share),
            log_headers=lambda placements: (),
            probe=lambda load, timeout: None,
        )
        catalog = Catalog(Config(None, self.folder), KINDS, None, None)
        return Suite(
            catalog=catalog,
            experiments=experiments,
            rooms=rooms,
            opener=self.open,
            output=self.folder / "reports",
            handlers=[self.seen],
            fail_fast=fail_fast,
        )

    def seen(self, event: object) -> None:
        name = getattr(event, "experiment", None)
        if name is not None:
            self.present = name
            self.ran.append(name)

    def behaviour(self, at: float) -> tuple[int, float]:
        return (503, 0.01) if self.present in self.bad else fine(at)


@pytest.fixture
def fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fixture:
    return Fixture(tmp_path, monkeypatch)


def test_one_after_another_on_one_mesh_which_is_closed_at_the_end(fixture: Fixture) -> None:
    with fixture.suite(fixture.experiment("a"), fixture.experiment("b")) as suite:
        done = suite.run()
    assert (fixture.ran, done.exit_code) == (["a", "b"], 0)
    (mesh,) = fixture.opened
    assert mesh.closed
    assert len({result.run_id for result in done.results}) == 2
    assert {result.seed for result in done.results} == {suite.seed}


def test_the_worst_exit_code_is_the_suites(fixture: Fixture) -> None:
    fixture.bad = {"a"}
    with fixture.suite(fixture.experiment("a"), fixture.experiment("b")) as suite:
        done = suite.run()
    assert ([result.exit_code for result in done.results], done.exit_code) == ([3, 0], 3)


def test_fail_fast_names_what_was_not_run(fixture: Fixture) -> None:
    fixture.bad = {"a"}
    with fixture.suite(fixture.experiment("a"), fixture.experiment("b"), fail_fast=True) as suite:
        done = suite.run()
    assert (fixture.ran, done.skipped, done.exit_code) == (["a"], ("b",), 3)


def test_a_mistake_in_the_last_runs_nothing_and_leaves_no_folder(fixture: Fixture) -> None:
    late = fixture.experiment("b")
    late = replace(late, deadlines=replace(late.deadlines, run=20.0))
    with (
        pytest.raises(UserError, match=r"deadlines\.run"),
        fixture.suite(fixture.experiment("a"), late) as suite,
    ):
        suite.run()
    assert fixture.ran == []
    assert list((fixture.folder / "reports").iterdir()) == []


def test_a_secret_for_prometheus_that_is_not_there_runs_nothing(
    fixture: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = Secret("env", "MESHCHAOS_NO_SUCH_TOKEN", "Bearer ")
    config = PrometheusConfig("https://p", {"Authorization": token})
    monkeypatch.setattr(Catalog, "prometheus", lambda *_: config)
    asking = fixture.experiment("b", expect=(("prometheus", build(PROMETHEUS.kind, {"query": "x", "atMost": 1})),))
    kinds = replace(KINDS, checks={**KINDS.checks, "prometheus": PROMETHEUS})
    with fixture.suite(fixture.experiment("a"), asking) as suite:
        suite.catalog = replace(suite.catalog, kinds=kinds)
        with pytest.raises(UserError, match="MESHCHAOS_NO_SUCH_TOKEN is not set"):
            suite.run()
    assert fixture.ran == []


def test_leftovers_end_the_suite(fixture: Fixture) -> None:
    with fixture.suite(fixture.experiment("a"), fixture.experiment("b")) as suite:
        suite.mesh("fake", fixture.folder).fail["delete"] = [MeshError("no")]  # type: ignore[attr-defined]
        done = suite.run()
    assert (fixture.ran, done.exit_code, done.skipped) == (["a"], 4, ("b",))


def test_after_an_error_the_next_gets_a_new_mesh(fixture: Fixture) -> None:
    with fixture.suite(fixture.experiment("a"), fixture.experiment("b")) as suite:
        suite.mesh("fake", fixture.folder).fail["observe"] = [MeshError("broken")]  # type: ignore[attr-defined]
        done = suite.run()
    assert [result.exit_code for result in done.results] == [5, 0]
    assert len(fixture.opened) == 2
    assert all(mesh.closed for mesh in fixture.opened)


def test_a_held_mesh_starts_nothing(fixture: Fixture) -> None:
    with fixture.suite(fixture.experiment("a")) as suite:
        suite.mesh("fake", fixture.folder).open("beef", "ann@laptop", (), 30.0)  # type: ignore[attr-defined]
        with pytest.raises(Locked, match=r"run beef .* it is over, say: meshchaos heal --mesh fake --force"):
            suite.run()
    assert fixture.ran == []


def test_a_plan_changes_nothing(fixture: Fixture) -> None:
    experiment = fixture.experiment("a", faults=(FakeFaultSpec(), FakeFaultSpec(edit=True)))
    with fixture.suite(experiment) as suite:
        plan, mesh = suite.plan(experiment)
        assert [diff.before is None for diff in plan.diffs] == [True, False]
        assert "+  timeout1: 1s" in plan.diffs[1].text
        assert mesh.calls == []  # type: ignore[attr-defined]
    assert not (fixture.folder / "reports").exists()
