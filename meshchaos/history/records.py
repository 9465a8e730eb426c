"""What happened in a run, as frozen data. Pure; times are epoch seconds.

Filled by ``run`` from the load driver, the mesh and ``evidence``; read by ``checks`` and ``report``.
Everything here but the samples is in ``history.jsonl``, so that a run can be judged again without a mesh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from meshchaos.experiment.model import PhaseName
from meshchaos.history.asks import EdgeAsk, ProbeAsk, QueryAsk
from meshchaos.history.edges import Edge, SoFar
from meshchaos.history.probes import Probed
from meshchaos.history.queries import Answer
from meshchaos.history.samples import Samples

ProvedBy = Literal["injection", "config", "weights", "endpoints", "accepted", "killed", "partition", "stale"]


@dataclass(frozen=True, slots=True)
class PhaseStep:
    """A stretch of the fault phase that is judged by itself: one step of a ramp, as ``label`` ("abort 30 %")."""

    label: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    """A phase as it was: requests belong to it by their *intended start* in [start, end).

    ``cut`` says why it ended before its time, None when it ran its full length.
    ``planned`` is the full length in seconds. ``at_least`` is set where an early verdict could end it
    after that many seconds: looks on the way and the test at the end then share the error rate.
    """

    name: PhaseName
    start: float
    end: float
    planned: float
    cut: Literal["early-verdict", "stop-if", "interrupted", "invalid", "error"] | None = None
    at_least: float | None = None
    steps: tuple[PhaseStep, ...] = ()
    """Under a ramp: its steps as they were lived through, and what lies before and behind it."""

    @property
    def cut_by_data(self) -> bool:
        """Its length was chosen by what was seen, so that only a test that allows for looks may judge it."""
        return self.cut in {"early-verdict", "stop-if"}

    @property
    def broken_off(self) -> bool:
        """Ended by what makes its requests no evidence, as neither the data nor the user do."""
        return self.cut in {"invalid", "error"}


@dataclass(frozen=True, slots=True)
class Injection:
    """What one proxy's own records say about one fault between ``since`` and ``until``.

    ``injected`` of ``of`` requests concerned carry the fault's mark; ``of`` is None where the proxy
    cannot tell which requests were concerned. The counter is Envoy's ``fault.*_injected`` before and
    after, None where it is not exposed. ``lines`` are up to three log lines, as evidence to show.
    """

    proxy: str
    injected: int
    of: int | None
    counter: str = ""
    counter_before: int | None = None
    counter_after: int | None = None
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterShare:
    """How many of ``of`` requests went to one of Envoy's clusters; ``asked``: the share that should (0..1)."""

    cluster: str
    asked: float
    count: int
    of: int


@dataclass(frozen=True, slots=True)
class FaultStep:
    """One step of a ramp: ``share`` was asked (0..1) from ``live_at`` until ``until`` (None: until it was removed)."""

    share: float
    live_at: float
    until: float | None = None
    injections: tuple[Injection, ...] = ()


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """One fault of the run. ``share`` is what was asked, 0..1; None where it is none that a share of the requests
    carries. ``problem`` is set when it could not be proved for another reason than its numbers (it vanished in
    mid-phase, the log was unreadable).
    """

    id: str
    index: int
    kind: str
    at: Literal["server", "client"]
    edge: str
    reason: str
    share: float | None
    objects: tuple[str, ...]
    applied_at: float | None = None
    live_at: float | None = None
    removed_at: float | None = None
    gone_at: float | None = None
    injections: tuple[Injection, ...] = ()
    problem: str | None = None
    bypassed: tuple[str, ...] = ()
    steps: tuple[FaultStep, ...] = ()
    """Under a ramp; ``share`` is then that of the last step that began."""
    proof: ProvedBy = "injection"
    """How it is proved: by requests that carry it, by what proxies run, by where requests went, by replicas; or only
    that the mesh took it."""
    killed: tuple[str, ...] = ()
    """Replicas (``name.namespace``) in the order in which they were killed."""
    turns: tuple[float, ...] = ()
    """When what it does changed while it was live: replicas ended, others came back (epoch seconds)."""
    shown: tuple[str, ...] = ()
    """What was seen, a line each; of proofs by what proxies run and by replicas."""
    shares: tuple[ClusterShare, ...] = ()
    """Where requests went, of a proof by that."""


@dataclass(frozen=True, slots=True)
class GeneratorHealth:
    """How well one load kept its word, over the phases that are judged.

    ``target`` and ``achieved`` in 1/s (target None: closed model). ``achieved`` counts arrivals that
    were due and were started or dropped at the cap, so that only the generator's own failings show.
    ``lag_p99``: of actual minus intended start, seconds. ``dropped``: arrivals at the in-flight cap. ``requests``: rows
    of those phases in the sample file, so that a file which lost some later on is known.
    """

    load: str
    target: float | None
    achieved: float
    lag_p99: float
    dropped: int
    healthy: bool
    reason: str = ""
    closed: bool = False
    cpu_share: float | None = None
    requests: int | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Everything that checks may look at. ``samples`` by load name; ``confidence`` 0..1.

    ``generator`` holds one entry a load. ``edges``, ``queries``, ``probes``: what was asked for beside the loads, by
    the ask; empty in looks on the way, when ``so_far`` holds what is known of edges.
    """

    phases: tuple[PhaseRecord, ...]
    faults: tuple[FaultRecord, ...]
    samples: Mapping[str, Samples]
    generator: tuple[GeneratorHealth, ...]
    confidence: float
    notes: tuple[str, ...] = field(default=())
    edges: Mapping[EdgeAsk, Edge] = field(default_factory=dict)
    queries: Mapping[QueryAsk, Answer] = field(default_factory=dict)
    probes: Mapping[ProbeAsk, Probed] = field(default_factory=dict)
    so_far: Mapping[EdgeAsk, SoFar] = field(default_factory=dict)

    def phase(self, name: str) -> PhaseRecord | None:
        return next((phase for phase in self.phases if phase.name == name), None)
