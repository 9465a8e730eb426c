"""The fault phase: faults applied, each confirmed live and proved; those with times of their own as these come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from meshchaos.errors import EvidenceError
from meshchaos.experiment.model import Phase
from meshchaos.faults.kind import Placement
from meshchaos.history.records import FaultRecord
from meshchaos.mesh.seam import Mesh
from meshchaos.run import events
from meshchaos.run.clock import Clock
from meshchaos.run.faultset import FaultSet
from meshchaos.run.looking import collect
from meshchaos.run.outcome import RunStopped
from meshchaos.run.plan import Plan
from meshchaos.run.recorder import Recorder
from meshchaos.run.rooms import Prover, Rooms
from meshchaos.run.standing import Standing
from meshchaos.run.timeline import Action, Do, Timeline
from meshchaos.run.watch import Watch


class Through(Protocol):
    """Lives through one phase from a time on; ``act`` does what is due and returns when it wants to be called again."""

    def __call__(
        self,
        watch: Watch,
        phase: Phase,
        at: float,
        faults: FaultSet | None,
        *,
        provers: Mapping[str, Prover],
        act: Callable[[float], float],
    ) -> None: ...


@dataclass
class FaultPhase:
    """That of one run. ``provers`` by the placements' ids, each made before its fault's first change."""

    plan: Plan
    mesh: Mesh
    rooms: Rooms
    clock: Clock
    standing: Standing
    watch: Watch
    faults: FaultSet
    provers: dict[str, Prover] = field(default_factory=dict)

    def run(self, through: Through) -> None:
        """Nothing where the experiment has no faults. Raises RunStopped, and what the mesh raises."""
        phase = self.plan.experiment.phase("fault")
        if phase is None or not self.plan.placements:
            return
        timeline = Timeline(self.plan.placements, self.plan.timings, phase.at_most)
        for placement in timeline.first:
            self._apply(placement)
        lives = [record.live_at for record in self.faults.records.values() if record.live_at]
        start = max(lives, default=self.clock.now())
        timeline.begin(start)
        self._name_state()

        def act(now: float) -> float:
            while (action := timeline.due(now)) is not None:
                self._carry_out(action, timeline)
                now = self.clock.now()
            return timeline.next_at()

        through(self.watch, phase, start, self.faults, provers=self.provers, act=act)
        if timeline.never_applied:
            late = timeline.never_applied[0]
            text = f"{late.id} ({late.edge}) was never applied: what came before it took until the end of the phase"
            raise RunStopped("invalid", text)

    def prove(self, recorder: Recorder) -> None:
        """Reads what the proxies say of each fault that was live; what it cannot be told goes into its record."""
        for placement in self.plan.placements:
            record = self.faults.records[placement.id]
            if placement.id not in self.provers or record.live_at is None:
                continue
            try:
                record = proved(self.provers[placement.id], record)
            except EvidenceError as error:
                record = replace(record, problem=record.problem or str(error))
            self.faults.records[placement.id] = record
            recorder.emit(events.Evidence(self.clock.now(), record))

    def on_the_mesh(self) -> str:
        """What may be on it, in words."""
        changes = [str(change.ref) for change in self.plan.changes]
        kills = [f"kills of {one.kill.workload}" for one in self.plan.placements if one.kill is not None]
        return ", ".join((*changes, *kills))

    def _apply(self, placement: Placement) -> None:
        self.watch.stop()
        self.standing.state = f"applying {placement.id} ({placement.edge})"
        try:
            self.provers[placement.id] = self.rooms.prover(self.mesh, placement, self.plan.run_id)
        except EvidenceError as error:
            raise RunStopped("invalid", f"{placement.id} could not be proved: {error}; it was not applied") from error
        self.faults.apply(placement)
        collect((self.provers[placement.id],))

    def _carry_out(self, action: Action, timeline: Timeline) -> None:
        """What is due in the middle of the phase."""
        placement, phase = action.placement, self.standing.phase
        self.standing.phase = None  # what is asked in the middle of a change is about neither side of it
        match action.do:
            case Do.APPLY:
                self._apply(placement)
                timeline.live(placement, self.faults.records[placement.id].live_at or self.clock.now())
            case Do.STEP:
                self.faults.step(self.plan.timings[placement.id].steps[action.step].placement)
            case Do.KILL:
                self.faults.kill_again(placement)
            case Do.UNDO:
                self.faults.remove(placement)
        self.standing.phase = phase
        self._name_state()

    def _name_state(self) -> None:
        self.standing.state = f"fault phase; may be applied now: {self.on_the_mesh()}"


def proved(prover: Prover, record: FaultRecord) -> FaultRecord:
    """With what the proxies say about the whole time, and about each step of a ramp. Raises EvidenceError."""
    steps = []
    for step in record.steps:
        until = step.until if step.until is not None else record.removed_at
        during = prover.finish(replace(record, live_at=step.live_at, removed_at=until, steps=()))
        steps.append(replace(step, until=until, injections=during.injections))
    return replace(prover.finish(record), steps=tuple(steps))
