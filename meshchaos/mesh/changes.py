"""Changes to mesh objects, and their exact undoing; pure.

A ``Change`` is one of two things: a new object, or edits to fields of an object that has an owner.
Undoing takes out what we put in and nothing else: an edit that somebody else made meanwhile stays.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from meshchaos.mesh import item_edits
from meshchaos.mesh.edits import (
    MISSING,
    OWN_PREFIX,
    Edit,
    EditItem,
    InsertNamed,
    SetField,
    drop_empty,
    items_at,
    missing_at,
    name_of,
    put,
    restore_field,
    value_at,
)
from meshchaos.mesh.objects import Manifest, Ref, ref_of


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
            made = missing_at(result, edit.path[:-1])
            known = SetField(edit.path, copy.deepcopy(value_at(result, edit.path)), edit.after, made)
        elif isinstance(edit, EditItem):
            known = item_edits.recorded(result, edit)
        else:
            items = items_at(result, edit.path)
            anchor = copy.deepcopy(items[edit.at]) if edit.at < len(items) else MISSING
            known = InsertNamed(edit.path, edit.at, edit.element, anchor, missing_at(result, edit.path))
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
            if value_at(result, edit.path) not in (edit.before, edit.after):
                lines.append(f"{change.ref}: {'.'.join(edit.path)} was changed since this was planned")
        elif isinstance(edit, EditItem):
            lines.extend(f"{change.ref}: {text} since this was planned" for text in item_edits.stale(result, edit))
        elif _place(items_at(result, edit.path), edit) is None:
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


def in_place(manifest: Manifest, change: EditObject) -> bool:
    """Whether the object holds all of the edits, whatever else was written to it."""
    return all(_is_made(manifest, edit) for edit in change.edits)


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
            left.extend(restore_field(result, edit, where))
            continue
        if isinstance(edit, EditItem):
            left.extend(item_edits.restore(result, edit, where))
            continue
        items = value_at(result, edit.path)
        if not isinstance(items, list):
            continue
        kept = [item for item in items if name_of(item) != edit.name]
        put(result, edit.path, kept)
        drop_empty(result, edit.path, edit.made)
        if kept == items:
            left.extend(
                f"{where} holds a copy of {edit.name} under the name {name_of(item)!r}; left as it is"
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
        if "fields" in item:
            fields = tuple(SetField(tuple(f["path"]), f["before"], f["after"], int(f["made"])) for f in item["fields"])
            edits.append(EditItem(path, item["item"], fields, int(item["nth"]), int(item["held"])))
        elif "element" in item:
            edits.append(InsertNamed(path, int(item["at"]), item["element"], item["anchor"], int(item["made"])))
        else:
            edits.append(SetField(path, item["before"], item["after"], int(item["made"])))
    return EditObject(Ref(**data["edit"]), tuple(edits))


def _make(node: Manifest, edit: Edit) -> None:
    if isinstance(edit, SetField):
        put(node, edit.path, edit.after)
        return
    if isinstance(edit, EditItem):
        found = item_edits.find(node, edit, making=True)
        for field in edit.fields if found is not None else ():
            put(found, field.path, field.after)  # type: ignore[arg-type]
        return
    items = list(items_at(node, edit.path))
    own = next((position for position, item in enumerate(items) if name_of(item) == edit.name), None)
    if own is not None:
        items[own] = dict(edit.element)
    else:
        place = _place(items, edit)
        items.insert(edit.at if place is None else place, dict(edit.element))
    put(node, edit.path, items)


def _is_made(manifest: Manifest, edit: Edit) -> bool:
    if isinstance(edit, SetField):
        return bool(value_at(manifest, edit.path) == edit.after)
    if isinstance(edit, InsertNamed):
        return any(item == edit.element for item in items_at(manifest, edit.path))
    return item_edits.is_made(manifest, edit)


def _place(items: list[Any], edit: InsertNamed) -> int | None:
    """Where the element goes, or is; None when the element that it goes ahead of is not there as it was."""
    for position, item in enumerate(items):
        if name_of(item) == edit.name:
            return position
    if edit.anchor is None:
        return min(edit.at, len(items))
    if edit.anchor == MISSING:
        return len(items)
    return items.index(edit.anchor) if edit.anchor in items else None


def _is_renamed(item: Any, edit: InsertNamed) -> bool:
    """Whether an element of nobody's run holds what ours held."""
    if not isinstance(item, dict) or str(name_of(item)).startswith(OWN_PREFIX):
        return False
    return {**item, "name": edit.name} == edit.element
