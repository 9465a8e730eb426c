"""The fault ``trafficShift``: requests go to the subsets of a service by other weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from meshchaos.errors import CannotPlace
from meshchaos.experiment.fields import About, Text, spec
from meshchaos.experiment.model import SpecKind
from meshchaos.faults.client_side import new_virtual_service
from meshchaos.faults.edge import HttpFault, resolve
from meshchaos.faults.kind import FaultContext, Placement, WeightsProof
from meshchaos.faults.route_combining import combine
from meshchaos.faults.route_policy import HTTP, felt_by, proxies_of, warnings_of
from meshchaos.faults.survey import Survey, survey, wholly
from meshchaos.mesh.changes import Change, Create, EditObject, recorded
from meshchaos.mesh.edits import MISSING, EditItem, SetField
from meshchaos.mesh.seam import Snapshot


@spec
class TrafficShiftSpec:
    to: Annotated[Text, About("the service whose requests are shifted: reviews, reviews.bookinfo, reviews:9080")]
    weights: Annotated[Mapping[str, int], About("subset of a DestinationRule -> its part of 100")]

    def check(self) -> None:
        if not self.weights or any(weight < 0 for weight in self.weights.values()):
            raise ValueError("weights are 0 and more, for at least one subset: {v1: 90, v2: 10}")
        if sum(self.weights.values()) != 100:
            raise ValueError(f"weights must add up to 100, and make {sum(self.weights.values())}")


class TrafficShiftKind:
    kind = SpecKind("trafficShift", TrafficShiftSpec, summary="requests go to subsets by other weights")
    family = "route"

    def place(self, spec: TrafficShiftSpec, mesh: Snapshot, context: FaultContext) -> Placement:
        """Where the weights are changed and what shows it. Raises UserError, CannotPlace."""
        for name in spec.weights:  # a subset that nobody defines would be answered by 503 NC
            resolve(HttpFault(to=spec.to, subset=name), mesh, context.namespace)
        fault = HttpFault(to=spec.to)
        edge = resolve(fault, mesh, context.namespace)
        found = survey(fault, edge, mesh)
        changes: list[Change] = []
        for ref, owner in found.owners.items():
            edits = []
            for route in found.of_owner(ref):
                shifted = _shifted(route.route, spec.weights)
                if wholly(found, owner, route) and shifted != route.route["route"]:
                    edits.append(EditItem(HTTP, route.route, (SetField(("route",), MISSING, shifted),)))
            if edits:
                changes.append(recorded(owner, EditObject(ref, tuple(edits))))
        if found.ungoverned:
            changes.append(Create(_virtual_service(found, context, spec.weights)))
        if not changes:
            raise CannotPlace(f"every route to {edge.service} has these weights already, or no client has one")
        shares = {
            f"outbound|{edge.port.number}|{name}|{edge.service.host}": weight / 100
            for name, weight in spec.weights.items()
        }
        return Placement(
            id=context.id,
            kind=self.kind.key,
            at="client",
            edge=str(edge),
            reason="in the routes of its clients, where the weights are",
            changes=tuple(changes),
            proof=WeightsProof(proxies_of(found), shares),
            felt_by=felt_by(found),
            warnings=(*warnings_of(found, changes), *_elsewhere(found, spec)),
        )

    def combine(self, placements: Sequence[Placement]) -> tuple[Placement, ...]:
        """With the other changes of routes. Raises CannotPlace."""
        return combine(placements)


TRAFFIC_SHIFT = TrafficShiftKind()


def _shifted(route: Mapping[str, Any], weights: Mapping[str, int]) -> list[dict[str, Any]]:
    """The route's destinations by subset: those that are there with what else they say, others like the first."""
    entries = list(route.get("route") or ())
    result = []
    for name, weight in weights.items():
        own = next((one for one in entries if one.get("destination", {}).get("subset") == name), None)
        entry = copy.deepcopy(dict(own)) if own is not None else {"destination": dict(entries[0]["destination"])}
        entry["destination"] = {**entry["destination"], "subset": name}
        result.append({**entry, "weight": weight})
    return result


def _virtual_service(found: Survey, context: FaultContext, weights: Mapping[str, int]) -> dict[str, Any]:
    made = new_virtual_service(found, context.id, context.id, {})
    for route in made["spec"]["http"][:1]:
        route["route"] = _shifted(route, weights)
    return made


def _elsewhere(found: Survey, spec: TrafficShiftSpec) -> list[str]:
    named = {
        str(one.get("destination", {}).get("subset"))
        for route in found.routes.values()
        for one in route.route.get("route") or ()
        if one.get("destination", {}).get("subset")
    }
    gone = sorted(named - set(spec.weights))
    return [f"subset {name} is routed to now and gets nothing, as weights does not name it" for name in gone]
