"""What the user wrote, as frozen data: units resolved, defaults filled in, positions kept.

Times and durations are seconds (``float``), rates 1/s, shares 0..1, ``percentage`` 0..100.
Built only by ``meshchaos.experiment.reader``. Kinds of faults and expectations are not known here:
their specs are the dataclasses that the registered kinds bring (``Vocabulary``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

PhaseName = Literal["warmup", "baseline", "observe", "fault", "recovery"]


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file, for messages: ``path`` inside the document, ``line`` and ``col`` from 1 (0: unknown)."""

    file: str
    line: int
    col: int
    path: str


@dataclass(frozen=True, slots=True)
class Secret:
    """``{env: NAME}`` or ``{file: PATH}``: resolved at run time only (``secrets.resolve``), never written down.

    ``prefix`` goes before what is found: ``token:`` is the header ``Authorization`` with ``Bearer ``.
    ``PATH`` is absolute once read.
    """

    source: Literal["env", "file"]
    name: str
    prefix: str = ""


TextOrSecret = str | Secret


@dataclass(frozen=True, slots=True)
class Token:
    """What a probe shows as its bearer token, unresolved. ``kind`` is ``none``, ``garbage``, ``env``, ``file`` or
    ``signed``; ``name`` the variable, the path, or the issuer, whose private key meshchaos.yaml names. ``claims``:
    JSON of an object, keys sorted.
    """

    kind: Literal["none", "garbage", "env", "file", "signed"] = "none"
    name: str = ""
    claims: str = ""
    expired: bool = False

    def __str__(self) -> str:
        if self.kind == "signed":
            claims = [
                f"{name}: {value if isinstance(value, str) else json.dumps(value)}"
                for name, value in json.loads(self.claims or "{}").items()
            ]
            text = f"expired token of {self.name}" if self.expired else f"token of {self.name}"
            return f"{text} ({', '.join(claims)})" if claims else text
        return {"none": "no token", "garbage": "garbage as token"}.get(self.kind, f"token in {self.kind} {self.name}")

    @property
    def shown(self) -> str:
        """``with token of ...``, for what is said of a call."""
        return "without a token" if self.kind == "none" else f"with {self}"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs probes' tokens: ``name`` goes in as ``iss``, ``key_id`` as ``kid``. ``key_file`` is absolute, a
    private key in PEM (RSA, or ECDSA on P-256 or P-384).
    """

    name: str
    key_file: str
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One kind of request of a load. ``weight`` is relative to the others'. ``path`` with its query."""

    name: str
    method: str
    path: str
    headers: Mapping[str, TextOrSecret]
    body: TextOrSecret | None
    weight: float = 1.0
    message: str | None = None
    """Of a gRPC call: JSON of an object."""


@dataclass(frozen=True, slots=True)
class Load:
    """One stream of requests. ``target`` is an absolute URL; the requests' paths replace its path.

    ``source`` is ``gateway``, ``outside`` or a workload's name (the file's ``from``). With
    ``locustfile`` (an absolute path) the model is closed: ``users`` users, and no rate.
    """

    name: str
    target: str
    source: str
    rate: float | None
    arrivals: Literal["poisson", "uniform"]
    timeout: float
    max_in_flight: int
    requests: tuple[Request, ...]
    locustfile: str | None = None
    users: int | None = None
    where: Where | None = None
    protoset: str | None = None
    """What a gRPC load's messages are made by: the absolute path of a compiled descriptor set."""

    @property
    def grpc(self) -> bool:
        return self.target.startswith("grpc://")


@dataclass(frozen=True, slots=True)
class Phase:
    """``at_most`` is the phase's full length; ``at_least`` set: an early verdict may end it after that."""

    name: PhaseName
    at_most: float
    at_least: float | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: ``kind`` is its key, ``spec`` the frozen dataclass of that kind, ``index`` its place in the file.

    Live from ``after`` (s since the fault phase began) for ``lasts`` s; None: to the phase's end. A ``ramp`` holds the
    specs of its steps, which come one after another, equally long; ``spec`` is the first of them.
    """

    kind: str
    index: int
    spec: Any
    where: Where
    after: float = 0.0
    lasts: float | None = None
    ramp: tuple[RampStep, ...] = ()

    @property
    def timed(self) -> bool:
        """Whether it is not simply there from the phase's begin to its end."""
        return bool(self.after or self.lasts is not None or self.ramp)

    def window(self, phase: float) -> tuple[float, float]:
        """From when to when it is live in a fault phase of so many seconds."""
        return self.after, phase if self.lasts is None else min(phase, self.after + self.lasts)


@dataclass(frozen=True, slots=True)
class RampStep:
    """One step of a ramp: the fault at this ``percentage`` (0..100), ``spec`` as the kind's own."""

    percentage: float
    spec: Any


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation as written. ``during`` None: the default (fault, or observe without faults).

    ``load``, ``request``: which stream it is about; None: all. ``name`` None: made by the kind.
    """

    kind: str
    index: int
    spec: Any
    where: Where
    name: str | None = None
    during: tuple[PhaseName, ...] | None = None
    load: str | None = None
    request: str | None = None


@dataclass(frozen=True, slots=True)
class StopIf:
    """Below this success share, for sure: heal at once, FAIL. ``to`` and ``sources``: on an edge instead of loads."""

    success_below: float
    load: str | None = None
    request: str | None = None
    to: str | None = None
    sources: tuple[str, ...] = ()
    where: Where | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Deadlines:
    live: float = 30.0
    gone: float = 30.0
    heal: float = 120.0
    run: float = 900.0


@dataclass(frozen=True, slots=True)
class Experiment:
    """One belief and how it is tested. ``resolved`` is the merged document as it goes into the run's folder
    (secrets unresolved); ``overrides`` the changes made to the file's own words: (origin, path, value).
    """

    name: str
    namespace: str | None
    labels: Mapping[str, str]
    hypothesis: str
    mesh: str | None
    loads: tuple[Load, ...]
    phases: tuple[Phase, ...]
    faults: tuple[Fault, ...]
    expect: tuple[Expectation, ...]
    stop_if: StopIf | None
    confidence: float
    deadlines: Deadlines
    where: Where
    resolved: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[tuple[str, str, Any], ...] = ()
    existing: bool = False
    """``load: existing``: there is no load of ours, what the mesh's users send is judged."""

    def phase(self, name: PhaseName) -> Phase | None:
        return next((phase for phase in self.phases if phase.name == name), None)

    @property
    def ramp(self) -> Fault | None:
        """The fault whose percentage goes up, or down, in steps; there is at most one."""
        return next((fault for fault in self.faults if fault.ramp), None)

    @property
    def main_phase(self) -> PhaseName:
        """The phase that expectations are about when they do not say: ``fault``, or ``observe``."""
        return "fault" if self.faults else "observe"


@dataclass(frozen=True, slots=True)
class SpecKind:
    """What a kind of fault or expectation lets the user write.

    ``spec`` is a frozen dataclass whose fields are annotated with the types of
    ``meshchaos.experiment.fields``; ``scalar`` names the field that a bare value is short for.
    """

    key: str
    spec: type
    scalar: str | None = None
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The kinds that are registered, by key."""

    faults: Mapping[str, SpecKind]
    checks: Mapping[str, SpecKind]


@dataclass(frozen=True, slots=True)
class Slo:
    """An SLO of meshchaos.yaml. ``latency``: quantile (0..1) to limit in seconds."""

    name: str
    success: float | None
    latency: Mapping[float, float]
    window: float | None = None
