"""What a run tells whoever listens: the history file, the terminal, the reports.

``at`` is epoch seconds. Handlers must not raise and must be quick; the run goes on whatever they do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from meshchaos.checks.kind import Finding
from meshchaos.history.edges import EdgeRecord
from meshchaos.history.probes import ProbeRecord
from meshchaos.history.queries import Answer
from meshchaos.history.records import FaultRecord, GeneratorHealth, PhaseRecord


@dataclass(frozen=True, slots=True)
class Event:
    at: float


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """``plan`` in words, one line each: load, phases, faults with their placement."""

    experiment: str
    run_id: str
    mesh: str
    seed: int
    folder: str
    hypothesis: str
    versions: Mapping[str, str]
    plan: tuple[str, ...]
    confidence: float
    slos: tuple[Mapping[str, Any], ...] = ()
    """The SLOs of meshchaos.yaml, so that the run's folder is enough to judge again."""
    source: str = ""
    """The file that the experiment came from, and the line of each expectation in it, in their order."""
    lines: tuple[int, ...] = ()
    overrides: tuple[tuple[str, str, Any], ...] = ()
    healers: tuple[str, ...] = ()
    """Who puts everything back when the run dies."""
    loads: tuple[str, ...] = ()
    meshchaos: str = ""


@dataclass(frozen=True, slots=True)
class Warned(Event):
    message: str


@dataclass(frozen=True, slots=True)
class PhaseStarted(Event):
    name: str
    planned: float


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """A few times a second within a phase. Over the last seconds of each load: rate in 1/s, success share,
    p99 in s (None: no samples). ``faults`` live now.
    """

    phase: str
    elapsed: float
    planned: float
    rate: float
    success: float | None
    p99: float | None
    p99_limit: float | None
    requests: int
    failures: int
    faults: tuple[str, ...]
    loads: int = 1


@dataclass(frozen=True, slots=True)
class PhaseFinished(Event):
    record: PhaseRecord


@dataclass(frozen=True, slots=True)
class FaultApplying(Event):
    """Before the first write; the journal is open."""

    id: str
    edge: str
    changes: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class FaultChanged(Event):
    """``step``: applied, live, stepped, killed, removed, gone, vanished. ``record`` as it is now."""

    step: str
    record: FaultRecord


@dataclass(frozen=True, slots=True)
class Evidence(Event):
    """The injecting proxies were read; ``record`` holds the injections."""

    record: FaultRecord


@dataclass(frozen=True, slots=True)
class EdgesWatched(Event):
    """The edges that checks asked for, in the order that ``edges.jsonl`` counts them in: when watching began, and again
    when it ended, with what is missing.
    """

    edges: tuple[EdgeRecord, ...]


@dataclass(frozen=True, slots=True)
class QueryAnswered(Event):
    """What the mesh's Prometheus said to one ask."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class ProbesSent(Event):
    """The matrices that checks asked for, in the order that ``probes.jsonl`` counts them in: when probing began, and
    again when it ended, with what is missing.
    """

    probes: tuple[ProbeRecord, ...]


@dataclass(frozen=True, slots=True)
class LoadFinished(Event):
    """One load ended; how well its generator kept its word over the judged phases."""

    health: GeneratorHealth


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """The run cannot go on as planned. What is applied is healed next.

    ``invalid``: the run no longer tests what it claims. ``error``: the mesh or the tool broke.
    """

    kind: Literal["stop-if", "interrupted", "invalid", "error"]
    reason: str
    finding: Finding | None = None
    """Of ``stopIf``."""


@dataclass(frozen=True, slots=True)
class Healed(Event):
    """Everything that was changed is put back, and that was verified in the proxies."""


@dataclass(frozen=True, slots=True)
class LeftBehind(Event):
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Judged(Event):
    """``about``: an expectation of the file, the steady state before any fault, or the proof of a fault."""

    finding: Finding
    about: str = "expectation"


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """``result`` is the content of result.json."""

    verdict: str
    reason: str
    result: Mapping[str, Any]


Handler = Callable[[Event], None]
