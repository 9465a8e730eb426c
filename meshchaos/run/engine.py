"""One run, from preflight to verdict: the order of things, and that the heal comes whatever happens.

1. preflight: journal free, targets resolve, one request of each load is answered
2. journal: lock and undo records, durable before the first change
3. callers' Pods, where some are needed; what the proxies log for the proofs; loads start; warm-up, baseline
4. steady state judged on the baseline; violated: no fault is applied
5. faults applied in the file's order, each confirmed live; the fault phase, watched; those with an ``after``, a ``for``
   or a ramp as their time comes (``run.timeline``)
6. heal in reverse order, confirmed gone: by ``FaultSet.heal``, the only way there is, called by its
   context manager when anything else comes up
7. recovery; loads stop and drain; proofs are read; everything is judged from what is on disk
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import meshchaos
from meshchaos.checks.kind import Verdict
from meshchaos.checks.steady import steady_state
from meshchaos.errors import EvidenceError, LoadError, MeshchaosError, MeshError, MeshGone, UserError
from meshchaos.experiment.hiding import hide, secrets_in, without_secrets
from meshchaos.experiment.model import Experiment, Phase, Slo
from meshchaos.history.records import History
from meshchaos.load.driver import LoadDriver, LoadPlan
from meshchaos.mesh.seam import Mesh
from meshchaos.run import events
from meshchaos.run.clock import Clock
from meshchaos.run.fault_phase import FaultPhase
from meshchaos.run.faultset import FaultSet
from meshchaos.run.healing import refuse_held
from meshchaos.run.history_file import HistoryWriter
from meshchaos.run.interrupts import Abandoned
from meshchaos.run.judge import judge_run
from meshchaos.run.loads import Loads
from meshchaos.run.looking import Look, settle
from meshchaos.run.outcome import RunStopped
from meshchaos.run.owner import this_process
from meshchaos.run.plain import plain
from meshchaos.run.plan import Plan, plan_words
from meshchaos.run.recorder import Recorder
from meshchaos.run.result import Result
from meshchaos.run.rooms import Observer, Patient, Prover, Rooms, Scene
from meshchaos.run.standing import Standing
from meshchaos.run.watch import LIFETIME, POLL, Interrupted, Watch, latency_limits

_PROBE = 5.0
"""Seconds that the preflight's request may take at most."""


