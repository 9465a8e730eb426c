"""What a kind of fault is: pure, (spec, snapshot) -> the changes that make it happen and what proves it.

Registered under the entry point group ``meshchaos.faults``; ours and a user's own come in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from meshchaos.experiment.model import SpecKind
from meshchaos.mesh.changes import Change
from meshchaos.mesh.seam import Snapshot


@dataclass(frozen=True, slots=True)
class Proof:
    """Where and how the injecting proxies show the fault.

    ``replicas``: Pod names (``name.namespace``) of the proxies that inject. ``side``: which of their log
    lines. ``flag``: ``DI`` or ``FI``. ``counter``: regular expression of Envoy's statistic. A line is
    concerned (the denominator) when its route is one of ``routes`` (empty: any), its peer matches
    ``peer`` (regular expression, None: any) and its ``method``, ``path`` and ``headers`` fit ``match``
    (name, or ``:path``/``:method``, to regular expression for a full match).
    ``share`` is what was asked, 0..1.
    """

    replicas: tuple[str, ...]
    side: Literal["inbound", "outbound"]
    flag: str
    counter: str
    share: float
    routes: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    peer: str | None = None
    match: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probe:
    """One request of ours, made before the fault and while it is live: its answer must change. ``source`` as a load's
    ``from``.
    """

    source: str
    namespace: str
    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigProof:
    """What proxies run is seen to change, in their own active configuration; that a request met it is not shown by it.

    ``proxies``: Pod names (``name.namespace``), each of which must show it. ``section``: of what; ``resources``: a
    regular expression for the full name of a cluster, listener or secret, for routes that of the cluster they lead to.
    ``words`` say what they run then ("route to ratings:9080 with timeout 0.5s"). With ``probe`` its answer must change,
    too. Not any change will do: one of what differs has to fit ``field`` (a regular expression, searched in
    ``evidence.differences``'s lines), or ``mark`` has to have come into it; both empty: any.
    """

    proxies: tuple[str, ...]
    section: Literal["routes", "clusters", "listeners", "secrets"]
    resources: str
    words: str
    probe: Probe | None = None
    field: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class WeightsProof:
    """Where clients' requests went, by their proxies' logs: ``weights`` are Envoy's clusters and the shares (0..1) that
    are asked of them. ``routes``: names of the routes concerned (empty: any that leads to those clusters).
    """

    replicas: tuple[str, ...]
    weights: Mapping[str, float]
    routes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointsProof:
    """How many replicas of a workload are ready: another number than before, and this one."""

    workload: str
    namespace: str
    ready: int


@dataclass(frozen=True, slots=True)
class AcceptedProof:
    """Nothing but that the mesh took the objects and held them: of a fault whose effect nobody can know beforehand."""

    words: str


@dataclass(frozen=True, slots=True)
class KilledProof:
    """Replicas are seen to be ready, then killed, then seen to be gone or started again."""

    workload: str
    namespace: str


@dataclass(frozen=True, slots=True)
class PartitionProof:
    """Requests that would have gone from ``clients`` to ``servers`` (Pod names, ``name.namespace``) are seen to fail in
    the clients' proxies without an answer from anywhere, on our ``routes`` to the cluster ``dead``; none went to a
    cluster that ``clusters`` (a regular expression) names, and none of the clients' ``identities`` (none: they share
    them) arrived.
    """

    clients: tuple[str, ...]
    servers: tuple[str, ...]
    routes: tuple[str, ...]
    dead: str
    clusters: str
    identities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StaleProof:
    """``proxies`` (Pod names) are seen not to have the cluster ``cluster``, which others got while they are kept from
    what is new.
    """

    proxies: tuple[str, ...]
    cluster: str


AnyProof = (
    Proof | ConfigProof | WeightsProof | EndpointsProof | AcceptedProof | KilledProof | PartitionProof | StaleProof
)


@dataclass(frozen=True, slots=True)
class Kill:
    """Replicas of one workload that are ended, each time ``count`` (a share of those ready then, rounded up, if it is a
    float) drawn by ``seed``; again after ``every`` seconds. Nothing undoes it: they come back by themselves.
    """

    workload: str
    namespace: str
    count: int | float
    what: Literal["pod", "app", "proxy"]
    seed: str
    every: float | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """One fault placed on one mesh. ``edge`` in words ("reviews -> ratings:9080"), ``reason`` why it sits
    there, ``bypassed`` the policies that a client-side fault never meets, ``felt_by`` the blast radius.
    """

    id: str
    kind: str
    at: Literal["server", "client"]
    edge: str
    reason: str
    changes: tuple[Change, ...]
    proof: AnyProof
    felt_by: tuple[str, ...] = ()
    bypassed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    kill: Kill | None = None
    """What is done beside the changes, which are then none as a rule."""

    @property
    def injection(self) -> Proof:
        """The proof of a fault that requests carry. Raises TypeError for another kind of proof."""
        if not isinstance(self.proof, Proof):
            raise TypeError(f"{self.kind} is not proved by requests that carry it")
        return self.proof

    @property
    def share(self) -> float | None:
        """The share of requests asked for, 0..1; None where the fault is not one that requests carry."""
        return self.proof.share if isinstance(self.proof, Proof) else None


@dataclass(frozen=True, slots=True)
class FaultContext:
    """``id`` is ``chaos-<run id>-<n>`` and goes into every name we make. ``seed`` picks replicas.
    ``namespace`` resolves short names. ``claims``: keys of the expectations of the same experiment,
    with the edges they are about, so that a client-side fault under a retry claim can be refused.
    """

    id: str
    index: int
    seed: int
    namespace: str
    claims: tuple[tuple[str, str], ...] = ()


class FaultKind(Protocol):
    """One kind. ``place`` raises CannotPlace, with the reason and what would help."""

    @property
    def kind(self) -> SpecKind: ...

    def place(self, spec: Any, mesh: Snapshot, context: FaultContext) -> Placement: ...

    def combine(self, placements: tuple[Placement, ...]) -> tuple[Placement, ...]:
        """Faults of one run that meet on one server's route become one object; raises CannotPlace
        where that is impossible. Called once with all placements of this kind's family.
        """
