"""The faults ``connectionPool`` and ``outlierDetection``: other limits in the effective DestinationRule of clients.

Fields of the rule that decides, of its subsets and of its settings for the port where those have their own. With
``from`` a full copy of the effective rule, for these workloads alone. Where there is no rule, one is created.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from meshchaos.errors import CannotPlace
from meshchaos.experiment.fields import About, OneOrMany, PositiveDuration, Text, spec
from meshchaos.experiment.model import SpecKind
from meshchaos.faults.edge import Edge, HttpFault, identity_labels, resolve, same_edge
from meshchaos.faults.kind import ConfigProof, FaultContext, Placement
from meshchaos.faults.narrowing import refuse_lookalikes
from meshchaos.faults.owners import will_undo
from meshchaos.faults.route_policy import clusters_of
from meshchaos.faults.rules import acting_rules, effective_rule
from meshchaos.faults.server_side import duration
from meshchaos.mesh.changes import Change, Create, EditObject, edited, recorded
from meshchaos.mesh.edits import MISSING, Edit, EditItem, SetField
from meshchaos.mesh.objects import Manifest, Ref, ref_of
from meshchaos.mesh.seam import Snapshot, Workload

_DEFAULT_MAX_EJECTION = 10
_ENVOYS = {
    "connectionPool": r"circuit_breakers|connect_timeout|max_requests|protocol_options|connection_options",
    "outlierDetection": r"outlier_detection|common_lb_config",
}
"""Where an Envoy's cluster has what is changed."""
"""Per cent; Istio's and Envoy's, when nobody says."""

Values = dict[tuple[str, ...], Any]
"""Fields below ``connectionPool`` or ``outlierDetection``."""


@spec
class ConnectionPoolSpec:
    to: Annotated[Text, About("the service whose clients are limited: ratings, ratings.bookinfo, ratings:9080")]
    from_: Annotated[OneOrMany[Text], About("only these workloads")] = ()
    tcp: Annotated[Mapping[str, Any] | None, About("Istio's connectionPool.tcp: {maxConnections: 1}")] = None
    http: Annotated[Mapping[str, Any] | None, About("Istio's connectionPool.http: {http1MaxPendingRequests: 1}")] = None

    def check(self) -> None:
        if not self.tcp and not self.http:
            raise ValueError("a connectionPool needs tcp or http: http: {http1MaxPendingRequests: 1}")
        for key, fields in (("tcp", self.tcp), ("http", self.http)):
            zero = [name for name, value in (fields or {}).items() if value == 0 and value is not False]
            if zero:
                raise ValueError(f"{key}.{zero[0]}: 0 is no limit to Istio (it means unset); the least is 1")


@spec
class OutlierDetectionSpec:
    to: Annotated[Text, About("the service whose replicas are ejected otherwise: ratings, ratings:9080")]
    from_: Annotated[OneOrMany[Text], About("only by these workloads")] = ()
    consecutive5xx_errors: Annotated[int | None, About("ejected after so many; 0: never for it")] = None
    consecutive_gateway_errors: Annotated[int | None, About("the same of 502, 503 and 504")] = None
    consecutive_local_origin_failures: Annotated[int | None, About("the same of failed connections")] = None
    split_external_local_origin_errors: Annotated[bool | None, About("count those by themselves")] = None
    interval: Annotated[PositiveDuration | None, About("between two sweeps")] = None
    base_ejection_time: Annotated[PositiveDuration | None, About("how long, times how often it was ejected")] = None
    max_ejection_percent: Annotated[int | None, About("how many of the replicas at most; 10 unless somebody says")] = (
        None
    )
    min_health_percent: Annotated[int | None, About("below it, all are used")] = None

    def check(self) -> None:
        if not _outlier(self):
            raise ValueError("outlierDetection needs a field to change: consecutive5xxErrors: 1")


@dataclass(frozen=True, slots=True)
class _Limits:
    """``values`` below ``key`` for the clusters of ``edge``, by the rules of ``mesh``."""

    key: str
    values: Values
    edge: Edge
    mesh: Snapshot


