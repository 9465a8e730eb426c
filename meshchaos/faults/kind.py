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
    proof: Proof
    felt_by: tuple[str, ...] = ()
    bypassed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


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
