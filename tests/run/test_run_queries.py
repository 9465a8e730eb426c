"""What a run does for checks that ask a Prometheus: it waits for the answers, and keeps them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from meshchaos.checks.alert import ALERT
from meshchaos.checks.prometheus import PROMETHEUS
from meshchaos.errors import FileError, UserError
from meshchaos.experiment.config import PrometheusConfig
from meshchaos.experiment.model import Deadlines
from meshchaos.experiment.specs import build
from meshchaos.history.asks import QueryAsk
from meshchaos.history.queries import Answer, Point, Series
from meshchaos.run import events
from meshchaos.run.history_file import read_history
from meshchaos.run.judge import history_of
from meshchaos.run.plan import make_plan
from meshchaos.run.result import Result
from meshchaos.run.rooms import Scene
from meshchaos.run.vocabulary import Kinds
from tests.fakes import Builder
from tests.run.bench import EXPECT, RUN_ID, Bench


@dataclass
class Waiting:
    """An observer whose answers are there 40 s after the fault phase."""

    scene: Scene
    finished: list[float] = field(default_factory=list)

    def start(self) -> None: ...

    def collect(self) -> None: ...

    def due(self) -> float:
        return next((phase.end + 40.0 for phase in self.scene.phases() if phase.name == "fault"), 0.0)

    def finish(self) -> None:
        self.finished.append(self.scene.clock.now())

    def close(self) -> None: ...


def run(bench: Bench, during: Callable[[Waiting], None] = lambda observer: None) -> tuple[Result, Waiting]:
    engine = bench.engine()
    made: list[Waiting] = []

    def observers(scene: Scene) -> list[Waiting]:
        made.append(Waiting(scene))
        during(made[0])
        return made

    engine.rooms = replace(engine.rooms, observers=observers)
    return engine.run(), made[0]


def test_the_answers_are_waited_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    result, observer = run(bench)
    (fault,) = (e.record for e in bench.seen if isinstance(e, events.PhaseFinished) and e.record.name == "fault")
    assert result.exit_code == 0, result.reason
    assert observer.finished[0] >= fault.end + 40, "ten seconds of recovery, and thirty of waiting"
    assert bench.mesh.journal.entries() == []


def test_the_wait_ends_at_a_signal(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def interrupt() -> None:
        bench.signal = "SIGINT"

    result, observer = run(bench, lambda _: bench.clock.after(60.0, interrupt))
    assert (result.exit_code, observer.finished) == (130, [])
    assert bench.mesh.journal.entries() == []


def test_answers_are_read_from_the_runs_folder(tmp_path: Path) -> None:
    ask = QueryAsk("x[$phase]", "fault", 1.0, "settled", "Slow")
    answer = Answer(ask, "x[5s]", 7.25, (Series({"pod": "a"}, (Point(7.0, "NaN"), Point(7.25, "+Inf"))),))
    bench = Bench(tmp_path)
    run(bench, lambda observer: observer.scene.emit(events.QueryAnswered(8.0, answer)))
    found = history_of(bench.builder.build(), read_history(tmp_path), {})
    assert found.queries == {ask: answer}


KINDS = Kinds({}, {"prometheus": PROMETHEUS, "alert": ALERT})
ASKING = (
    ("prometheus", build(PROMETHEUS.kind, {"query": "x", "atMost": 1})),
    ("alert", build(ALERT.kind, {"name": "a", "settle": "2m"})),
)


def plan(builder: Builder, prometheus: PrometheusConfig | None, tmp_path: Path) -> tuple[QueryAsk, ...]:
    mesh = Bench(tmp_path).mesh
    made = make_plan(
        builder.build(), mesh.snapshot(), KINDS, slos={}, run_id=RUN_ID, seed=1, entries={}, prometheus=prometheus
    )
    return made.queries


def test_a_mesh_without_a_prometheus_is_the_users_mistake(tmp_path: Path) -> None:
    builder = Builder(expect=ASKING, faults=(), phases=(replace(Builder().phases[1], name="observe"),))
    assert len(plan(builder, PrometheusConfig("http://p"), tmp_path)) == 3
    with pytest.raises(FileError, match="the mesh has no Prometheus to ask: write `prometheus:"):
        plan(builder, None, tmp_path)


def test_the_runs_deadline_has_to_leave_time_for_it(tmp_path: Path) -> None:
    phases = (replace(Builder().phases[1], name="observe"),)
    builder = Builder(expect=ASKING, faults=(), phases=phases, deadlines=Deadlines(run=60.0))
    with pytest.raises(UserError, match="the phases take 10s and the run about 135s more"):
        plan(builder, PrometheusConfig("http://p"), tmp_path)


def test_nobody_is_asked_where_nothing_is(tmp_path: Path) -> None:
    assert Bench(tmp_path, Builder(expect=EXPECT)).engine().plan.queries == ()
