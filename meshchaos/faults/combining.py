"""Delays and aborts of one run that meet: made one object, put in order, or refused.

Envoy keeps one HTTPFault a route: at most one delay, one abort, and one set of header matches for both.
Where two faults become one object, the earlier placement keeps it and the later one has no change of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from meshchaos.errors import CannotPlace
from meshchaos.faults.kind import Placement
from meshchaos.faults.server_side import FILTER
from meshchaos.mesh.changes import Change, Create, EditObject
from meshchaos.mesh.edits import InsertNamed
from meshchaos.mesh.objects import Manifest, Ref


def combine(placements: Sequence[Placement]) -> tuple[Placement, ...]:
    """The placements, in order, so that all can be applied one after another. Raises CannotPlace."""
    result: list[Placement] = []
    for placement in placements:
        adding = _server(placement, result) if placement.at == "server" else _client(placement, result)
        result.append(adding)
    return tuple(result)


def _server(adding: Placement, before: list[Placement]) -> Placement:
    for position, earlier in enumerate(before):
        if earlier.at != "server" or not earlier.changes:
            continue
        meet = set(earlier.injection.replicas) & set(adding.injection.replicas)
        if not meet or not set(earlier.injection.clusters) & set(adding.injection.clusters):
            continue
        ours, theirs = _created(adding, "EnvoyFilter"), _created(earlier, "EnvoyFilter")
        if ours is None or theirs is None:
            continue
        one, other = _http_fault(theirs), _http_fault(ours)
        clash = _clash(one, other)
        if clash is None and set(earlier.injection.replicas) != set(adding.injection.replicas):
            clash = "they are asked for on different replicas"
        if clash is None and earlier.injection.clusters != adding.injection.clusters:
            clash = "they are asked for on different ports"
        if clash is None and one.get("headers") != other.get("headers"):
            clash = "they are narrowed differently (from, match)"
        if clash:
            raise CannotPlace(_refusal(earlier, adding, clash))
        merged = copy.deepcopy(theirs)
        for patch in merged["spec"]["configPatches"]:
            patch["patch"]["value"]["typed_per_filter_config"][FILTER] = {**one, **other}
        before[position] = replace(earlier, changes=_swapped(earlier.changes, theirs, merged))
        return replace(adding, changes=(), reason=f"{adding.reason}; in one EnvoyFilter with {earlier.id}")
    return adding


def _client(adding: Placement, before: list[Placement]) -> Placement:
    changes: list[Change] = []
    routes = list(adding.injection.routes)
    for change in adding.changes:
        kept, renamed = _edit(change, adding, before) if isinstance(change, EditObject) else (change, {})
        if isinstance(change, Create):
            kept, renamed = _create(change, adding, before)
        routes = [renamed.get(name, name) for name in routes]
        if kept is not None:
            changes.append(kept)
    return replace(adding, changes=tuple(changes), proof=replace(adding.injection, routes=tuple(routes)))


def _edit(change: EditObject, adding: Placement, before: list[Placement]) -> tuple[Change | None, dict[str, str]]:
    """The edit without the copies that could join an earlier one of the same route, and how those are called there.

    Positions stay those in the owner's object: each copy goes right ahead of its own route (``InsertNamed.anchor``),
    and so behind the copies of earlier faults.
    """
    edits: list[InsertNamed] = []
    renamed: dict[str, str] = {}
    for route, edit in _copies(change):
        twin = None
        for position, other in _earlier_copies(before, change.ref, route):
            if _twin(other.element, edit.element, before[position], adding):
                before[position] = _with_fault(before[position], change.ref, other.name, edit.element["fault"])
                renamed[edit.name] = twin = other.name
                break
        if twin is None:
            edits.append(replace(edit, at=route + len(edits)))
    return (EditObject(change.ref, tuple(edits)) if edits else None), renamed


def _create(change: Create, adding: Placement, before: list[Placement]) -> tuple[Change | None, dict[str, str]]:
    """A VirtualService of ours joins an earlier one for the same host: a second one would never act."""
    spec = change.manifest["spec"]
    for position, earlier in enumerate(before):
        theirs = _created(earlier, "VirtualService")
        if theirs is None or theirs["spec"]["hosts"] != spec["hosts"]:
            continue
        merged = copy.deepcopy(theirs)
        http = merged["spec"]["http"]
        ours = spec["http"][0]
        renamed: dict[str, str] = {}
        for route in http:
            if "fault" in route and _twin(route, ours, earlier, adding):
                route["fault"] = {**route["fault"], **ours["fault"]}
                renamed = {ours["name"]: route["name"]}
                break
        else:
            http.insert(len(http) - 1, ours)
        exports = {*theirs["spec"].get("exportTo", ["*"]), *spec.get("exportTo", ["*"])}
        merged["spec"].pop("exportTo", None)
        if "*" not in exports:
            merged["spec"]["exportTo"] = sorted(exports)
        before[position] = replace(earlier, changes=_swapped(earlier.changes, theirs, merged))
        return None, renamed
    return change, {}


def _twin(one: Mapping[str, Any], other: Mapping[str, Any], earlier: Placement, adding: Placement) -> bool:
    """True: the two copies match the same requests and can be one. False: no request fits both. Else CannotPlace."""
    if one.get("match") == other.get("match"):
        clash = _clash(one["fault"], other["fault"])
        if clash:
            raise CannotPlace(_refusal(earlier, adding, clash))
        return True
    if all(_disjoint(m, n) for m in one.get("match") or [{}] for n in other.get("match") or [{}]):
        return False
    raise CannotPlace(
        _refusal(earlier, adding, "they are narrowed differently (from, match) and some requests fit both")
    )


def _disjoint(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether no request can fit both matches, as far as labels and exact values tell."""
    if bool(one.get("gateways")) != bool(other.get("gateways")):
        return bool(one.get("sourceLabels") or other.get("sourceLabels"))
    if one.get("gateways") and not set(one["gateways"]) & set(other["gateways"]):
        return True
    labels, others = one.get("sourceLabels") or {}, other.get("sourceLabels") or {}
    if any(key in others and others[key] != value for key, value in labels.items()):
        return True
    spaces = (one.get("sourceNamespace"), other.get("sourceNamespace"))
    if all(spaces) and spaces[0] != spaces[1]:
        return True
    mine = {"uri": one.get("uri"), "method": one.get("method"), **(one.get("headers") or {})}
    theirs = {"uri": other.get("uri"), "method": other.get("method"), **(other.get("headers") or {})}
    return any(
        value and theirs.get(key) and "exact" in value and "exact" in theirs[key] and value != theirs[key]
        for key, value in mine.items()
    )


