"""An engine on fakes, ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshchaos.checks.latency import LATENCY, LatencySpec
from meshchaos.checks.recovery import RECOVERY
from meshchaos.checks.success import SUCCESS, SuccessSpec
from meshchaos.load.driver import LoadPlan
from meshchaos.run import events
from meshchaos.run.engine import Engine
from meshchaos.run.loads import entries_of
from meshchaos.run.plan import make_plan
from meshchaos.run.result import Result
from meshchaos.run.rooms import Rooms
from meshchaos.run.vocabulary import Kinds
from tests.fakes import Behaviour, Builder, FakeClock, FakeFaultKind, FakeLoad, FakeMesh, FakeProver, fine

RUN_ID = "0123abcd"
EXPECT = (("success", SuccessSpec(0.99)), ("latency", LatencySpec({"p99": 0.8})))
KINDS = Kinds({"fake": FakeFaultKind()}, {"success": SUCCESS, "latency": LATENCY, "recovery": RECOVERY})


@dataclass
class Bench:
    folder: Path
    builder: Builder = field(default_factory=lambda: Builder(expect=EXPECT))
    behaviour: Behaviour = fine
    clock: FakeClock = field(default_factory=FakeClock)
    prover: FakeProver | None = None
    silent: str | None = None
    signal: str | None = None
    seen: list[events.Event] = field(default_factory=list)
    handlers: Sequence[events.Handler] = ()
    loads: list[FakeLoad] = field(default_factory=list)
    prepare: Any = None

    def __post_init__(self) -> None:
        self.mesh = FakeMesh(self.clock)
        self.before = self.mesh.without_versions()

    def engine(self) -> Engine:
        experiment = self.builder.build()
        entries = entries_of(experiment, self.mesh.entry, "shop")
        plan = make_plan(experiment, self.mesh.snapshot(), KINDS, slos={}, run_id=RUN_ID, seed=1, entries=entries)
        rooms = Rooms(
            driver=self._driver,
            prover=lambda mesh, placement, run_id: self.prover or FakeProver(placement.proof.share),
            log_headers=lambda placements: (),
            probe=lambda load, timeout: self.silent,
        )
        return Engine(
            plan=plan,
            mesh=self.mesh,
            rooms=rooms,
            clock=self.clock,
            folder=self.folder,
            handlers=[self.seen.append, *self.handlers],
            slos={},
            interrupted=lambda: self.signal,
            heal_command="meshchaos heal --mesh fake",
        )

    def run(self) -> Result:
        return self.engine().run()

    def steps(self) -> list[str]:
        return [event.step for event in self.seen if isinstance(event, events.FaultChanged)]

    def phases(self) -> list[tuple[str, str | None]]:
        return [(e.record.name, e.record.cut) for e in self.seen if isinstance(e, events.PhaseFinished)]

    def in_fault_phase(self, do: Any, after: float = 5.0) -> None:
        """Does something ``after`` seconds into the fault phase."""

        def handler(event: events.Event) -> None:
            if isinstance(event, events.PhaseStarted) and event.name == "fault":
                self.clock.after(after, do)

        self.handlers = [*self.handlers, handler]

    def _driver(self, plan: LoadPlan, limit: float | None) -> FakeLoad:
        load = FakeLoad(plan, self.clock, self.behaviour)
        self.loads.append(load)
        if self.prepare is not None:
            self.prepare(load)
        return load
