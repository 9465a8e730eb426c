"""The matches of a route's copy: the owner's, and further the fault's ``match`` and ``from``."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meshchaos.errors import CannotPlace
from meshchaos.faults.edge import Source, identity_labels
from meshchaos.faults.matching import narrowed
from meshchaos.faults.survey import Survey
from meshchaos.mesh.istio import virtual_services as vs
from meshchaos.mesh.istio.order import namespace_of
from meshchaos.mesh.objects import Manifest, selects
from meshchaos.mesh.seam import Snapshot, Workload


def narrowed_matches(
    matches: Sequence[Mapping[str, Any]], owner: Manifest, found: Survey
) -> list[dict[str, Any]] | None:
    """HTTPMatchRequests that hold where one of ``matches`` (none: everywhere), the fault's match and its ``from`` hold.

    An empty list: everywhere. None: nowhere. The owner's match names go (they would be added to our route's name).
    Raises CannotPlace where Istio cannot say it.
    """
    match, source = found.fault.match, found.edge.source
    result: list[dict[str, Any]] = []
    for one in matches or [{}]:
        unnamed = {key: copy.deepcopy(value) for key, value in one.items() if key != "name"}
        request = narrowed(unnamed, match)
        if request is None:
            continue
        if source is None:
            result.append(request)
            continue
        for client in source.workloads:
            only = _from_gateway(request, found.gateways, owner) if client.gateway else _from(request, client, owner)
            if only is not None and only not in result:
                result.append(only)
    if source is not None:
        refuse_lookalikes(source, found.mesh)
    if not result:
        return None
    return [] if {} in result else result


def _from(request: Mapping[str, Any], client: Workload, owner: Manifest) -> dict[str, Any] | None:
    """``request`` from this workload's sidecar alone. Istio ignores sourceLabels beside gateways, so those go."""
    named = [vs.gateway_name(str(name), namespace_of(owner)) for name in request.get("gateways") or ()]
    if named and vs.MESH not in named:
        return None
    wanted = request.get("sourceLabels") or {}
    if not selects(wanted, client.labels) or request.get("sourceNamespace") not in (None, "", client.namespace):
        return None
    rest = {key: value for key, value in request.items() if key != "gateways"}
    return {**rest, "sourceLabels": {**wanted, **identity_labels(client)}, "sourceNamespace": client.namespace}


def _from_gateway(request: Mapping[str, Any], gateways: Iterable[str], owner: Manifest) -> dict[str, Any] | None:
    """``request`` at those gateways alone."""
    place = namespace_of(owner)
    said = request.get("gateways") or (owner.get("spec") or {}).get("gateways") or ()
    serving = set(gateways)
    names = [name for name in said if vs.gateway_name(str(name), place) in serving]
    return {**request, "gateways": names} if names else None


def refuse_lookalikes(source: Source, mesh: Snapshot) -> None:
    """Raises CannotPlace. Labels of a source choose every workload that carries them, not only the one meant."""
    meant = {(one.namespace, one.name) for one in source.workloads}
    for client in source.workloads:
        if client.gateway:
            continue
        labels = identity_labels(client)
        for other in mesh.workloads:
            if other.namespace != client.namespace or (other.namespace, other.name) in meant or not other.sidecar:
                continue
            if selects(labels, other.labels):
                raise CannotPlace(
                    f"a client is known by its labels, and {other.name} has all those of {client.name}: give "
                    f"{client.name} a label of its own"
                )
