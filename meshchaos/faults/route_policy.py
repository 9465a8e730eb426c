"""The faults ``retries`` and ``timeout``: the policy of the routes to a service is another one for a while.

Fields of every route that leads to the service, in the VirtualServices that govern its clients. With ``from`` a named
copy of each route goes ahead of it, for these clients alone. Where no VirtualService governs, one is created.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from meshchaos.errors import CannotPlace
from meshchaos.experiment.fields import About, Duration, OneOrMany, PositiveDuration, Text, spec
from meshchaos.experiment.model import SpecKind
from meshchaos.faults.client_side import new_virtual_service
from meshchaos.faults.edge import Edge, HttpFault, resolve_for_clients
from meshchaos.faults.kind import ConfigProof, FaultContext, Placement
from meshchaos.faults.narrowing import narrowed_matches
from meshchaos.faults.owners import will_undo
from meshchaos.faults.route_combining import combine
from meshchaos.faults.server_side import duration
from meshchaos.faults.survey import Survey, survey, where
from meshchaos.mesh.changes import Change, Create, EditObject, recorded
from meshchaos.mesh.edits import MISSING, Edit, EditItem, InsertNamed, SetField
from meshchaos.mesh.istio import virtual_services as vs
from meshchaos.mesh.seam import Snapshot

HTTP = ("spec", "http")
_ENVOYS = {"retries": r"\.retry_policy\b", "timeout": r"\.timeout\b"}
"""Where an Envoy's route has what is changed."""


@spec
class RetriesSpec:
    to: Annotated[Text, About("the service whose clients retry otherwise: ratings, ratings.bookinfo, ratings:9080")]
    attempts: Annotated[int, About("how many retries at most; 0: none")]
    from_: Annotated[OneOrMany[Text], About("only these workloads")] = ()
    per_try_timeout: Annotated[PositiveDuration | None, About("when an attempt is given up")] = None
    retry_on: Annotated[Text | None, About("Istio's retryOn: 5xx,reset")] = None
    retry_remote_localities: Annotated[bool | None, About("Istio's retryRemoteLocalities")] = None

    def check(self) -> None:
        if not 0 <= self.attempts <= 100:
            raise ValueError("attempts must be from 0 (no retries) to 100")
        if self.attempts == 0 and self.retry_on is not None:
            raise ValueError("attempts: 0 means no retries, so there is nothing for retryOn to choose")


@spec
class TimeoutSpec:
    to: Annotated[Text, About("the service whose clients wait otherwise: ratings, ratings.bookinfo, ratings:9080")]
    timeout: Annotated[Duration, About("when a request is given up, retries included; 0s: never")]
    from_: Annotated[OneOrMany[Text], About("only these workloads")] = ()


@dataclass(frozen=True, slots=True)
class RoutePolicyKind:
    """``retries`` or ``timeout``; they are combined together."""

    kind: SpecKind
    family: str = "route"

    def place(self, spec: Any, mesh: Snapshot, context: FaultContext) -> Placement:
        """Where the policy is changed and what shows it. Raises UserError, CannotPlace."""
        fault = HttpFault(to=spec.to, sources=tuple(spec.from_))
        found = survey(fault, resolve_for_clients(fault, mesh, context.namespace), mesh)
        policy = _retries(spec) if isinstance(spec, RetriesSpec) else _timeout(spec)
        return _place(self.kind.key, found, context, policy)

    def combine(self, placements: Sequence[Placement]) -> tuple[Placement, ...]:
        """Raises CannotPlace for two that change one field of one route."""
        return combine(placements)


RETRIES = RoutePolicyKind(SpecKind("retries", RetriesSpec, summary="clients retry otherwise"))
TIMEOUT = RoutePolicyKind(SpecKind("timeout", TimeoutSpec, summary="clients give up at another time"))


@dataclass(frozen=True, slots=True)
class _Policy:
    """``field`` of a route gets ``value``; ``words`` say it."""

    field: str
    value: Any
    words: str


