"""The faults of one run: applied in the file's order, undone in reverse, by one path whatever happened."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from meshchaos.errors import Locked, MeshchaosError, MeshError, MeshGone, NotLive
from meshchaos.faults.kind import Placement
from meshchaos.history.records import FaultRecord, FaultStep
from meshchaos.mesh.apply import apply_change, rewrite_change, undo_change
from meshchaos.mesh.changes import Change, dump
from meshchaos.mesh.seam import Confirmation, Mesh
from meshchaos.run import events
from meshchaos.run.clock import Clock
from meshchaos.run.fault_records import record_of
from meshchaos.run.interrupts import Abandoned
from meshchaos.run.killing import Killing
from meshchaos.run.outcome import RunStopped
from meshchaos.run.presence import Presence
from meshchaos.run.recorder import Recorder

_SLICE = 2.0
"""Seconds of one look at the proxies; between two, the journal is renewed and interrupts are seen."""
_AGAIN = 0.2
"""Seconds between two of them: one that the objects already answer takes no time."""
_POLL = 0.05
"""Seconds between two looks at replicas."""


@dataclass
class FaultSet:
    """A context manager: leaving it heals. ``tick`` is called between waits (renews the journal); ``stop`` raises
    RunStopped when the user or the clock wants the run to end.
    """

    mesh: Mesh
    placements: Sequence[Placement]
    run_id: str
    clock: Clock
    recorder: Recorder
    tick: Callable[[], None]
    stop: Callable[[], None]
    remedy: str
    live_deadline: float
    gone_deadline: float
    records: dict[str, FaultRecord] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    mesh_gone: str | None = None
    """That the mesh did not answer any more when it was to put things back."""
    _touched: list[Placement] = field(default_factory=list)
    _tried: dict[str, list[Change]] = field(default_factory=dict)
    _presence: Presence = field(init=False)
    _killings: dict[str, Killing] = field(default_factory=dict)
    ramps: Collection[str] = ()
    """Ids of the faults that go up in steps."""
    _removed: set[str] = field(default_factory=set)
    """Ids of those that were taken back before the heal."""
    _healing: bool = False
    _expired: bool = False
    clean: bool = True
    """Nothing of these faults is on the mesh: before the first change, and after a heal that was verified."""

    def __post_init__(self) -> None:
        self._presence = Presence(self.mesh)
        for placement in self.placements:
            self.records[placement.id] = record_of(placement)

    def __enter__(self) -> FaultSet:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.heal()

    @property
    def live(self) -> tuple[str, ...]:
        """Ids of the faults that are live now."""
        return tuple(r.id for r in self.records.values() if r.live_at is not None and r.removed_at is None)

    def apply(self, placement: Placement) -> None:
        """Makes one fault happen and waits until it is live in every proxy concerned.
        Raises NotLive at the deadline, RunStopped, and what the mesh raises.
        """
        self.recorder.emit(
            events.FaultApplying(
                self.clock.now(), placement.id, placement.edge, tuple(dump(change) for change in placement.changes)
            )
        )
        if self.recorder.failed:
            raise RunStopped("error", self.recorder.failed)
        self.clean = False
        self._touched.append(placement)
        tried = self._tried.setdefault(placement.id, [])
        for change in placement.changes:
            self.tick()
            tried.append(change)  # before the write: its answer may be lost though it was made
            self._presence.wrote(change.ref, apply_change(self.mesh, change, self.run_id))
        self._step(placement, "applied", applied_at=self.clock.now())
        confirmed = self._converge(placement.changes, present=True, deadline=self.live_deadline)
        if placement.kill is not None:
            self._killings[placement.id] = Killing(self.mesh, placement.kill)
            confirmed = self._strike(placement)
        steps = (FaultStep(placement.injection.share, confirmed.at),) if placement.id in self.ramps else ()
        self._step(placement, "live", live_at=confirmed.at, steps=steps)

    def step(self, placement: Placement) -> None:
        """The next step of a live fault's ramp: the same objects with other numbers, waited for in every proxy. Raises
        as ``apply``.
        """
        self._still_there()
        position = next(index for index, one in enumerate(self._touched) if one.id == placement.id)
        before, until = self._touched[position], self.clock.now()
        for change in placement.changes:
            if change not in before.changes:
                self._presence.wrote(change.ref, rewrite_change(self.mesh, change, self.run_id))
        self._touched[position] = placement
        self._tried[placement.id] = list(placement.changes)
        confirmed = self._converge(placement.changes, present=True, deadline=self.live_deadline)
        record = self.records[placement.id]
        steps = (*record.steps[:-1], replace(record.steps[-1], until=until))
        share = placement.injection.share
        self._step(placement, "stepped", share=share, steps=(*steps, FaultStep(share, confirmed.at)))

    def kill_again(self, placement: Placement) -> None:
        """The next round of a fault that kills ``every`` so often. Raises as ``apply``."""
        self._still_there()
        self._strike(placement)

    def _strike(self, placement: Placement) -> Confirmation:
        """Kills and waits until nobody of those killed serves."""
        killing = self._killings[placement.id]
        self.tick()
        killed = killing.strike()
        if not killed:
            text = f"{placement.id}: nobody of {killing.kill.workload} was ready, so nobody was killed this time"
            self.recorder.emit(events.Warned(self.clock.now(), text))
            return Confirmation(self.clock.now(), ())
        record = self.records[placement.id]
        turns = (*record.turns, self.clock.now())
        self._step(placement, "killed", killed=(*record.killed, *killed), turns=turns)
        self._until(lambda: killing.still_ready(killed), "was killed and is ready as before", self.live_deadline)
        return Confirmation(self.clock.now(), tuple(killed))

    def _until(self, waiting: Callable[[], object], words: str, deadline: float, *, healing: bool = False) -> None:
        """Waits until nothing is waited for any more. Raises NotLive with it and ``words``."""
        end = self.clock.now() + deadline
        while found := waiting():
            if self.clock.now() >= end:
                raise NotLive(f"{', '.join(found) if isinstance(found, list) else found} {words}".strip())
            if healing:
                self._ours()
            else:
                self.tick()
                self.stop()
            self.clock.wait(_POLL)

    def remove(self, placement: Placement) -> None:
        """Takes one live fault back before the phase ends, and waits until it is gone. Raises RunStopped where
        something of it could not be put back; it is then in ``leftovers``.
        """
        self._still_there()
        own = next(one for one in self._touched if one.id == placement.id)
        if self._undo(own):
            self._refresh(own)
            self._verify(own, None)
        self._removed.add(own.id)
        if self.leftovers:
            raise RunStopped("error", self.leftovers[0])

    def _still_there(self) -> None:
        problem = self.vanished()
        if problem is not None:
            raise RunStopped("invalid", problem)

    def _refresh(self, placement: Placement) -> None:
        """Objects that hold other live faults, too, were written by our own undoing."""
        for ref in {change.ref for change in self._tried.get(placement.id, ())}:
            shared = any(change.ref == ref for one in self._touched if one.id != placement.id for change in one.changes)
            if shared:
                self._presence.refresh(ref)

    def vanished(self) -> str | None:
        """Who took a live fault away, or None while all are where they were put (``Presence.lost``)."""
        for placement in self._touched:
            record = self.records[placement.id]
            if record.live_at is None or record.removed_at is not None:
                continue
            how = self._presence.lost(placement.changes)
            if how is not None:
                return self._lost(placement, how)
        return None

    def vanished_in_proxies(self) -> str | None:
        """The same, asked of the proxies; dearer than ``vanished``."""
        for placement in self._touched:
            record = self.records[placement.id]
            if record.live_at is None or record.removed_at is not None:
                continue
            try:
                self.mesh.confirm(placement.changes, present=True, timeout=_SLICE)
            except NotLive as error:
                return self._lost(placement, f"it is not live any more: {error}")
        return None

    def heal(self) -> float | None:
        """Takes everything back in reverse order and waits until it is gone from the proxies; when that was
        (epoch seconds), None where something could not be put back or nothing was touched. Never raises on account
        of the mesh: what is left is in ``leftovers``. The second call does nothing.
        """
        if self._healing or not self._touched:
            return None
        self._healing = True
        gone_at: float | None = None
        try:
            touched = [one for one in reversed(self._touched) if one.id not in self._removed]
            undone = [placement for placement in touched if self._undo(placement)]
            for placement in undone:
                gone_at = self._verify(placement, gone_at)
        except Abandoned:
            self.leftovers.append(f"run {self.run_id}: healing was given up in the middle, on your word")
        for message in self.leftovers:
            self.recorder.emit(events.LeftBehind(self.clock.now(), message, self.remedy))
        if self.leftovers:
            return None
        self.clean = True
        self.recorder.emit(events.Healed(self.clock.now()))
        return gone_at

    def _undo(self, placement: Placement) -> bool:
        self._step(placement, "removed", removed_at=self.clock.now())
        clean = True
        for change in reversed(self._tried.get(placement.id, [])):
            try:
                if not self._ours():
                    break
                left = undo_change(self.mesh, change, self.run_id)
            except MeshGone as error:
                left = self._gone(error, change)
            except Locked as error:  # expired since the look above: the mesh undoes the rest
                self._lock_lost(error)
                break
            except MeshchaosError as error:
                left = [f"{change.ref}: {error}"]
            except Exception as error:  # a bug must not keep the other changes from being taken back
                left = [self._bug(error, str(change.ref))]
            self.leftovers += left
            clean = clean and not left
        return clean

    def _verify(self, placement: Placement, latest: float | None) -> float | None:
        try:
            confirmed = self._converge(
                self._tried.get(placement.id, []), present=False, deadline=self.gone_deadline, healing=True
            )
            if placement.id in self._killings:
                self._until(self._killings[placement.id].missing, "", self.gone_deadline, healing=True)
                confirmed = Confirmation(self.clock.now(), ())
        except MeshGone as error:
            self.leftovers += self._gone(error, None)
            return latest
        except MeshchaosError as error:
            self.leftovers.append(f"{placement.id}: taken back, but not gone from the proxies: {error}")
            return latest
        except Exception as error:  # as in _undo
            self.leftovers.append(self._bug(error, placement.id))
            return latest
        self._step(placement, "gone", gone_at=confirmed.at)
        return max(confirmed.at, latest or 0.0)

    def _ours(self) -> bool:
        """Whether the mesh is still this run's to write to. Once the journal expired, the mesh itself puts
        everything back, and a run that was suspended meanwhile writes nothing.
        """
        try:
            self.tick()
        except Locked as error:
            self._lock_lost(error)
        except MeshGone:
            pass  # the undoing itself will say so
        except MeshError as error:
            self.trouble.append(f"the journal could not be renewed: {error}")
        return not self._expired

    def _lock_lost(self, error: Locked) -> None:
        if not self._expired:
            self.trouble.append(str(error))
        self._expired = True

    def _bug(self, error: Exception, what: str) -> str:
        """A line on a mistake of our own; its traceback goes into the history."""
        self.recorder.emit(events.Warned(self.clock.now(), "".join(traceback.format_exception(error)).rstrip()))
        return f"{what}: a bug: {''.join(traceback.format_exception_only(error)).strip()}"

    def _gone(self, error: MeshGone, change: Change | None) -> list[str]:
        """A mesh that ended took the change with it, where its objects live and die with it."""
        self.mesh_gone = self.mesh_gone or str(error)
        if self.mesh.ephemeral:
            return []
        return [f"{change.ref}: {error}" if change is not None else str(error)]

    def _converge(
        self, changes: Sequence[Change], *, present: bool, deadline: float, healing: bool = False
    ) -> Confirmation:
        end = self.clock.now() + deadline
        while True:
            if healing:
                self._ours()
            else:
                self.tick()
                self.stop()
            left = end - self.clock.now()
            if not changes:  # made by an earlier fault of the run, with its own
                return Confirmation(self.clock.now(), ())
            try:
                return self.mesh.confirm(changes, present=present, timeout=max(0.05, min(_SLICE, left)))
            except NotLive:
                if self.clock.now() >= end:
                    raise
                self.clock.wait(_AGAIN)

    def _lost(self, placement: Placement, how: str) -> str:
        problem = f"the fault {placement.id} ({placement.edge}) vanished in mid-phase: {how}"
        self.records[placement.id] = replace(self.records[placement.id], problem=problem)
        self._emit("vanished", placement)
        return problem

    def _step(self, placement: Placement, step: str, **times: Any) -> None:
        self.records[placement.id] = replace(self.records[placement.id], **times)
        self._emit(step, placement)

    def _emit(self, step: str, placement: Placement) -> None:
        self.recorder.emit(events.FaultChanged(self.clock.now(), step, self.records[placement.id]))
