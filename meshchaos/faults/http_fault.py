"""The faults ``delay`` and ``abort``: HTTP requests that wait, or are answered by a proxy in the server's stead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from meshchaos.errors import CannotPlace
from meshchaos.experiment.fields import (
    About,
    GrpcStatus,
    HttpMatch,
    HttpStatus,
    OneOrMany,
    Percentage,
    PositiveDuration,
    Replicas,
    Text,
    spec,
)
from meshchaos.experiment.model import SpecKind
from meshchaos.faults import client_side, server_side
from meshchaos.faults.combining import combine
from meshchaos.faults.edge import Edge, HttpFault, resolve_for_clients, same_edge
from meshchaos.faults.kind import FaultContext, Placement
from meshchaos.faults.matching import Match
from meshchaos.mesh.seam import Snapshot

_BYPASSED = {
    "retries": "retries",
    "timeout": "timeout",
    "circuitBreaker": "circuit breaker",
    "ejection": "outlier detection",
}
"""Expectations about policies of a client, which a fault in that client's own proxy never meets."""


@spec
class DelaySpec:
    to: Annotated[Text, About("the service whose requests wait: ratings, ratings.bookinfo, ratings:9080")]
    fixed_delay: Annotated[PositiveDuration, About("how long each of them waits before it goes on")]
    from_: Annotated[OneOrMany[Text], About("only the requests of these workloads")] = ()
    subset: Annotated[Text | None, About("only at the replicas of this subset of a DestinationRule")] = None
    workload: Annotated[Text | None, About("only at the replicas of this workload")] = None
    replicas: Annotated[Replicas | None, About("only at so many replicas (1, 50%), drawn by the run's seed")] = None
    percentage: Annotated[Percentage, About("how many of the requests, each drawn by itself")] = 100.0
    at: Annotated[Literal["server", "client"] | None, About("whose proxy waits; by itself the server's")] = None
    match: Annotated[HttpMatch | None, About("only requests like these")] = None

    def check(self) -> None:
        if self.fixed_delay < 0.001:
            raise ValueError("fixedDelay must be at least 1ms")
        _check_percentage(self.percentage)


@spec
class AbortSpec:
    to: Annotated[Text, About("the service whose requests fail: ratings, ratings.bookinfo, ratings:9080")]
    http_status: Annotated[HttpStatus | None, About("what they are answered with, in the server's stead")] = None
    grpc_status: Annotated[GrpcStatus | None, About("the same for gRPC: UNAVAILABLE")] = None
    from_: Annotated[OneOrMany[Text], About("only the requests of these workloads")] = ()
    subset: Annotated[Text | None, About("only at the replicas of this subset of a DestinationRule")] = None
    workload: Annotated[Text | None, About("only at the replicas of this workload")] = None
    replicas: Annotated[Replicas | None, About("only at so many replicas (1, 50%), drawn by the run's seed")] = None
    percentage: Annotated[Percentage, About("how many of the requests, each drawn by itself")] = 100.0
    at: Annotated[Literal["server", "client"] | None, About("whose proxy answers; by itself the server's")] = None
    match: Annotated[HttpMatch | None, About("only requests like these")] = None

    def check(self) -> None:
        if (self.http_status is None) == (self.grpc_status is None):
            raise ValueError("an abort needs httpStatus or grpcStatus, one of the two")
        _check_percentage(self.percentage)


@dataclass(frozen=True, slots=True)
class HttpFaultKind:
    """``delay`` or ``abort``: the same placement, another effect. ``family``: they are combined together."""

    kind: SpecKind
    family: str = "http"

    def place(self, spec: Any, mesh: Snapshot, context: FaultContext) -> Placement:
        """Where the fault goes and what proves it. Raises UserError, CannotPlace."""
        fault = fault_of(spec)
        edge = resolve_for_clients(fault, mesh, context.namespace)
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
    """What a spec asks for."""
    asked = spec.match or HttpMatch()
    return HttpFault(
        to=spec.to,
        sources=tuple(spec.from_),
        subset=spec.subset,
        workload=spec.workload,
        replicas=spec.replicas,
        delay=spec.fixed_delay if isinstance(spec, DelaySpec) else None,
        http_status=spec.http_status if isinstance(spec, AbortSpec) else None,
        grpc_status=spec.grpc_status if isinstance(spec, AbortSpec) else None,
        percentage=spec.percentage,
        at=spec.at,
        match=Match(asked.headers, asked.uri, asked.method),
    )


def _check_percentage(percentage: float) -> None:
    if round(percentage * 10_000) == 0:
        raise ValueError(f"percentage: {percentage:g} injects nothing: proxies count in steps of 0.0001 %")


def _refuse_blind_claims(placement: Placement, edge: Edge, context: FaultContext) -> None:
    """Refuses a fault in the client beside an expectation about a policy that it bypasses on the same edge."""
    for key, about in context.claims:
        if key in _BYPASSED and same_edge(about, edge):
            raise CannotPlace(
                f"the fault sits {placement.reason}, before the client's own {_BYPASSED[key]}: the expectation {key} "
                f"would test nothing; it must be at: server"
            )
