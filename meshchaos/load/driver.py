"""The seam to a load generator, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from meshchaos.history.samples import Samples
from meshchaos.mesh.seam import Entry

if TYPE_CHECKING:
    from meshchaos.history.records import GeneratorHealth


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """Secrets are resolved here; never write one down."""

    name: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    weight: float


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """One load, ready to go. ``index`` and ``run_id`` make the request ids. ``samples`` is the file to fill,
    ``log`` where the generator's own words go. ``duration`` bounds it whatever happens to us, seconds.
    ``ramp``: seconds over which the rate rises to ``rate`` at the start, inside the warm-up: a mesh whose connections
    are all still to be made, each with a TLS handshake, may never recover from the full rate at once.
    """

    name: str
    index: int
    run_id: str
    entry: Entry
    target: str
    requests: tuple[RequestPlan, ...]
    rate: float | None
    arrivals: Literal["poisson", "uniform"]
    timeout: float
    max_in_flight: int
    seed: int
    duration: float
    samples: Path
    log: Path
    locustfile: Path | None = None
    users: int | None = None
    ramp: float = 0.0

    @property
    def grpc(self) -> bool:
        """Whether its requests are gRPC calls: ``POST``, the body a framed message."""
        return self.target.startswith("grpc://")


@dataclass(frozen=True, slots=True)
class Pulse:
    """The generator at its last beat (``Outcome``'s BEAT row). ``resolved``: every request whose intended
    start is before this moment has a row. ``finished``: arrivals ended and all are resolved (``resolved`` is infinity).
    """

    at: float
    in_flight: int
    oldest: float
    resolved: float
    due: int
    finished: bool


class LoadDriver(Protocol):
    """One generator for one load. Its process dies with us."""

    def start(self) -> None:
        """Returns when the first request is on its way. Raises LoadError with the generator's words."""

    def poll(self) -> Pulse:
        """Reads what has come since; cheap, called several times a second. Raises LoadError when the
        generator died.
        """

    def samples(self) -> Samples:
        """All so far, sorted by intended start (a view: do not keep across polls)."""

    def stop(self, timeout: float) -> None:
        """No more arrivals; waits until what is in flight is resolved, at most ``timeout`` seconds."""

    def health(self, start: float, end: float) -> GeneratorHealth:
        """Over arrivals whose intended start lies in [start, end)."""

    def close(self) -> None:
        """Ends the process now, whatever it does. Idempotent."""
