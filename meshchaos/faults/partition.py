"""The fault ``partition``: no request from a workload reaches another, as when the network between them is cut.

A named copy of each route goes ahead of it, for these clients alone, and leads to a ServiceEntry with one dead
endpoint. The owner's timeout and retries are kept: that they cannot help is what the fault is for.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from meshchaos.errors import CannotPlace
from meshchaos.experiment.fields import About, OneOrMany, Text, spec
from meshchaos.experiment.model import SpecKind
from meshchaos.faults.client_side import copy_name, new_virtual_service
from meshchaos.faults.edge import Edge, HttpFault, Source, identity_of, resolve_for_clients
from meshchaos.faults.kind import FaultContext, PartitionProof, Placement
from meshchaos.faults.narrowing import narrowed_matches
from meshchaos.faults.route_policy import clusters_of, felt_by, proxies_of, warnings_of
from meshchaos.faults.survey import Survey, survey
from meshchaos.mesh.changes import Change, Create, EditObject, recorded
from meshchaos.mesh.edits import InsertNamed
from meshchaos.mesh.istio.hosts import fqdn
from meshchaos.mesh.istio.order import namespace_of
from meshchaos.mesh.objects import Manifest
from meshchaos.mesh.seam import Snapshot

CLOSED = "127.0.0.1:1"
"""A place where nobody listens: the port of tcpmux, on the client's own loopback."""


@spec
class PartitionSpec:
    to: Annotated[Text, About("the service that is not reached: ratings, ratings.bookinfo, ratings:9080")]
    from_: Annotated[OneOrMany[Text], About("these workloads do not reach it; gateway: the ingress gateway")]
    how: Annotated[
        Literal["refuse", "blackhole"], About("connections are refused at once, or wait for an answer that never comes")
    ] = "refuse"

    def check(self) -> None:
        if not self.from_:
            raise ValueError("from is empty: name who is cut off")


class PartitionKind:
    kind = SpecKind("partition", PartitionSpec, summary="a workload does not reach another any more")
    family = "partition"

    def place(self, spec: PartitionSpec, mesh: Snapshot, context: FaultContext) -> Placement:
        """The dead end, the routes that lead there, and what shows it. Raises UserError, CannotPlace."""
        fault = HttpFault(to=spec.to, sources=tuple(spec.from_))
        edge = resolve_for_clients(fault, mesh, context.namespace)
        found = survey(fault, edge, mesh)
        dead = f"{context.id}.partition.invalid"
        changes, names = _routes(found, context, {"host": dead, "port": {"number": edge.port.number}})
        if not changes or edge.source is None:
            raise CannotPlace(
                f"no route of {', '.join(spec.from_)} leads to {edge.service}: nothing is there to be cut"
            )
        place = CLOSED if spec.how == "refuse" else mesh.silent
        waits = "refused at once" if spec.how == "refuse" else "never answered"
        return Placement(
            id=context.id,
            kind=self.kind.key,
            at="client",
            edge=str(edge),
            reason=f"in the clients' routes, which lead to {place}, where connections are {waits}",
            changes=(Create(_dead_end(context.id, dead, edge, place)), *changes),
            proof=PartitionProof(
                clients=proxies_of(found),
                servers=tuple(f"{r.name}.{r.namespace}" for r in edge.replicas if r.sidecar),
                routes=names,
                dead=f"outbound|{edge.port.number}||{dead}",
                clusters=clusters_of(edge),
                identities=_identities(edge.source, mesh),
            ),
            felt_by=felt_by(found),
            warnings=warnings_of(found, changes),
        )


PARTITION = PartitionKind()


def _routes(found: Survey, context: FaultContext, dead: Mapping[str, Any]) -> tuple[list[Change], tuple[str, ...]]:
    """The changes of VirtualServices, and the names of our routes."""
    changes: list[Change] = []
    names: list[str] = []
    for ref, owner in found.owners.items():
        edits: list[InsertNamed] = []
        for route in found.of_owner(ref):
            matches = narrowed_matches(route.route.get("match") or (), owner, found)
            rest = _cut(route.route, owner, found, dead)
            if matches is None or rest is None:
                continue
            name = copy_name(context.id, len(names))
            names.append(name)
            element = {"name": name, **({"match": matches} if matches else {}), **rest}
            edits.append(InsertNamed(("spec", "http"), route.position + len(edits), element))
        if edits:
            changes.append(recorded(owner, EditObject(ref, tuple(edits))))
    if found.ungoverned:
        names.append(copy_name(context.id, len(names)))
        made = new_virtual_service(found, context.id, names[-1], {})
        made["spec"]["http"][0]["route"] = [{"destination": dict(dead)}]
        changes.append(Create(made))
    return changes, tuple(names)


def _cut(route: Mapping[str, Any], owner: Manifest, found: Survey, dead: Mapping[str, Any]) -> dict[str, Any] | None:
    """A route without name and match in which what led to the service leads nowhere, its mirrors left out; None where
    nothing of it does.
    """
    namespace, service = namespace_of(owner), found.edge.service

    def meant(destination: Mapping[str, Any]) -> bool:
        port = (destination.get("port") or {}).get("number")
        host = fqdn(str(destination.get("host") or ""), namespace, found.mesh.domain)
        return host == service.host and port in (None, found.edge.port.number)

    made = {key: copy.deepcopy(value) for key, value in route.items() if key not in ("name", "match")}
    changed = False
    for entry in made.get("route") or ():
        if meant(entry.get("destination") or {}):
            entry["destination"] = dict(dead)
            changed = True
    if meant(made.get("mirror") or {}):
        made = {key: value for key, value in made.items() if not key.startswith("mirror")}
    if "mirrors" in made:
        made["mirrors"] = [one for one in made["mirrors"] if not meant(one.get("destination") or {})]
    return made if changed else None


def _dead_end(name: str, host: str, edge: Edge, place: str) -> Manifest:
    address, _, number = place.rpartition(":")
    protocol = edge.port.protocol.upper() if edge.port.protocol != "auto" else "HTTP"
    spec = {
        "hosts": [host],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": edge.port.number, "name": "dead", "protocol": protocol, "targetPort": int(number)}],
        "endpoints": [{"address": address}],
    }
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": edge.service.namespace},
        "spec": spec,
    }


def _identities(source: Source, mesh: Snapshot) -> tuple[str, ...]:
    """Those that nobody else has: what arrives under another's cannot be told apart."""
    meant: Sequence[Any] = source.workloads
    others = {identity_of(one, mesh) for one in mesh.workloads if one not in meant}
    return tuple(identity for identity in source.identities if identity not in others)
