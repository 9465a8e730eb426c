"""What the engine is built from besides the mesh and the clock; replaced in tests, wired in ``run.wiring``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from meshchaos.faults.kind import Placement
from meshchaos.history.records import FaultRecord
from meshchaos.load.driver import LoadDriver, LoadPlan
from meshchaos.mesh.seam import Mesh


class Prover(Protocol):
    """Reads what the injecting proxies say about one fault."""

    def collect(self) -> None:
        """Takes in what they have said so far, so that little is left to read at the end. Raises EvidenceError."""

    def finish(self, record: FaultRecord) -> FaultRecord:
        """The record with its injections, once the lines of all its requests are there. Raises EvidenceError."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """``driver``: a generator for one load, told the tightest latency limit (s) that will be judged. ``prover``:
    begun just before the fault's first change, called with the run's id. ``log_headers``: the request headers that
    proxies must log for the proofs. ``probe``: one request of a load, within so many seconds; why no answer came,
    or None.
    """

    driver: Callable[[LoadPlan, float | None], LoadDriver]
    prover: Callable[[Mesh, Placement, str], Prover]
    log_headers: Callable[[Sequence[Placement]], Sequence[str]]
    probe: Callable[[LoadPlan, float], str | None]
