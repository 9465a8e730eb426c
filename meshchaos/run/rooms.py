"""What the engine is built from besides the mesh and the clock; replaced in tests, wired in ``run.wiring``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from meshchaos.faults.kind import Placement
from meshchaos.history.asks import EdgeAsk
from meshchaos.history.edges import Told
from meshchaos.history.records import FaultRecord, PhaseRecord
from meshchaos.load.driver import LoadDriver, LoadPlan
from meshchaos.mesh.seam import Caller, Mesh
from meshchaos.run.clock import Clock
from meshchaos.run.events import Event
from meshchaos.run.plan import Plan
from meshchaos.run.probe import drive_away, probe_away


class Prover(Protocol):
    """Reads what the injecting proxies say about one fault."""

    def collect(self) -> None:
        """Takes in what they have said so far, so that little is left to read at the end. Raises EvidenceError."""

    def finish(self, record: FaultRecord) -> FaultRecord:
        """The record with its injections, once the lines of all its requests are there. Raises EvidenceError."""


class Observer(Protocol):
    """Gathers what checks asked for beside the loads' samples, while the run lasts, and writes it into its folder.

    What it cannot get is no reason to end the run: it is told with the answer, and the check that asked is INVALID.
    """

    def start(self) -> None:
        """Before the first request of the loads. Raises EvidenceError."""

    def collect(self) -> None:
        """Once a second, in every phase. Quick. Raises EvidenceError."""

    def finish(self) -> None:
        """After the loads have stopped and drained; whoever started last is called first."""

    def close(self) -> None:
        """Whatever happened; idempotent."""


@runtime_checkable
class Patient(Protocol):
    """An observer whose answers take some time to be there after the phases that they are about."""

    def due(self) -> float:
        """Epoch seconds before which ``finish`` must not be called; asked once the loads have stopped."""


@runtime_checkable
class Telling(Protocol):
    """An observer that knows of edges before the end."""

    def told(self) -> Mapping[EdgeAsk, Told]:
        """What it has learnt since the last call; asked after ``collect``."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What observers are made from. ``emit`` puts an event into the history; ``phases``: those that are over;
    ``phase``: the name of the one that lasts at this moment, None between two, which any thread may ask.
    """

    mesh: Mesh
    plan: Plan
    folder: Path
    clock: Clock
    emit: Callable[[Event], None]
    phases: Callable[[], Sequence[PhaseRecord]] = tuple
    phase: Callable[[], str | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Rooms:
    """``driver``: a generator for one load, told the tightest latency limit (s) that will be judged. ``prover``:
    begun just before the fault's first change, called with the run's id. ``log_headers``: the request headers that
    proxies must log for the proofs. ``probe``: one request of a load, within so many seconds; why no answer came,
    or None. ``observers``: of what the plan's checks ask for. ``away`` and
    ``probe_away``: the same as ``driver`` and ``probe`` for a load that a caller of the mesh sends.
    """

    driver: Callable[[LoadPlan, float | None], LoadDriver]
    prover: Callable[[Mesh, Placement, str], Prover]
    log_headers: Callable[[Sequence[Placement]], Sequence[str]]
    probe: Callable[[LoadPlan, float], str | None]
    observers: Callable[[Scene], Sequence[Observer]] = lambda scene: ()
    away: Callable[[Caller, LoadPlan, float | None], LoadDriver] = drive_away
    probe_away: Callable[[Caller, LoadPlan, float], str | None] = probe_away
