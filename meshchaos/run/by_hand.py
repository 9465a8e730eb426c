"""Faults outside of any experiment: made by code, one after another or several together, on one mesh."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshchaos.errors import AlreadyExists, CannotPlace, Conflict, NotFound, ProxyRejected, Refused, UserError
from meshchaos.experiment.model import Deadlines, Experiment, Fault, Where
from meshchaos.experiment.specs import build
from meshchaos.faults.kind import Placement
from meshchaos.mesh.seam import Mesh
from meshchaos.run.clock import Clock
from meshchaos.run.fault_by_hand import FaultByHand, Wanted, words
from meshchaos.run.placing import place
from meshchaos.run.rooms import Rooms
from meshchaos.run.vocabulary import Kinds


@dataclass
class ByHand:
    """Makes the faults of one mesh. ``output``: where each time leaves its history. ``close`` takes back what was
    entered and never left.
    """

    mesh: Mesh
    kinds: Kinds
    rooms: Rooms
    output: Path
    heal_command: str
    seed: int = 0
    clock: Clock | None = None
    active: FaultByHand | None = field(default=None, init=False)
    leftovers: list[str] = field(default_factory=list, init=False)

    def fault(self, key: str, fields: Mapping[str, Any]) -> FaultByHand:
        """``fault("delay", {"to": "ratings", "fixedDelay": "2s"})``; nothing is done before it is entered.
        Raises UserError for what its kind does not know.
        """
        kind = self.kinds.faults.get(key)
        if kind is None:
            raise UserError(f"there is no fault {key!r}; there are {', '.join(sorted(self.kinds.faults))}")
        spec = build(kind.kind, fields, place=f"chaos.{key}")
        return FaultByHand(self, (Wanted(key, spec),))

    def together(self, faults: Sequence[FaultByHand]) -> FaultByHand:
        """Several that are live at the same time: one journal entry, applied in turn, undone in reverse."""
        if not faults:
            raise UserError("chaos.together needs faults: chaos.together(chaos.delay(...), chaos.abort(...))")
        return FaultByHand(self, tuple(one for fault in faults for one in fault.wanted))

    def place(self, wanted: Sequence[Wanted], run_id: str) -> tuple[Placement, ...]:
        """As an experiment's faults are placed. Raises CannotPlace, also for what the mesh would not take."""
        snapshot = self.mesh.snapshot()
        namespace = snapshot.namespaces[0] if snapshot.namespaces else "default"
        placements = place(
            _experiment(wanted), snapshot, self.kinds, namespace=namespace, run_id=run_id, seed=self.seed
        ).placements
        if any(placement.kill is not None and placement.kill.every is not None for placement in placements):
            raise CannotPlace(f"{words(wanted)}: `every` needs a run that keeps the time: write an experiment")
        try:
            self.mesh.dry_run([change for placement in placements for change in placement.changes])
        except (AlreadyExists, Conflict, NotFound, ProxyRejected, Refused) as error:
            raise CannotPlace(f"{words(wanted)}: {error}") from error
        return placements

    def now(self) -> float:
        """Epoch seconds."""
        return time.time() if self.clock is None else self.clock.now()

    def wait(self, seconds: float) -> None:
        """Lets so much time pass."""
        if self.clock is not None:
            self.clock.wait(seconds)
        else:
            time.sleep(seconds)

    def close(self) -> None:
        if self.active is not None:
            self.active.__exit__(None, None, None)


def _experiment(wanted: Sequence[Wanted]) -> Experiment:
    """One that has these faults and nothing else, as placing wants it."""
    faults = tuple(
        Fault(kind=one.key, index=index, spec=one.spec, where=Where(one.name, 0, 0, ""))
        for index, one in enumerate(wanted)
    )
    return Experiment(
        name="by-hand",
        namespace=None,
        labels={},
        hypothesis="",
        mesh=None,
        loads=(),
        phases=(),
        faults=faults,
        expect=(),
        stop_if=None,
        confidence=0.95,
        deadlines=Deadlines(),
        where=Where(words(wanted), 0, 0, ""),
    )
