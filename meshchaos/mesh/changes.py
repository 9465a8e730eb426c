"""Changes to mesh objects, and their exact undoing; pure.

A ``Change`` is one of two things: a new object, or edits to fields of an object that has an owner.
Undoing takes out what we put in and nothing else: an edit that somebody else made meanwhile stays.
Field paths are tuples of mapping keys and list positions; lists are only edited by *named* elements,
since Istio's lists are atomic and positions shift under us.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from meshchaos.mesh.objects import Manifest, Ref, ref_of

Path = tuple[str, ...]

OWN_PREFIX: Final = "chaos-"
"""Begins the name of everything that any run puts anywhere."""

MISSING: Final = {"meshchaos.dev/missing": True}
"""Stands for a field that is not there (``None`` is a value); JSON, so that journals can hold it."""


@dataclass(frozen=True, slots=True)
class SetField:
    """One field gets a value. ``before`` is what the owner had (MISSING: nothing), ``made`` how many of the mappings
    around it are ours, too, since the owner had none: they go again when nobody has put anything else into them.
    """

    path: Path
    before: Any
    after: Any
    made: int = 0


@dataclass(frozen=True, slots=True)
class InsertNamed:
    """An element with a ``name`` of ours goes into a list, ahead of position ``at`` (0: first).

    ``anchor`` is the owner's element that it goes ahead of (MISSING: the end of the list; None: not recorded, the
    position alone counts). ``made``: as for a field, the list itself among them.
    """

    path: Path
    at: int
    element: Mapping[str, Any]
    anchor: Any = None
    made: int = 0

    @property
    def name(self) -> str:
        return str(self.element["name"])


Edit = SetField | InsertNamed


@dataclass(frozen=True, slots=True)
class Create:
    """A new object of ours; undone by deleting it."""

    manifest: Manifest

    @property
    def ref(self) -> Ref:
        return ref_of(self.manifest)


@dataclass(frozen=True, slots=True)
class EditObject:
    """Edits to an object that exists; undone field by field."""

    ref: Ref
    edits: tuple[Edit, ...]


Change = Create | EditObject


def recorded(manifest: Manifest, change: EditObject) -> EditObject:
    """``change`` with what its undoing needs read from ``manifest``, the object as it is before: what fields held,
    which mappings and lists were not there, which elements ours go ahead of.
    """
    result = copy.deepcopy(manifest)
    edits: list[Edit] = []
    for edit in change.edits:
        known: Edit
        if isinstance(edit, SetField):
            made = _missing(result, edit.path[:-1])
            known = SetField(edit.path, copy.deepcopy(_get(result, edit.path)), edit.after, made)
        else:
            items = _items(result, edit.path)
            anchor = copy.deepcopy(items[edit.at]) if edit.at < len(items) else MISSING
            known = InsertNamed(edit.path, edit.at, edit.element, anchor, _missing(result, edit.path))
        _make(result, known)
        edits.append(known)
    return EditObject(change.ref, tuple(edits))


def stale(manifest: Manifest, change: EditObject) -> list[str]:
    """Why ``change`` does not fit the object any more, one line each: a field that no longer holds what was recorded, a
    list without the element that ours goes ahead of. Making it all the same would undo somebody's edit later on.
    """
    result = copy.deepcopy(manifest)
    lines: list[str] = []
    for edit in change.edits:
        if isinstance(edit, SetField):
            if _get(result, edit.path) not in (edit.before, edit.after):
                lines.append(f"{change.ref}: {'.'.join(edit.path)} was changed since this was planned")
        elif _place(_items(result, edit.path), edit) is None:
            lines.append(f"{change.ref}: an element of {'.'.join(edit.path)} was changed since this was planned")
        _make(result, edit)
    return lines


def edited(manifest: Manifest, change: EditObject) -> Manifest:
    """``manifest`` with the edits made, whether it is ``stale`` or not. Idempotent: an element of ours that is there
    stays where it is.
    """
    result = copy.deepcopy(manifest)
    for edit in change.edits:
        _make(result, edit)
    return result


def restored(manifest: Manifest, change: EditObject) -> tuple[Manifest, list[str]]:
    """``manifest`` with our edits taken out, and what had to be left, one line each.

    A field that no longer holds what we wrote belongs to whoever wrote it: it stays and is named. An element of ours
    goes whatever it holds by now (its name says whose it is), and needs nothing when it is gone already; a copy of it
    under another name is somebody's own, stays and is named. Idempotent.
    """
    result = copy.deepcopy(manifest)
    left: list[str] = []
    for edit in reversed(change.edits):
        where = f"{change.ref}: {'.'.join(edit.path)}"
        if isinstance(edit, SetField):
            now = _get(result, edit.path)
            if now == MISSING != edit.before and _get(result, edit.path[:-1]) == MISSING:
                left.append(f"{where}: what held it was removed by somebody else meanwhile; left as it is")
            elif now == edit.after:
                _set(result, edit.path, edit.before)
                if edit.before == MISSING:
                    _drop_empty(result, edit.path[:-1], edit.made)
            elif now == MISSING == edit.before:
                _drop_empty(result, edit.path[:-1], edit.made)
            elif now != edit.before:
                left.append(f"{where} was changed by somebody else meanwhile; left as it is")
            continue
        items = _get(result, edit.path)
        if not isinstance(items, list):
            continue
        kept = [item for item in items if _name(item) != edit.name]
        _set(result, edit.path, kept)
        _drop_empty(result, edit.path, edit.made)
        if kept == items:
            left.extend(
                f"{where} holds a copy of {edit.name} under the name {_name(item)!r}; left as it is"
                for item in kept
                if _is_renamed(item, edit)
            )
    return result, left


def dump(change: Change) -> dict[str, Any]:
    """JSON form, for journals and histories."""
    if isinstance(change, Create):
        return {"create": change.manifest}
    return {"edit": asdict(change.ref), "edits": [asdict(edit) for edit in change.edits]}


def load(data: Mapping[str, Any]) -> Change:
    """The reverse of ``dump``. Raises KeyError, TypeError on anything else."""
    if "create" in data:
        return Create(dict(data["create"]))
    edits: list[Edit] = []
    for item in data["edits"]:
        path = tuple(item["path"])
        if "element" in item:
            edits.append(InsertNamed(path, int(item["at"]), item["element"], item["anchor"], int(item["made"])))
        else:
            edits.append(SetField(path, item["before"], item["after"], int(item["made"])))
    return EditObject(Ref(**data["edit"]), tuple(edits))


def _make(node: Manifest, edit: Edit) -> None:
    if isinstance(edit, SetField):
        _set(node, edit.path, edit.after)
        return
    items = list(_items(node, edit.path))
    own = next((position for position, item in enumerate(items) if _name(item) == edit.name), None)
    if own is not None:
        items[own] = dict(edit.element)
    else:
        place = _place(items, edit)
        items.insert(edit.at if place is None else place, dict(edit.element))
    _set(node, edit.path, items)


def _place(items: list[Any], edit: InsertNamed) -> int | None:
    """Where the element goes, or is; None when the element that it goes ahead of is not there as it was."""
    for position, item in enumerate(items):
        if _name(item) == edit.name:
            return position
    if edit.anchor is None:
        return min(edit.at, len(items))
    if edit.anchor == MISSING:
        return len(items)
    return items.index(edit.anchor) if edit.anchor in items else None


def _items(node: Manifest, path: Path) -> list[Any]:
    found = _get(node, path)
    return found if isinstance(found, list) else []


def _name(item: Any) -> Any:
    return item.get("name") if isinstance(item, dict) else None


def _is_renamed(item: Any, edit: InsertNamed) -> bool:
    """Whether an element of nobody's run holds what ours held."""
    if not isinstance(item, dict) or str(_name(item)).startswith(OWN_PREFIX):
        return False
    return {**item, "name": edit.name} == edit.element


def _missing(node: Any, path: Path) -> int:
    """How many mappings or lists at the end of ``path`` are not there."""
    return sum(_get(node, path[: length + 1]) == MISSING for length in range(len(path)))


def _drop_empty(node: Manifest, path: Path, levels: int) -> None:
    """Takes out up to ``levels`` containers, from the end of ``path`` upwards, as long as they are empty."""
    for length in range(len(path), len(path) - levels, -1):
        if _get(node, path[:length]) not in ({}, []):
            return
        _set(node, path[:length], MISSING)


def _get(node: Any, path: Path) -> Any:
    for key in path:
        if not isinstance(node, dict) or key not in node:
            return MISSING
        node = node[key]
    return node


def _set(node: dict[str, Any], path: Path, value: Any) -> None:
    *parents, last = path
    if value == MISSING and _get(node, path[:-1]) == MISSING:
        return
    for key in parents:
        if not isinstance(node.get(key), dict):
            node[key] = {}
        node = node[key]
    if value == MISSING:
        node.pop(last, None)
    else:
        node[last] = copy.deepcopy(value)
