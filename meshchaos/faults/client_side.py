"""A fault in the clients' proxies, by named copies of routes in the VirtualServices that govern them.

Each route that leads to the service gets a copy of itself, with ``fault``, right ahead of it: same destination,
rewrite, timeout and retries, the match narrowed. Where no VirtualService governs, one is created. Such a fault acts
before its own route's router: retries, timeouts, breakers and ejections of that edge never see it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from meshchaos.errors import CannotPlace
from meshchaos.faults.edge import Edge, HttpFault
from meshchaos.faults.kind import FaultContext, Placement, Proof
from meshchaos.faults.narrowing import narrowed_matches
from meshchaos.faults.owners import will_undo
from meshchaos.faults.rules import effective_rule
from meshchaos.faults.server_side import duration
from meshchaos.faults.survey import Survey, survey, where, wholly
from meshchaos.mesh.changes import Change, Create, EditObject, recorded
from meshchaos.mesh.edits import InsertNamed
from meshchaos.mesh.istio import destination_rules
from meshchaos.mesh.istio import virtual_services as vs
from meshchaos.mesh.istio.order import namespace_of
from meshchaos.mesh.istio.ports import may_be_http
from meshchaos.mesh.objects import Manifest
from meshchaos.mesh.seam import Snapshot


def place(fault: HttpFault, edge: Edge, mesh: Snapshot, context: FaultContext, reason: str) -> Placement:
    """Copies in the governing VirtualServices, or a VirtualService of our own. Raises CannotPlace."""
    if fault.workload is not None or fault.replicas is not None:
        asked = "workload" if fault.workload is not None else "replicas"
        raise CannotPlace(
            f"{asked}: in the client, a fault is drawn before a replica of {edge.service} is chosen; write at: server"
        )
    found = survey(fault, edge, mesh)
    changes: list[Change] = []
    names: list[str] = []
    for ref, owner in found.owners.items():
        edits: list[InsertNamed] = []
        for route in found.of_owner(ref):
            name = copy_name(context.id, len(names))
            element = _copy(found, owner, route, name)
            if element is not None:
                names.append(name)
                # Earlier insertions into the same list have moved this route down.
                edits.append(InsertNamed(("spec", "http"), route.position + len(edits), element))
        if edits:
            changes.append(recorded(owner, EditObject(ref, tuple(edits))))
    if found.ungoverned:
        names.append(copy_name(context.id, len(names)))
        more = {"fault": istio_fault(fault)}
        changes.append(Create(new_virtual_service(found, context.id, names[-1], more)))
    if not changes:
        who = edge.source.words if edge.source else "any client with a sidecar"
        raise CannotPlace(f"no route of {who} leads to {edge.service}; write at: server")
    clients = tuple(found.clients.values())
    return Placement(
        id=context.id,
        kind=fault.key,
        at="client",
        edge=str(edge),
        reason=reason,
        changes=tuple(changes),
        proof=Proof(
            replicas=tuple(f"{r.name}.{r.namespace}" for one in clients for r in one.replicas if r.ready),
            side="outbound",
            flag=fault.flag,
            counter=rf"^http\.outbound_[^;]*;?\.fault\.{fault.counter}$",
            share=fault.percentage / 100,
            routes=tuple(names),
        ),
        felt_by=_felt_by(found),
        bypassed=_bypassed(found),
        warnings=_warnings(found, changes),
    )


def istio_fault(fault: HttpFault) -> dict[str, Any]:
    """A VirtualService's ``fault``. The percentage is always written: Istio takes a missing one as 0."""
    percentage = {"percentage": {"value": fault.percentage}}
    if fault.delay is not None:
        return {"delay": {"fixedDelay": duration(fault.delay), **percentage}}
    if fault.grpc_status is not None:
        return {"abort": {"grpcStatus": fault.grpc_status, **percentage}}
    return {"abort": {"httpStatus": fault.http_status, **percentage}}