def _place(key: str, found: Survey, context: FaultContext, policy: _Policy) -> Placement:
    edge, words = found.edge, policy.words
    changes = _in_owners(found, context, policy)
    if found.ungoverned:
        more = {policy.field: policy.value}
        changes.append(Create(new_virtual_service(found, context.id, context.id, more)))
    if not changes:
        who = edge.source.words if edge.source else "any client with a sidecar"
        held = f", and those hold {words} already" if found.routes else ""
        raise CannotPlace(f"no route of {who} to {edge.service} would change{held}")
    return Placement(
        id=context.id,
        kind=key,
        at="client",
        edge=str(edge),
        reason="in the routes of its clients, where the policy is",
        changes=tuple(changes),
        proof=ConfigProof(
            proxies=proxies_of(found),
            section="routes",
            resources=clusters_of(edge),
            words=f"the route to {edge.service.name}:{edge.port.number} with {words}",
            field=_ENVOYS[key],
            mark=context.id,
        ),
        felt_by=felt_by(found),
        warnings=warnings_of(found, changes),
    )


def clusters_of(edge: Edge) -> str:
    """A regular expression for Envoy's clusters of the edge, subsets among them."""
    return rf"outbound\|{edge.port.number}\|[^|]*\|{re.escape(edge.service.host)}"


def proxies_of(found: Survey) -> tuple[str, ...]:
    """Names of the clients' proxies."""
    return tuple(f"{r.name}.{r.namespace}" for one in found.clients.values() for r in one.replicas if r.ready)


def felt_by(found: Survey) -> tuple[str, ...]:
    """Who has the changed policy."""
    if found.edge.source is not None:
        return tuple(one.name for one in found.clients.values())
    gateways = tuple(one.name for one in found.clients.values() if one.gateway)
    sidecars = any(not one.gateway for one in found.clients.values())
    return (*gateways, *((f"every client of {found.edge.service} with a sidecar",) if sidecars else ()))


def warnings_of(found: Survey, changes: Sequence[Change]) -> tuple[str, ...]:
    """Controllers that would put it back, routes that lead elsewhere too, clients that it does not reach."""
    result = []
    for change in changes:
        fight = will_undo(found.owners[change.ref]) if isinstance(change, EditObject) else None
        result += [fight] if fight else []
    for route in found.routes.values():
        hosts = {host for host, _, weight in vs.destinations(route.route, route.owner.namespace) if weight}
        others = sorted(hosts - {found.edge.service.host})
        if others:
            result.append(f"{where(route)} leads to {', '.join(others)} too, and its requests have the policy as well")
    result += [f"{hiding} hides {found.edge.service} from {name}" for name, hiding in found.blind.items()]
    if found.bare:
        result.append(f"clients with no sidecar do not have it: {', '.join(sorted(found.bare))}")
    return tuple(result)


def _in_owners(found: Survey, context: FaultContext, policy: _Policy) -> list[Change]:
    field, value = policy.field, policy.value
    changes: list[Change] = []
    number = 0
    for ref, owner in found.owners.items():
        edits: list[Edit] = []
        for route in found.of_owner(ref):
            if any(route.route.get(key) for key in ("redirect", "directResponse", "delegate")):
                continue
            if route.route.get(field, MISSING) == value:
                continue
            if found.edge.source is None:
                edits.append(EditItem(HTTP, route.route, (SetField((field,), MISSING, value),)))
                continue
            matches = narrowed_matches(route.route.get("match") or (), owner, found)
            if matches is not None:
                name = context.id if number == 0 else f"{context.id}-{number + 1}"
                number += 1
                element = _copy(route.route, name, matches, policy)
                edits.append(InsertNamed(HTTP, route.position + len(edits), element))
        if edits:
            changes.append(recorded(owner, EditObject(ref, tuple(edits))))
    return changes


def _copy(route: Mapping[str, Any], name: str, matches: Sequence[Mapping[str, Any]], policy: _Policy) -> dict[str, Any]:
    rest = {key: copy.deepcopy(kept) for key, kept in route.items() if key not in ("name", "match", policy.field)}
    return {"name": name, **({"match": list(matches)} if matches else {}), **rest, policy.field: policy.value}


def _retries(spec: RetriesSpec) -> _Policy:
    value: dict[str, Any] = {"attempts": spec.attempts}
    if spec.per_try_timeout is not None:
        value["perTryTimeout"] = duration(spec.per_try_timeout)
    if spec.retry_on is not None:
        value["retryOn"] = spec.retry_on
    if spec.retry_remote_localities is not None:
        value["retryRemoteLocalities"] = spec.retry_remote_localities
    words = f"{spec.attempts} retries" if spec.attempts else "no retries"
    return _Policy("retries", value, words + (f" on {spec.retry_on}" if spec.retry_on else ""))


def _timeout(spec: TimeoutSpec) -> _Policy:
    text = duration(spec.timeout)
    return _Policy("timeout", text, f"timeout {text}" if spec.timeout else "no timeout")
