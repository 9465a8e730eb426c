"""What is looked at several times a second while a phase lasts, and what ends it before its time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from meshchaos.checks import words
from meshchaos.checks.edge_stop import EdgeStopRule, stop_edge
from meshchaos.checks.kind import Check
from meshchaos.checks.rate import RateCheck
from meshchaos.checks.stop import StopRule
from meshchaos.errors import LoadError
from meshchaos.experiment.model import Experiment, Phase
from meshchaos.history.records import FaultRecord, GeneratorHealth, History, PhaseRecord, PhaseStep
from meshchaos.history.samples import Samples
from meshchaos.mesh.journal import Journal
from meshchaos.mesh.seam import Mesh
from meshchaos.run import events
from meshchaos.run.clock import Clock
from meshchaos.run.edges_so_far import EdgesSoFar
from meshchaos.run.faultset import FaultSet
from meshchaos.run.loads import Loads
from meshchaos.run.outcome import RunStopped
from meshchaos.run.recorder import Recorder

POLL: Final = 0.2
"""Seconds between two looks at the loads."""
LOOK: Final = 1.0
"""Seconds between two looks at what costs more: the fault's objects, an early verdict."""
PROXIES: Final = 5.0
"""Seconds between two looks into the proxies for the fault's presence."""
LIFETIME: Final = 30.0
"""Seconds after the last renewal until the mesh undoes the run's changes by itself."""
RENEW: Final = 5.0
STEP: Final = 0.25
"""Seconds that the machine's clock may be set by in mid-run; where it is no longer slewed but set, it is by more."""
EDGE: Final = 0.5
"""Seconds before or behind a ramp that are worth a judgement of their own."""
WINDOW: Final = 3.0
"""Seconds of samples behind the figures of Progress."""

Interrupted = Callable[[], str | None]