@dataclass
class Engine:
    """One run. ``folder`` exists and is the run's own. ``interrupted`` says which signal asked to stop, if any.
    ``heal_command`` is what a person types where something is left.
    """

    plan: Plan
    mesh: Mesh
    rooms: Rooms
    clock: Clock
    folder: Path
    handlers: Sequence[events.Handler]
    slos: Mapping[str, Slo]
    interrupted: Interrupted
    heal_command: str
    warnings: Sequence[str] = ()
    standing: Standing = field(default_factory=Standing, init=False)
    _mesh_gone: bool = field(default=False, init=False)
    """That it is gone was told: once is enough."""
    _observing: tuple[Observer, ...] = field(default=(), init=False)

    def run(self) -> Result:
        """Never raises on account of the mesh, the load or a signal: they are in the result. Raises UserError for
        what only shows at the start (a secret that is not there), and bugs, after everything was put back.
        """
        history = HistoryWriter(self.folder, self._secrets)
        recorder = Recorder(history, self.handlers)
        try:
            self._write_experiment()
            result = self._run(recorder)
        finally:
            history.close()
        if recorder.bugs:
            raise recorder.bugs[0]
        return result

    def describe(self) -> str:
        """How things stand, in words, for somebody who asks a second time."""
        return self.standing.state

    @property
    def _experiment(self) -> Experiment:
        return self.plan.experiment

    @property
    def _secrets(self) -> frozenset[str]:
        """What stands in the file as it is and must not stand in what the run leaves."""
        return secrets_in(self._experiment.resolved)

    def _run(self, recorder: Recorder) -> Result:
        plan, experiment = self.plan, self._experiment
        started = self.clock.now()
        tightest = min(latency_limits(plan.checks), default=None)
        loads = Loads(plan.load_plans(self.folder), lambda one: self._driver(one, tightest), self.clock)
        watch = Watch(
            experiment=experiment,
            checks=plan.checks,
            mesh=self.mesh,
            journal=self.mesh.journal,
            run_id=plan.run_id,
            clock=self.clock,
            recorder=recorder,
            interrupted=self.interrupted,
            deadline=started + experiment.deadlines.run,
            loads=loads,
        )
        faults = FaultSet(
            mesh=self.mesh,
            placements=plan.placements,
            run_id=plan.run_id,
            clock=self.clock,
            recorder=recorder,
            tick=watch.tick,
            stop=watch.stop,
            remedy=self.heal_command,
            live_deadline=experiment.deadlines.live,
            gone_deadline=min(experiment.deadlines.gone, experiment.deadlines.heal),
            ramps=[id_ for id_, timing in plan.timings.items() if timing.steps],
        )
        recorder.emit(self._started(started))
        for warning in (*self.warnings, *plan.warnings):
            recorder.emit(events.Warned(started, warning))
        stops: list[str] = []
        scene = Scene(
            mesh=self.mesh,
            plan=plan,
            folder=self.folder,
            clock=self.clock,
            emit=recorder.emit,
            phases=lambda: tuple(watch.phases),
            phase=lambda: self.standing.phase,
        )
        with self._noted(recorder, stops):
            self.standing.state = "preflight; nothing is applied"
            refuse_held(self.mesh, self.heal_command, self.clock.now())
            self._ask(watch, here=True)
            with self._journal(faults), self._observers(scene), loads:
                self._live(recorder, watch, faults, stops)
        self._tell_trouble(recorder, faults, stops)
        return self._judge(recorder, loads)

    def _live(self, recorder: Recorder, watch: Watch, faults: FaultSet, stops: list[str]) -> None:
        """All that happens under the journal. What ends it early is noted; the heal comes in any case."""
        phase = FaultPhase(self.plan, self.mesh, self.rooms, self.clock, self.standing, watch, faults)
        with faults:
            with self._noted(recorder, stops):
                self._before(watch)
                phase.run(self._through)
            if not faults.clean:
                self.standing.state = f"putting back: {phase.on_the_mesh()}"
            gone = faults.heal()
        self._tell_trouble(recorder, faults, stops)
        with self._noted(recorder, stops):
            recovery = self._experiment.phase("recovery")
            if not stops and not faults.leftovers and recovery is not None:
                self.standing.state = "recovery; nothing is applied any more"
                at = gone or self.clock.now()
                self._through(watch, recovery, at, None, provers=phase.provers)
        self.standing.state = "nothing is applied any more; finishing"
        if {"error", "interrupted"} & set(stops):
            return
        with self._noted(recorder, stops):
            self._stop_loads(watch, dead="invalid" in stops)
        with self._noted(recorder, stops):
            for health in watch.health():
                recorder.emit(events.LoadFinished(self.clock.now(), health))
            for told in watch.loads.redirects():
                recorder.emit(events.Warned(self.clock.now(), told))
            phase.prove(recorder)
        with self._noted(recorder, stops):
            last_first = self._observing[::-1]
            for observer in sorted(last_first, key=_due):
                self._wait(watch, _due(observer))
                observer.finish()

    def _through(
        self,
        watch: Watch,
        phase: Phase,
        at: float,
        faults: FaultSet | None,
        *,
        provers: Mapping[str, Prover],
        act: Callable[[float], float] = lambda now: float("inf"),
    ) -> None:
        look = Look(self.plan, watch, phase, at, lambda: (*self._observing, *provers.values()))
        self.standing.phase = phase.name
        try:
            watch.through(phase, at, faults, look, act)
        finally:
            self.standing.phase = None  # before anything of it is put back

    def _tell_trouble(self, recorder: Recorder, faults: FaultSet, stops: list[str]) -> None:
        """What went wrong in healing though nothing is left of it."""
        if faults.mesh_gone and not self._mesh_gone:
            self._mesh_gone = True
            faults.trouble.insert(0, faults.mesh_gone)
        for trouble in faults.trouble:
            recorder.emit(events.Stopped(self.clock.now(), "error", trouble))
            stops.append("error")
        faults.trouble.clear()

    def _before(self, watch: Watch) -> None:
        experiment, loads = self._experiment, watch.loads
        self._deploy(watch)
        self.mesh.observe(self.rooms.log_headers(self.plan.placements))
        watch.stop()
        self._ask(watch, here=False)
        for observer in self._observing:
            observer.start()
        importing = threading.Thread(target=_import_judges, name="imports", daemon=True)
        importing.start()
        try:
            loads.start()
        except LoadError as error:
            raise RunStopped("error", str(error)) from error
        watch.tick()  # what is slow on a busy machine must not add up to the journal's lifetime
        importing.join()
        watch.tick()
        at = self.clock.now()
        for name in ("warmup", "baseline", "observe"):
            phase = experiment.phase(name)
            if phase is None:
                continue
            self.standing.state = f"{name}; no fault is applied"
            self._through(watch, phase, at, None, provers={})
            at = watch.phases[-1].end
        baseline = experiment.phase("baseline")
        if baseline is not None and experiment.faults:
            settle(watch, self._observing, at)
            self._judge_steady(watch.history(()))

    def _judge_steady(self, history: History) -> None:
        found = steady_state(self.plan.checks, history, 1 - self._experiment.confidence)
        broken = [finding for finding in found if finding.verdict in (Verdict.INVALID, Verdict.ERROR)]
        if broken:
            kind = "error" if any(finding.verdict is Verdict.ERROR for finding in broken) else "invalid"
            first = broken[0]
            text = f"steady state: {first.name}: {first.reason}; no fault was applied"
            raise RunStopped(kind, text)  # type: ignore[arg-type]

    def _stop_loads(self, watch: Watch, *, dead: bool) -> None:
        """``dead``: that a generator died may have been said already."""
        try:
            watch.loads.stop()
        except LoadError as error:
            if not dead:
                raise RunStopped("invalid", f"the load generator died: {error}") from error

    def _wait(self, watch: Watch, until: float) -> None:
        while (now := self.clock.now()) < until:
            watch.stop()
            watch.tick()
            self.clock.wait(min(POLL, until - now))

    def _driver(self, load: LoadPlan, tightest: float | None) -> LoadDriver:
        at = load.entry.at
        return self.rooms.away(self.mesh.caller(at), load, tightest) if at else self.rooms.driver(load, tightest)

    def _deploy(self, watch: Watch) -> None:
        """The callers, and who heals; while they start, the journal is renewed and a signal is heard."""
        self.standing.state = "waiting for the run's own Pods; no fault is applied"

        def tick() -> None:
            watch.stop()
            watch.tick()

        self.mesh.deploy(self.plan.callers, tick)

    def _ask(self, watch: Watch, *, here: bool) -> None:
        """One request of each load that is sent from ``here``, or by callers: a target that never answers is told
        before any fault is applied.
        """
        for load in watch.loads.plans:
            at, timeout = load.entry.at, min(_PROBE, load.timeout)
            if here is bool(at):
                continue
            watch.stop()
            if at:
                watch.tick()
                silent = self.rooms.probe_away(self.mesh.caller(at), load, timeout)
            else:
                silent = self.rooms.probe(load, timeout)
            if silent is not None:
                raise RunStopped("invalid", f"load {load.name}: no answer {load.entry.words}: {silent}")

    @contextmanager
    def _observers(self, scene: Scene) -> Iterator[None]:
        self._observing = tuple(self.rooms.observers(scene))
        try:
            yield
        finally:
            for observer in self._observing:
                observer.close()

    @contextmanager
    def _journal(self, faults: FaultSet) -> Iterator[None]:
        """Open before the first change; closed once nothing is left of any."""
        journal, run_id = self.mesh.journal, self.plan.run_id
        journal.open(run_id, this_process(), self.plan.changes, LIFETIME)
        try:
            yield
        finally:
            if faults.clean:
                self._close_journal(faults)

    def _close_journal(self, faults: FaultSet) -> None:
        try:
            self.mesh.journal.close(self.plan.run_id)
        except MeshError as error:
            if isinstance(error, MeshGone) and self.mesh.ephemeral:
                return  # the journal went with the mesh; that the mesh is gone was said where it showed
            faults.trouble.append(f"everything is put back, but the journal could not be closed: {error}")

    @contextmanager
    def _noted(self, recorder: Recorder, stops: list[str]) -> Iterator[None]:
        """What ends the run early becomes an event; the user's mistakes and bugs go on upwards."""
        try:
            yield
        except RunStopped as stop:
            stops.append(stop.kind)
            recorder.emit(events.Stopped(self.clock.now(), stop.kind, stop.reason, stop.finding))
        except UserError:
            raise
        except Abandoned:
            stops.append("interrupted")
            text = f"interrupted by {self.interrupted()}, and given up"
            recorder.emit(events.Stopped(self.clock.now(), "interrupted", text))
        except MeshchaosError as error:
            self._mesh_gone = self._mesh_gone or isinstance(error, MeshGone)
            stops.append("error")
            recorder.emit(events.Stopped(self.clock.now(), "error", str(error)))

    def _judge(self, recorder: Recorder, loads: Loads) -> Result:
        result = judge_run(self._experiment, self.plan.checks, recorder.events, loads.samples(), self.folder)
        result = hide(result, self._secrets)  # a line of a proxy's log has the path of a request, with its parameters
        if recorder.failed is not None and result.exit_code in (0, 1, 3):
            result = replace(result, verdict=Verdict.ERROR, reason=recorder.failed, exit_code=5)
        now = self.clock.now()
        for about, found in (("steady", result.steady), ("proof", result.proofs), ("expectation", result.findings)):
            for finding in found:
                recorder.emit(events.Judged(now, finding, about))
        result = replace(result, finished=now)
        try:
            result.write()
        except EvidenceError as error:
            if result.exit_code in (0, 1, 3):
                result = replace(result, verdict=Verdict.ERROR, reason=str(error), exit_code=5)
        recorder.emit(events.RunFinished(now, result.verdict.value, result.reason, result.to_json()))
        return result

    def _started(self, at: float) -> events.RunStarted:
        experiment, plan = self._experiment, self.plan
        return events.RunStarted(
            at=at,
            experiment=experiment.name,
            run_id=plan.run_id,
            mesh=self.mesh.name,
            seed=plan.seed,
            folder=str(self.folder),
            hypothesis=experiment.hypothesis,
            versions={"meshchaos": meshchaos.__version__, **self.mesh.versions()},
            plan=hide(tuple(plan_words(plan)), self._secrets),
            confidence=experiment.confidence,
            slos=tuple(plain(slo) for slo in self.slos.values()),
            source=experiment.where.file,
            lines=tuple(expectation.where.line for expectation in experiment.expect),
            overrides=hide(experiment.overrides, self._secrets),
            healers=self.mesh.healers,
        )

    def _write_experiment(self) -> None:
        import yaml

        text = yaml.safe_dump(
            without_secrets(plain(self._experiment.resolved)), sort_keys=False, allow_unicode=True, width=110
        )
        try:
            (self.folder / "experiment.yaml").write_text(text, "utf-8")
        except OSError as error:
            raise UserError(f"cannot write into {self.folder}: {error.strerror}") from error


def _import_judges() -> None:
    """Loads what judging needs while the generators start: scipy takes half a second, seconds on a busy machine, and
    within a phase it would be missing from what is measured in it.
    """
    import scipy.stats  # noqa: F401


def _due(observer: Observer) -> float:
    return observer.due() if isinstance(observer, Patient) else 0.0
