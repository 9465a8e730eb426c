"""The faults ``delay`` and ``abort``: HTTP requests that wait, or are answered by a proxy in the server's stead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from meshchaos.errors import CannotPlace
from meshchaos.experiment.model import SpecKind
from meshchaos.faults import client_side, server_side
from meshchaos.faults.combining import combine
from meshchaos.faults.edge import Edge, HttpFault, resolve
from meshchaos.faults.kind import FaultContext, Placement
from meshchaos.faults.matching import Match, StringMatch
from meshchaos.mesh.seam import Snapshot

_BYPASSED = {
    "retries": "retries",
    "timeout": "timeout",
    "circuitBreaker": "circuit breaker",
    "ejection": "outlier detection",
}
"""Expectations about policies of a client, which a fault in that client's own proxy never meets."""


@dataclass(frozen=True, slots=True)
class MatchSpec:
    """Which requests: ``headers``, ``uri``, ``method``, each Istio's StringMatch."""

    headers: Mapping[str, StringMatch] | None = None
    uri: StringMatch | None = None
    method: StringMatch | None = None


@dataclass(frozen=True, slots=True)
class DelaySpec:
    """Requests to ``to`` wait for ``fixedDelay`` (seconds). ``percentage`` 0..100 of them."""

    to: str
    fixedDelay: float  # noqa: N815
    from_: str | None = None
    subset: str | None = None
    workload: str | None = None
    replicas: int | float | None = None
    percentage: float = 100.0
    at: Literal["server", "client"] | None = None
    match: MatchSpec | None = None


@dataclass(frozen=True, slots=True)
class AbortSpec:
    """Requests to ``to`` are answered with ``httpStatus``, or ``grpcStatus`` (a name or a number)."""

    to: str
    httpStatus: int | None = None  # noqa: N815
    grpcStatus: str | int | None = None  # noqa: N815
    from_: str | None = None
    subset: str | None = None
    workload: str | None = None
    replicas: int | float | None = None
    percentage: float = 100.0
    at: Literal["server", "client"] | None = None
    match: MatchSpec | None = None


@dataclass(frozen=True, slots=True)
class HttpFaultKind:
    """``delay`` or ``abort``: the same placement, another effect. ``family``: they are combined together."""

    kind: SpecKind
    family: str = "http"

    def place(self, spec: DelaySpec | AbortSpec, mesh: Snapshot, context: FaultContext) -> Placement:
        """Where the fault goes and what proves it. Raises UserError, CannotPlace."""
        fault = fault_of(spec)
        edge = resolve(fault, mesh, context.namespace)
        bare = server_side.unable(edge)
        if fault.at == "server" and bare:
            raise CannotPlace(f"at: server needs a sidecar, and {bare}; name a workload that has one, or at: client")
        if fault.at == "server" or (fault.at is None and not bare):
            reason = "as asked (at: server)" if fault.at else "where the clients' own retries and timeouts meet it"
            return server_side.place(fault, edge, mesh, context, f"in the server's inbound proxy, {reason}")
        reason = "as asked (at: client)" if fault.at else f"for {bare}"
        placement = client_side.place(fault, edge, mesh, context, f"in the clients' proxies, {reason}")
        _refuse_blind_claims(placement, edge, context)
        return placement

    def combine(self, placements: Sequence[Placement]) -> tuple[Placement, ...]:
        """All delays and aborts of one run, in order. Raises CannotPlace."""
        return combine(placements)


DELAY = HttpFaultKind(SpecKind("delay", DelaySpec, summary="requests wait before they are answered"))
ABORT = HttpFaultKind(SpecKind("abort", AbortSpec, summary="requests are answered with an error by a proxy"))


def fault_of(spec: DelaySpec | AbortSpec) -> HttpFault:
    """The fault that a spec asks for. Raises CannotPlace for values that no proxy takes."""
    asked = spec.match or MatchSpec()
    headers = {name.lower(): _said(value) for name, value in (asked.headers or {}).items()}
    common: dict[str, Any] = {
        "to": spec.to,
        "source": spec.from_,
        "subset": spec.subset,
        "workload": spec.workload,
        "replicas": spec.replicas,
        "percentage": spec.percentage,
        "at": spec.at,
        "match": Match(
            headers=headers,
            uri=_said(asked.uri) if asked.uri else None,
            method=_said(asked.method) if asked.method else None,
        ),
    }
    if not 0 < spec.percentage <= 100:
        raise CannotPlace(f"percentage: {spec.percentage:g} is not above 0 and at most 100")
    if round(spec.percentage * 10_000) == 0:
        raise CannotPlace(f"percentage: {spec.percentage:g} is less than proxies can count (0.0001)")
    if isinstance(spec, DelaySpec):
        if spec.fixedDelay < 0.001:
            raise CannotPlace("fixedDelay must be at least 1ms")
        return HttpFault(delay=spec.fixedDelay, **common)
    if (spec.httpStatus is None) == (spec.grpcStatus is None):
        raise CannotPlace("abort needs either httpStatus or grpcStatus")
    if spec.httpStatus is not None and not 200 <= spec.httpStatus < 600:
        raise CannotPlace(f"httpStatus: {spec.httpStatus} is not from 200 to 599")
    return HttpFault(http_status=spec.httpStatus, grpc_status=_grpc(spec.grpcStatus), **common)


def _grpc(status: str | int | None) -> int | None:
    if status is None:
        return None
    names = client_side.GRPC_STATUS
    number = int(status) if str(status).isdigit() else None
    if number is None and str(status).upper() in names:
        number = names.index(str(status).upper())
    if number is None or number >= len(names):
        raise CannotPlace(f"grpcStatus: {status} is not one of {', '.join(names)}")
    return number


def _said(match: Any) -> dict[str, str]:
    """One StringMatch as a mapping of its one key."""
    fields = match if isinstance(match, Mapping) else {k: getattr(match, k, None) for k in ("exact", "prefix", "regex")}
    return {key: str(value) for key, value in fields.items() if value is not None}


def _refuse_blind_claims(placement: Placement, edge: Edge, context: FaultContext) -> None:
    """Refuses a fault in the client beside an expectation about a policy that it bypasses on the same edge."""
    for key, about in context.claims:
        if key in _BYPASSED and _same_edge(about, edge):
            raise CannotPlace(
                f"the fault sits {placement.reason}, before the client's own {_BYPASSED[key]}: the expectation {key} "
                f"would test nothing; it must be at: server"
            )


def _same_edge(about: str, edge: Edge) -> bool:
    """``about`` is ``from -> to`` (either may be empty) in the user's references."""
    source, _, target = about.rpartition("->")
    source, target = source.strip(), target.strip()
    names = {edge.service.name, str(edge.service), edge.service.host}
    if target and target.partition(":")[0] not in names:
        return False
    if not source or edge.source is None:
        return True
    meant = {edge.source.words, *(one.name for one in edge.source.workloads)}
    return source.partition(".")[0] in {name.partition(".")[0] for name in meant}