@dataclass
class Watch:
    """One run's watch. Every method that finds a reason to end the run raises RunStopped."""

    experiment: Experiment
    checks: Sequence[Check]
    mesh: Mesh
    journal: Journal
    run_id: str
    clock: Clock
    recorder: Recorder
    interrupted: Interrupted
    deadline: float
    loads: Loads
    phases: list[PhaseRecord] = field(default_factory=list)
    edges: EdgesSoFar = field(default_factory=EdgesSoFar)
    _renewed: float = float("-inf")

    def tick(self) -> None:
        """Keeps the journal's expiry ahead. Raises Locked when it expired and was healed by somebody else."""
        now = self.clock.now()
        if now - self._renewed >= RENEW:
            self.journal.renew(self.run_id, LIFETIME)
            self._renewed = now

    def stop(self) -> None:
        """Raises RunStopped: a signal, the run's deadline, a history that cannot be written, a mesh that broke."""
        name = self.interrupted()
        if name is not None:
            raise RunStopped("interrupted", f"interrupted by {name}")
        if self.recorder.failed:
            raise RunStopped("error", self.recorder.failed)
        if self.clock.now() > self.deadline:
            raise RunStopped(
                "error", f"the run took longer than its deadline of {self.experiment.deadlines.run:g}s (deadlines.run)"
            )
        step = self.clock.stepped()
        if abs(step) > STEP:
            raise RunStopped(
                "invalid",
                f"the machine's clock was set by {step:+.2f}s in mid-run: what the proxies wrote down does not fit the "
                "phases any more",
            )
        trouble = self.mesh.trouble()
        if trouble:
            raise RunStopped("error", "; ".join(trouble))

    def poll_loads(self) -> None:
        try:
            self.loads.poll()
        except LoadError as error:
            raise RunStopped("invalid", f"the load generator died: {error}") from error

    def through(
        self,
        phase: Phase,
        start: float,
        faults: FaultSet | None,
        look: Callable[[float], bool],
        act: Callable[[float], float] = lambda now: float("inf"),
    ) -> None:
        """Lives through one phase and keeps its record, also when it is cut. ``look`` is called every second with
        the time that passed; True ends the phase by an early verdict. ``faults``: those whose presence is watched,
        and under which ``stopIf`` is looked at. ``act`` does what is due at a time and returns when it wants to be
        called again.
        """
        self.mesh.strained()
        stop = self._stop_rule(start) if faults is not None else None
        self.recorder.emit(events.PhaseStarted(start, phase.name, phase.at_most))
        end, cut = start + phase.at_most, None
        next_look, next_proxies = start + LOOK, start + PROXIES
        try:
            while (now := self.clock.now()) < end:
                self.stop()
                self.tick()
                self.poll_loads()
                again = act(now)
                self._progress(phase, start, faults)
                if stop is not None:
                    stop(now)
                if now >= next_look:
                    next_look += LOOK
                    if faults is not None:
                        self._present(faults, proxies=now >= next_proxies)
                        if now >= next_proxies:
                            next_proxies += PROXIES
                    if look(now - start):
                        cut = "early-verdict"
                        break
                self.clock.wait(min(POLL, max(0.0, min(end, again) - self.clock.now())))
            if faults is not None and cut is None:
                self._present(faults, proxies=True)
            if phase.name != "warmup":
                self._kept_up()
        except RunStopped as stop:
            cut = stop.kind
            raise
        except BaseException:
            cut = "error"
            raise
        finally:
            self._ended(phase, start, min(end, self.clock.now()), cut, faults)  # type: ignore[arg-type]

    def history(self, faults: Sequence[FaultRecord], present: PhaseRecord | None = None) -> History:
        """Everything so far; ``present`` is the phase that still lasts."""
        return History(
            phases=(*self.phases, present) if present is not None else tuple(self.phases),
            faults=tuple(faults),
            samples=self.loads.samples(),
            generator=tuple(self.health()),
            confidence=self.experiment.confidence,
            so_far=self.edges.known(),
        )

    def health(self) -> list[GeneratorHealth]:
        """Over the phases that are judged."""
        judged = [phase for phase in self.phases if phase.name != "warmup"]
        if not judged:
            return []
        return self.loads.health(judged[0].start, judged[-1].end)

    def so_far(self, phase: Phase, start: float) -> PhaseRecord:
        """The phase up to the first request that has no row yet: nothing after it may be judged."""
        until = min(self.clock.now(), self.loads.resolved())
        return PhaseRecord(phase.name, start, max(start, until), phase.at_most, "early-verdict", phase.at_least)

    def _ended(
        self,
        phase: Phase,
        start: float,
        end: float,
        cut: Literal["early-verdict", "stop-if", "interrupted", "invalid", "error"] | None,
        faults: FaultSet | None,
    ) -> None:
        steps = steps_of(faults.records.values(), start, end) if faults is not None else ()
        record = PhaseRecord(phase.name, start, end, phase.at_most, cut, phase.at_least, steps)
        self.phases.append(record)
        self.recorder.emit(events.PhaseFinished(end, record))

    def _stop_rule(self, since: float) -> Callable[[float], None] | None:
        """Looks whether ``stopIf`` is met at a moment, and then raises RunStopped."""
        rule = self.experiment.stop_if
        if rule is None:
            return None
        loads = StopRule(rule, since, slow_after=max(latency_limits(self.checks), default=None))
        edges, edge = EdgeStopRule(rule, since), stop_edge(rule)

        def look(now: float) -> None:
            found = loads.look(now, tuple(self.loads.samples().values()), self.loads.pulses)
            if found is None and edge is not None:
                found = edges.look(self.edges.known().get(edge))
            if found is not None:
                raise RunStopped("stop-if", found.reason, found)

        return look

    def _kept_up(self) -> None:
        strained = self.mesh.strained()
        if strained:
            raise RunStopped("invalid", "; ".join(strained))

    def _present(self, faults: FaultSet, *, proxies: bool) -> None:
        problem = faults.vanished() or (faults.vanished_in_proxies() if proxies else None)
        if problem is not None:
            raise RunStopped("invalid", problem)

    def _progress(self, phase: Phase, start: float, faults: FaultSet | None) -> None:
        now = self.clock.now()
        recent, whole = [], []
        for samples in self.loads.samples().values():
            recent.append(samples.between(max(start, now - WINDOW), now))
            whole.append(samples.between(start, now))
        rate, success, p99 = figures(recent, min(WINDOW, now - start))
        total = sum(len(samples) for samples in whole)
        self.recorder.emit(
            events.Progress(
                at=now,
                phase=phase.name,
                elapsed=now - start,
                planned=phase.at_most,
                rate=rate,
                success=success,
                p99=p99,
                p99_limit=min(latency_limits(self.checks), default=None),
                requests=total,
                failures=total - sum(int(samples.good().sum()) for samples in whole),
                faults=faults.live if faults is not None else (),
                loads=len(self.loads.plans),
            )
        )


def steps_of(faults: Iterable[FaultRecord], start: float, end: float) -> tuple[PhaseStep, ...]:
    """The stretches of a fault phase that are judged by themselves: each step of the ramp, and what lies before and
    behind it; empty without a ramp. Changes that were being made belong to none.
    """
    for fault in faults:
        if not fault.steps:
            continue
        over = fault.removed_at if fault.removed_at is not None else end
        found = [
            PhaseStep(f"{fault.kind} {words.percent(step.share)}", step.live_at, min(end, step.until or over))
            for step in fault.steps
        ]
        if fault.steps[0].live_at - start > EDGE:
            found.insert(0, PhaseStep("before the ramp", start, fault.applied_at or fault.steps[0].live_at))
        if end - (fault.gone_at or over) > EDGE:
            found.append(PhaseStep("after the ramp", fault.gone_at or over, end))
        return tuple(found)
    return ()


def figures(parts: Sequence[Samples], seconds: float) -> tuple[float, float | None, float | None]:
    """Requests per second, success share and p99 (s) over some samples; for the eye, never for a verdict."""
    total = sum(len(samples) for samples in parts)
    if not total:
        return 0.0, None, None
    import numpy as np

    good = sum(int(samples.good().sum()) for samples in parts)
    latencies = np.concatenate([samples.rows["latency"] for samples in parts])
    return total / seconds if seconds > 0 else 0.0, good / total, float(np.quantile(latencies, 0.99))


def latency_limits(checks: Sequence[Check]) -> list[float]:
    """The limits of the latency checks, seconds."""
    return [check.measure.limit for check in checks if isinstance(check, RateCheck) and check.measure.limit is not None]