def _copy(found: Survey, owner: Manifest, route: vs.HttpRoute, name: str) -> dict[str, Any] | None:
    """The owner's route under our name with the fault; None where it does not concern the edge after all."""
    if not wholly(found, owner, route):
        return None
    if route.route.get("fault"):
        raise CannotPlace(f"{where(route)} has a fault of its owner's already; take it away, or write at: server")
    matches = narrowed_matches(route.route.get("match") or (), owner, found)
    if matches is None:
        return None
    rest = {key: value for key, value in route.route.items() if key not in ("name", "match")}
    matching = {"match": matches} if matches else {}
    return {"name": name, **matching, "fault": istio_fault(found.fault), **copy.deepcopy(rest)}


def new_virtual_service(found: Survey, name: str, route_name: str, more: Mapping[str, Any]) -> Manifest:
    """A VirtualService for a host that had none: our route with ``more``, then the default where ours is narrowed."""
    service = found.edge.service
    several = sum(may_be_http(port.protocol) for port in service.ports) > 1
    before: list[Mapping[str, Any]] = [{"port": found.edge.port.number}] if several else []
    owner: Manifest = {"metadata": {"namespace": service.namespace}, "spec": {}}
    matches = narrowed_matches(before, owner, found)
    matching = {"match": matches} if matches else {}
    default = {"route": [{"destination": {"host": service.host}}]}
    spec: dict[str, Any] = {
        "hosts": [service.host],
        "http": [{"name": route_name, **matching, **more, **default}],
    }
    if matches:
        spec["http"].append({"name": f"{route_name}-rest", **copy.deepcopy(default)})
    with_sidecars = {one.namespace for one in found.mesh.workloads if one.sidecar and not one.gateway}
    if set(found.ungoverned) != with_sidecars:
        # Where somebody's wildcard governs, our exact host would take over.
        spec["exportTo"] = sorted("." if place == service.namespace else place for place in found.ungoverned)
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": service.namespace},
        "spec": spec,
    }


def _bypassed(found: Survey) -> tuple[str, ...]:
    """The policies of the edge that the fault never meets, in words."""
    result: list[str] = []
    for route in found.routes.values():
        owner = f"VirtualService {route.owner.name}.{route.owner.namespace}"
        if route.route.get("timeout"):
            result.append(f"timeout {route.route['timeout']} of {owner}")
        retries = route.route.get("retries")
        if retries:
            on = f" on {retries['retryOn']}" if retries.get("retryOn") else ""
            result.append(f"retries {retries.get('attempts', 2)}{on} of {owner}")
        else:
            result.append("Istio's default retries")
    if found.ungoverned:
        result.append("Istio's default retries")
    edge, mesh = found.edge, found.mesh
    for client in found.clients.values():
        rule = effective_rule(edge.service, mesh, client)
        policy = destination_rules.traffic_policy(rule, edge.port.number, found.fault.subset)
        for key in ("connectionPool", "outlierDetection"):
            if policy.get(key) and rule is not None:
                result.append(f"{key} of DestinationRule {rule['metadata']['name']}.{namespace_of(rule)}")
    return tuple(dict.fromkeys(result))


def _felt_by(found: Survey) -> tuple[str, ...]:
    narrow = f", where {found.fault.match}" if found.fault.match else ""
    clients = list(found.clients.values())
    if found.edge.source is None:
        gateways = tuple(f"{one.name}{narrow}" for one in clients if one.gateway)
        if any(not one.gateway for one in clients):
            return (*gateways, f"every client of {found.edge.service} with a sidecar{narrow}")
        return gateways
    return tuple(f"{one.name}{narrow}" for one in clients)


def _warnings(found: Survey, changes: list[Change]) -> tuple[str, ...]:
    result = []
    for change in changes:
        fight = will_undo(found.owners[change.ref]) if isinstance(change, EditObject) else None
        if fight:
            result.append(f"{fight}; at: server takes an object of our own")
    result += [f"{hiding} hides {found.edge.service} from {name}" for name, hiding in found.blind.items()]
    if found.bare:
        result.append(f"clients with no sidecar do not feel it: {', '.join(sorted(found.bare))}")
    return tuple(result)


def copy_name(base: str, number: int) -> str:
    """The name of the copy after so many others."""
    return base if number == 0 else f"{base}-{number + 1}"