@dataclass(frozen=True, slots=True)
class DestinationPolicyKind:
    """``connectionPool`` or ``outlierDetection``."""

    kind: SpecKind
    family: str = "destination"

    def place(self, spec: Any, mesh: Snapshot, context: FaultContext) -> Placement:
        """Where the limits are changed and what shows it. Raises UserError, CannotPlace."""
        key = self.kind.key
        edge = resolve(HttpFault(to=spec.to, sources=tuple(spec.from_)), mesh, context.namespace)
        if any(claim == "ejection" and same_edge(about, edge) for claim, about in context.claims):
            raise CannotPlace(
                f"any change of a DestinationRule makes clients build the cluster of {edge.service} anew and forget "
                f"whom they ejected: the expectation ejection on that edge would see it; put them in two experiments"
            )
        values = _pool(spec) if isinstance(spec, ConnectionPoolSpec) else _outlier(spec)
        limits = _Limits(key, values, edge, mesh)
        clients = _clients(edge, mesh)
        changes = _copies(limits, context) if edge.source else _in_owners(limits, clients, context)
        said = ", ".join(f"{'.'.join(path)} {value}" for path, value in values.items())
        return Placement(
            id=context.id,
            kind=key,
            at="client",
            edge=str(edge),
            reason="in the DestinationRule of its clients, where the limits are",
            changes=changes,
            proof=ConfigProof(
                proxies=tuple(f"{r.name}.{r.namespace}" for one in clients for r in one.replicas if r.ready),
                section="clusters",
                resources=clusters_of(edge),
                words=f"the cluster of {edge.service.name}:{edge.port.number} with {key} {said}",
                field=_ENVOYS[key],
            ),
            felt_by=tuple(one.name for one in clients)
            if edge.source
            else (f"every client of {edge.service} with a sidecar",),
            warnings=tuple(_warnings(limits, changes, clients)),
        )

    def combine(self, placements: Sequence[Placement]) -> tuple[Placement, ...]:
        """Raises CannotPlace for two that change one rule: each change recreates the cluster."""
        taken: dict[Any, Placement] = {}
        for placement in placements:
            for change in placement.changes:
                spec = change.manifest["spec"] if isinstance(change, Create) else None
                where = (
                    change.ref
                    if spec is None
                    else (change.ref.namespace, spec["host"], str(spec.get("workloadSelector")))
                )
                if where in taken:
                    raise CannotPlace(
                        f"faults {taken[where].kind} and {placement.kind} are both about the limits of "
                        f"{placement.edge}, and a client has one DestinationRule for it: put them in two experiments"
                    )
                taken[where] = placement
        return tuple(placements)


CONNECTION_POOL = DestinationPolicyKind(
    SpecKind("connectionPool", ConnectionPoolSpec, summary="clients' circuit breakers have other limits")
)
OUTLIER_DETECTION = DestinationPolicyKind(
    SpecKind("outlierDetection", OutlierDetectionSpec, summary="clients eject replicas otherwise")
)


def _pool(spec: ConnectionPoolSpec) -> Values:
    return {
        (part, name): value
        for part, fields in (("tcp", spec.tcp), ("http", spec.http))
        for name, value in (fields or {}).items()
    }


def _outlier(spec: OutlierDetectionSpec) -> Values:
    fields = {
        "consecutive5xxErrors": spec.consecutive5xx_errors,
        "consecutiveGatewayErrors": spec.consecutive_gateway_errors,
        "consecutiveLocalOriginFailures": spec.consecutive_local_origin_failures,
        "splitExternalLocalOriginErrors": spec.split_external_local_origin_errors,
        "interval": duration(spec.interval) if spec.interval is not None else None,
        "baseEjectionTime": duration(spec.base_ejection_time) if spec.base_ejection_time is not None else None,
        "maxEjectionPercent": spec.max_ejection_percent,
        "minHealthPercent": spec.min_health_percent,
    }
    return {(name,): value for name, value in fields.items() if value is not None}


def _clients(edge: Edge, mesh: Snapshot) -> list[Workload]:
    if edge.source is None:
        return [one for one in mesh.workloads if one.sidecar and not one.gateway]
    for one in edge.source.workloads:
        if not (one.sidecar or one.gateway):
            raise CannotPlace(f"{one.name} has no sidecar, so it has no limits to change")
    return list(edge.source.workloads)


def _rules(client: Workload, limits: _Limits) -> list[Manifest]:
    edge, mesh = limits.edge, limits.mesh
    return acting_rules(edge.service, mesh, client)


def _in_owners(limits: _Limits, clients: Sequence[Workload], context: FaultContext) -> tuple[Change, ...]:
    edge = limits.edge
    owners: dict[Ref, list[Edit]] = {}
    rules: dict[Ref, Manifest] = {}
    bare = False
    for client in clients:
        found = _rules(client, limits)
        bare = bare or not found
        top = next(
            (rule for rule in found if (rule.get("spec") or {}).get("trafficPolicy")), found[0] if found else None
        )
        for rule in found:
            ref = ref_of(rule)
            if ref not in owners:
                rules[ref], owners[ref] = rule, []
                owners[ref] = list(_edits(rule, limits, top=rule is top))
    changes: list[Change] = [
        recorded(rules[ref], EditObject(ref, tuple(edits))) for ref, edits in owners.items() if edits
    ]
    if bare:
        changes.append(Create(_rule(context.id, edge.service.namespace, _new_spec(limits))))
    if not changes:
        raise CannotPlace(f"the DestinationRule of {edge.service} says that already")
    return tuple(changes)