def _clash(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    both = [key for key in ("delay", "abort") if key in one and key in other]
    return f"both are a fault of kind {both[0]}" if both else None


def _refusal(earlier: Placement, adding: Placement, why: str) -> str:
    return (
        f"faults {earlier.kind} and {adding.kind} meet on one route ({adding.edge}), where Envoy keeps one delay and "
        f"one abort with the same match, and {why}: put them in two experiments"
    )


def _created(placement: Placement, kind: str) -> Manifest | None:
    found = (change.manifest for change in placement.changes if isinstance(change, Create))
    return next((manifest for manifest in found if manifest["kind"] == kind), None)


def _http_fault(manifest: Manifest) -> dict[str, Any]:
    value: dict[str, Any] = manifest["spec"]["configPatches"][0]["patch"]["value"]["typed_per_filter_config"][FILTER]
    return value


def _swapped(changes: Sequence[Change], old: Manifest, new: Manifest) -> tuple[Change, ...]:
    return tuple(Create(new) if isinstance(c, Create) and c.manifest is old else c for c in changes)


def _copies(change: EditObject) -> list[tuple[int, InsertNamed]]:
    """The copies of one change, each with the position of its route in the owner's object."""
    edits = [edit for edit in change.edits if isinstance(edit, InsertNamed)]
    return [(edit.at - number, edit) for number, edit in enumerate(edits)]


def _earlier_copies(before: Sequence[Placement], ref: Ref, route: int) -> list[tuple[int, InsertNamed]]:
    """Copies that earlier placements make of one route of one object: (the placement's position, the edit)."""
    return [
        (position, edit)
        for position, placement in enumerate(before)
        for change in placement.changes
        if isinstance(change, EditObject) and change.ref == ref
        for original, edit in _copies(change)
        if original == route
    ]


def _with_fault(placement: Placement, ref: Ref, name: str, fault: Mapping[str, Any]) -> Placement:
    changes: list[Change] = []
    for change in placement.changes:
        if isinstance(change, EditObject) and change.ref == ref:
            edits = tuple(
                replace(edit, element={**edit.element, "fault": {**edit.element["fault"], **fault}})
                if isinstance(edit, InsertNamed) and edit.name == name
                else edit
                for edit in change.edits
            )
            changes.append(EditObject(ref, edits))
        else:
            changes.append(change)
    return replace(placement, changes=tuple(changes))
