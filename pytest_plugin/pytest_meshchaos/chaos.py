"""What the fixture ``chaos`` gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshchaos.errors import UserError
from meshchaos.run.fault_by_hand import FaultByHand
from meshchaos.run.result import Result
from pytest_meshchaos.kinds.edge_faults import EdgeFaults
from pytest_meshchaos.kinds.object_faults import ObjectFaults
from pytest_meshchaos.session import ChaosSession


@dataclass(frozen=True)
class Chaos(EdgeFaults, ObjectFaults):
    """What the fixture ``chaos`` gives. ``folder`` is the test file's. Every installed kind of fault is a method:
    ``with chaos.delay(to="ratings", fixedDelay="2s") as fault:`` (or ``async with``), with ``from_`` for ``from``.
    A type checker knows those of meshchaos; for one of another distribution's, use ``fault``.
    """

    session: ChaosSession
    folder: Path

    def fault(self, kind: str, /, **fields: Any) -> FaultByHand:
        """One fault by its kind's key, with the fields of the file: durations as text ("250ms"), percentages 0 to 100.
        It is live inside of ``with``, taken back and proved on leaving. Raises UserError for a kind or field that is
        not there.
        """
        return self.session.by_hand().fault(kind, fields)

    def together(self, *faults: FaultByHand) -> FaultByHand:
        """Several that are live at the same time, applied in turn and taken back in reverse. Raises UserError."""
        return self.session.by_hand().together(faults)

    if not TYPE_CHECKING:

        def __getattr__(self, kind: str) -> Callable[..., FaultByHand]:
            if kind not in self.session.catalog.kinds.faults:
                raise AttributeError(f"chaos has no {kind!r}: neither a method nor an installed kind of fault")
            return partial(self.fault, kind)

    def run(self, path: str | Path, name: str | None = None) -> Result:
        """Runs an experiment of a file (relative to the test's folder): the only one, or the one called ``name``.
        Nothing of a fault outlives the call. Raises UserError.
        """
        file = self.folder / path
        if not file.is_file():
            raise UserError(f"{file}: no such file")
        found = self.session.read(file)
        names = ", ".join(one.name for one in found)
        chosen = [one for one in found if name in (None, one.name)]
        if not chosen:
            raise UserError(f"{file}: there is no experiment {name!r}; there are {names}")
        if len(chosen) > 1:
            raise UserError(f"{file}: there are several experiments: say which, {names}")
        return self.session.run(chosen[0])
