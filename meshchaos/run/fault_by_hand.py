"""What ``with`` is about where a fault is made by hand: live in every proxy inside, taken back and proved on leaving.

The journal is opened before the first change, for ``LIFETIME``, and renewed while the caller's code runs: a process
that is killed inside leaves what the mesh itself puts back then, and ``heal`` before. Signals while it is applied and
taken back are noted, and raised once nothing is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from meshchaos.checks.injected import injection_findings
from meshchaos.checks.kind import Verdict
from meshchaos.errors import (
    EvidenceError,
    FaultNotProved,
    Leftover,
    MeshchaosError,
    MeshError,
    MeshGone,
    UserError,
)
from meshchaos.faults.kind import Placement
from meshchaos.history.records import FaultRecord, History
from meshchaos.mesh.seam import Mesh
from meshchaos.run.clock import Clock
from meshchaos.run.faultset import FaultSet
from meshchaos.run.folder import make_folder, new_run_id
from meshchaos.run.healing import refuse_held
from meshchaos.run.history_file import HistoryWriter
from meshchaos.run.interrupts import Interrupts
from meshchaos.run.keeping import Keeping
from meshchaos.run.outcome import RunStopped
from meshchaos.run.owner import this_process
from meshchaos.run.recorder import Recorder
from meshchaos.run.rooms import Prover

if TYPE_CHECKING:
    from meshchaos.run.by_hand import ByHand

LIFETIME = 60.0
"""Seconds after which the mesh takes a fault back whose process was killed, or stopped; renewed from a thread."""
_LIVE = _GONE = 30.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """One fault by its kind's key and spec."""

    key: str
    spec: Any

    @property
    def name(self) -> str:
        """As it is written."""
        return f"chaos.{self.key}"