def _edits(rule: Manifest, limits: _Limits, *, top: bool) -> Iterator[Edit]:
    key, values, edge = limits.key, limits.values, limits.edge
    spec = rule.get("spec") or {}
    policy = spec.get("trafficPolicy") or {}
    level = next((one for one in policy.get("portLevelSettings") or () if _is_for(one, edge)), None)
    if top and level is not None:
        yield EditItem(("spec", "trafficPolicy", "portLevelSettings"), level, _fields((key,), values))
    elif top and any(_differs(policy.get(key), path, value) for path, value in values.items()):
        yield from _fields(("spec", "trafficPolicy", key), values)
    for subset in spec.get("subsets") or ():
        own = subset.get("trafficPolicy") or {}
        if any(_is_for(one, edge) for one in own.get("portLevelSettings") or ()):
            raise CannotPlace(
                f"subset {subset['name']} of {ref_of(rule)} has settings of its own for port {edge.port.number}, "
                f"which are not changed yet: move them to the subset's trafficPolicy"
            )
        if key in own:
            yield EditItem(("spec", "subsets"), subset, _fields(("trafficPolicy", key), values))


def _fields(base: tuple[str, ...], values: Values) -> tuple[SetField, ...]:
    return tuple(SetField((*base, *path), MISSING, value) for path, value in values.items())


def _differs(policy: Any, path: tuple[str, ...], value: Any) -> bool:
    for name in path:
        policy = (policy or {}).get(name)
    return bool(policy != value)


def _is_for(level: Mapping[str, Any], edge: Edge) -> bool:
    return bool((level.get("port") or {}).get("number") == edge.port.number)


def _new_spec(limits: _Limits) -> dict[str, Any]:
    key, values, edge = limits.key, limits.values, limits.edge
    made = edited({"spec": {}}, EditObject(Ref("", "", ""), _fields((key,), values)))
    return {"host": edge.service.host, "trafficPolicy": {key: made[key]}}


def _copies(limits: _Limits, context: FaultContext) -> tuple[Change, ...]:
    """The effective rule of each client with the new limits, for its labels, in its namespace."""
    edge, mesh = limits.edge, limits.mesh
    assert edge.source is not None
    refuse_lookalikes(edge.source, mesh)
    changes: list[Change] = []
    for number, client in enumerate(edge.source.workloads):
        rules = _rules(client, limits)
        if any((rule.get("spec") or {}).get("workloadSelector") for rule in rules):
            raise CannotPlace(
                f"{client.name} has a DestinationRule for {edge.service} of its own ({ref_of(rules[0])}), and a second "
                f"one beside it would not act: leave out from"
            )
        effective = effective_rule(edge.service, mesh, client)
        if effective is None:
            spec = _new_spec(limits)
        else:
            edits = tuple(_edits(effective, limits, top=True))
            if not edits:
                raise CannotPlace(f"the DestinationRule of {edge.service} says that already")
            spec = {**edited(effective, EditObject(ref_of(effective), edits))["spec"], "host": edge.service.host}
            spec.pop("exportTo", None)
        spec["workloadSelector"] = {"matchLabels": identity_labels(client)}
        name = context.id if number == 0 else f"{context.id}-{number + 1}"
        changes.append(Create(_rule(name, client.namespace, spec)))
    return tuple(changes)


def _rule(name: str, namespace: str, spec: Mapping[str, Any]) -> Manifest:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": namespace},
        "spec": dict(spec),
    }


def _warnings(limits: _Limits, changes: Sequence[Change], clients: Sequence[Workload]) -> Iterator[str]:
    key, values, edge, mesh = limits.key, limits.values, limits.edge, limits.mesh
    objects = {ref_of(item): item for item in mesh.objects}
    for change in changes:
        fight = will_undo(objects[change.ref]) if isinstance(change, EditObject) else None
        if fight:
            yield fight
    yield f"clients build the cluster of {edge.service} anew as it comes and goes, and forget whom they ejected"
    if key == "connectionPool" and edge.source is None:
        yield f"on a cluster the limits also hold in the inbound proxies of {edge.service}"
    if key != "outlierDetection":
        return
    percent = values.get(("maxEjectionPercent",))
    if percent is None:
        said = {_max_ejection(rule) for client in clients for rule in _rules(client, limits)} - {None}
        percent = min(said, default=_DEFAULT_MAX_EJECTION)  # type: ignore[type-var]
    count = len(edge.replicas)
    if percent is not None and count * percent < 100:
        yield (
            f"nothing can ever be ejected: {edge.service} has {count} replicas ready, and maxEjectionPercent is "
            + f"{percent}"
            + (" (the default)" if percent == _DEFAULT_MAX_EJECTION else "")
            + "; write maxEjectionPercent: 100"
        )


def _max_ejection(rule: Manifest) -> int | None:
    policy = (rule.get("spec") or {}).get("trafficPolicy") or {}
    found = (policy.get("outlierDetection") or {}).get("maxEjectionPercent")
    return int(found) if found is not None else None