class FaultByHand:
    """``with`` (or ``async with``) it. Inside, ``record`` says where it sits and since when it is live; afterwards what
    proved it. Entering raises CannotPlace, Locked, NotLive and what else the mesh raises, with nothing left; leaving
    raises FaultNotProved and Leftover, or adds a note to the exception that is on its way.
    """

    def __init__(self, hand: ByHand, wanted: tuple[Wanted, ...]) -> None:
        self.wanted = wanted
        self._hand = hand
        self._faults: FaultSet | None = None
        self._provers: dict[str, Prover] = {}
        self._history: HistoryWriter | None = None
        self._requested: Callable[[], str | None] = lambda: None
        self._keeping: Keeping | None = None

    def __str__(self) -> str:
        return words(self.wanted)

    @property
    def record(self) -> FaultRecord:
        """Of the first. Raises UserError before it is entered."""
        return self.records[0]

    @property
    def records(self) -> tuple[FaultRecord, ...]:
        """Of each, as placed: those that meet on one route are one. Raises UserError before they are entered."""
        if self._faults is None:
            raise UserError(f"{self} was not entered: write `with {self.wanted[0].name}(...) as fault:`")
        return tuple(self._faults.records.values())

    @property
    def window(self) -> tuple[float, float]:
        """From when all are live until the first is taken back (epoch seconds; infinity while they are). Raises
        UserError before they are entered.
        """
        live = [record.live_at for record in self.records]
        if any(at is None for at in live):
            raise UserError(f"{self} was never live")
        removed = [record.removed_at for record in self.records if record.removed_at is not None]
        return max(at for at in live if at is not None), min(removed, default=float("inf"))

    def __enter__(self) -> FaultByHand:
        __tracebackhide__ = True
        with Plainly():
            self._enter()
        return self

    def _enter(self) -> None:
        hand = self._hand
        if hand.active is not None:
            raise UserError(
                f"{self}: {hand.active} is live already; write both as "
                f"`with chaos.together({hand.active.wanted[0].name}(...), {self.wanted[0].name}(...)):`"
            )
        refuse_held(hand.mesh, hand.heal_command, hand.now())
        run_id = new_run_id()
        placements = hand.place(self.wanted, run_id)
        with self._signals() as clock:
            folder = make_folder(hand.output, f"by-hand-{self.wanted[0].key}", run_id, clock.now())
            self._history = HistoryWriter(folder)
            self._provers = {}
            self._faults = self._fault_set(placements, run_id, clock)
            hand.active = self
            try:
                changes = [change for placement in placements for change in placement.changes]
                hand.mesh.journal.open(run_id, this_process(), changes, LIFETIME)
                hand.mesh.deploy((), self._tick)
                hand.mesh.observe(hand.rooms.log_headers(placements))
                for placement in placements:
                    self._provers[placement.id] = hand.rooms.prover(hand.mesh, placement, run_id)
                    self._faults.apply(placement)
                for prover in self._provers.values():
                    prover.collect()
                self._keeping = Keeping(hand.mesh.journal, run_id, LIFETIME)
            except BaseException as error:
                problem = self._take_back(error)
                if not isinstance(error, RunStopped):
                    raise
                if problem is not None or error.kind != "interrupted":
                    raise problem or MeshError(error.reason) from None
                raise KeyboardInterrupt(error.reason) from None

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        __tracebackhide__ = True
        with Plainly():
            self._exit(value)

    def _exit(self, value: BaseException | None) -> None:
        if self._faults is None or self._hand.active is not self:
            return  # its test was over, and it was taken back
        with self._signals() as clock:
            self._faults.clock = clock
            self._stop_keeping()
            vanished = self._vanished() if value is None else None
            problem = self._take_back(value)
            if problem is None and value is None:
                problem = FaultNotProved(vanished) if vanished is not None else self._prove()
            interrupted = self._requested()
        if problem is not None and value is None:
            raise problem
        if interrupted is not None and value is None:
            raise KeyboardInterrupt(f"interrupted by {interrupted}; everything was put back")

    def _stop_keeping(self) -> None:
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.stop()

    async def __aenter__(self) -> FaultByHand:
        entering = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError as error:
            await asyncio.wait([entering])
            if not entering.cancelled() and entering.exception() is None:
                await _whole(asyncio.to_thread(self.__exit__, type(error), error, None))
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        await _whole(asyncio.to_thread(self.__exit__, kind, value, tb))

    @contextmanager
    def _signals(self) -> Iterator[Clock]:
        with Interrupts() as interrupts:
            self._requested = lambda: interrupts.requested
            yield self._hand.clock or interrupts.clock()

    def _fault_set(self, placements: Sequence[Placement], run_id: str, clock: Clock) -> FaultSet:
        assert self._history is not None

        def stop() -> None:
            name = self._requested()
            if name is not None:
                raise RunStopped("interrupted", f"interrupted by {name}; everything was put back")

        return FaultSet(
            mesh=self._hand.mesh,
            placements=placements,
            run_id=run_id,
            clock=clock,
            recorder=Recorder(self._history, ()),
            tick=lambda: self._hand.mesh.journal.renew(run_id, LIFETIME),
            stop=stop,
            remedy=self._hand.heal_command,
            live_deadline=_LIVE,
            gone_deadline=_GONE,
        )

    def _tick(self) -> None:
        """While the mesh gets ready."""
        assert self._faults is not None
        self._faults.stop()
        self._faults.tick()

    def _vanished(self) -> str | None:
        """Who took it away while the test believed it to be live."""
        assert self._faults is not None
        try:
            return self._faults.vanished() or self._faults.vanished_in_proxies()
        except MeshError:
            return None  # the mesh broke: taking back says so

    def _take_back(self, value: BaseException | None) -> MeshchaosError | None:
        """Heals, and lets go of the mesh where nothing is left; what is left, also as a note on ``value``."""
        faults, hand = self._faults, self._hand
        if faults is None:
            return None
        try:
            faults.heal()
            if faults.clean:
                _let_go(faults, hand.mesh)
        finally:
            hand.active = None
            if self._history is not None:
                self._history.close()
        problem: MeshchaosError | None = None
        hand.leftovers += faults.leftovers
        if faults.leftovers:
            problem = Leftover(f"could not put back: {'; '.join(faults.leftovers)}; say: {hand.heal_command}")
        elif faults.mesh_gone or faults.trouble:
            problem = MeshError("; ".join([*([faults.mesh_gone] if faults.mesh_gone else []), *faults.trouble]))
        if problem is not None and value is not None:
            value.add_note(str(problem))
        return problem

    def _prove(self) -> MeshchaosError | None:
        assert self._faults is not None
        for key, prover in self._provers.items():
            record = self._faults.records[key]
            try:
                self._faults.records[key] = prover.finish(record)
            except EvidenceError as error:
                return FaultNotProved(f"{record.kind} on {record.edge}: {error}")
        findings = injection_findings(History((), self.records, {}, (), 0.95))
        for record, finding in zip(self.records, findings, strict=True):
            if finding.verdict is not Verdict.PASS:
                return FaultNotProved(f"{record.kind} on {record.edge}: {finding.reason}")
        return None


class Plainly:
    """An error of ours is one line for the user: it comes out of the ``with`` as if it were raised there, without the
    way to it. Bugs keep theirs.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        __tracebackhide__ = True
        if isinstance(value, MeshchaosError):
            raise value.with_traceback(None) from None


def _let_go(faults: FaultSet, mesh: Mesh) -> None:
    try:
        mesh.journal.close(faults.run_id)
    except MeshGone:
        faults.mesh_gone = faults.mesh_gone or "the mesh is gone, and everything that was changed with it"
    except MeshError as error:
        faults.trouble.append(f"everything is put back, but the journal could not be closed: {error}")


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Waits for it to its end, also when the task is cancelled meanwhile; then that comes through."""
    doing = asyncio.ensure_future(work)
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        if not doing.cancelled() and doing.exception() is not None:
            raise doing.exception() from None  # type: ignore[misc]
        raise


def words(wanted: Sequence[Wanted]) -> str:
    """How several are named."""
    return " and ".join(one.name for one in wanted)
