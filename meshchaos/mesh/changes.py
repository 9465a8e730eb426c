"""Changes to mesh objects, and their exact undoing; pure.

A ``Change`` is one of two things: a new object, or edits to fields of an object that has an owner.
Undoing takes out what we put in and nothing else: an edit that somebody else made meanwhile stays.
Field paths are tuples of mapping keys. Elements of lists are known by their name, or by what they hold where they have
none (``EditItem``): Istio's lists are atomic and positions shift under us.
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


@dataclass(frozen=True, slots=True)
class EditItem:
    """Fields of one element of the list at ``path`` get values: of a route of a VirtualService, which may have no name.

    ``item`` is the element as it is before. ``fields`` are relative to it. See ``_find`` for how it is found again.
    """

    path: Path
    item: Mapping[str, Any]
    fields: tuple[SetField, ...]
    nth: int = 0
    """Which of the elements that are equal beside those fields, where there are several."""
    held: int = 0
    """How many of those held all our values before, by their owner's will."""


Edit = SetField | InsertNamed | EditItem


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
        elif isinstance(edit, EditItem):
            known = _recorded_item(result, edit)
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
        elif isinstance(edit, EditItem):
            lines.extend(f"{change.ref}: {text} since this was planned" for text in _stale_item(result, edit))
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
            left.extend(_restore_field(result, edit, where))
            continue
        if isinstance(edit, EditItem):
            left.extend(_restore_item(result, edit, where))
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
        _set(node, edit.path, edit.after)
        return
    if isinstance(edit, EditItem):
        found = _find(node, edit, making=True)
        for field in edit.fields if found is not None else ():
            _set(found, field.path, field.after)  # type: ignore[arg-type]
        return
    items = list(_items(node, edit.path))
    own = next((position for position, item in enumerate(items) if _name(item) == edit.name), None)
    if own is not None:
        items[own] = dict(edit.element)
    else:
        place = _place(items, edit)
        items.insert(edit.at if place is None else place, dict(edit.element))
    _set(node, edit.path, items)


def _restore_field(node: Manifest, edit: SetField, where: str) -> list[str]:
    now = _get(node, edit.path)
    if now == MISSING != edit.before and _get(node, edit.path[:-1]) == MISSING:
        return [f"{where}: what held it was removed by somebody else meanwhile; left as it is"]
    if now == edit.after:
        _set(node, edit.path, edit.before)
        if edit.before == MISSING:
            _drop_empty(node, edit.path[:-1], edit.made)
    elif now == MISSING == edit.before:
        _drop_empty(node, edit.path[:-1], edit.made)
    elif now != edit.before:
        return [f"{where} was changed by somebody else meanwhile; left as it is"]
    return []


def _is_made(manifest: Manifest, edit: Edit) -> bool:
    if isinstance(edit, SetField):
        return bool(_get(manifest, edit.path) == edit.after)
    if isinstance(edit, InsertNamed):
        return any(item == edit.element for item in _items(manifest, edit.path))
    found = _find(manifest, edit)
    bare = _bare(edit.item, edit)
    twins = [item for item in _items(manifest, edit.path) if isinstance(item, dict) and _bare(item, edit) == bare]
    if edit.held and sum(_holds_all(item, edit) for item in twins) <= edit.held:
        return False  # those that hold our values did so before
    return found is not None and _holds_all(found, edit)


def _recorded_item(node: Manifest, edit: EditItem) -> EditItem:
    """With what the element held. One that is not there stays as it was planned, and is ``stale`` when it is made."""
    items = [item for item in _items(node, edit.path) if isinstance(item, dict)]
    found = next((item for item in items if item == edit.item), None) or _find(node, edit, making=True)
    if found is None:
        return edit
    item = copy.deepcopy(found)
    bare = _bare(item, edit)
    twins = [one for one in items if _bare(one, edit) == bare]
    nth = next(position for position, one in enumerate(twins) if one is found)
    held = sum(_holds_all(one, edit) for one in twins if one is not found)
    fields: list[SetField] = []
    for one in edit.fields:
        fields.append(
            SetField(one.path, copy.deepcopy(_get(found, one.path)), one.after, _missing(found, one.path[:-1]))
        )
        _set(found, one.path, one.after)
    return EditItem(edit.path, item, tuple(fields), nth, held)


def _stale_item(node: Manifest, edit: EditItem) -> list[str]:
    where = ".".join(edit.path)
    found = _find(node, edit, making=True)
    if found is None:
        return [f"an element of {where} was changed"]
    return [
        f"{'.'.join(one.path)} in an element of {where} was changed"
        for one in edit.fields
        if _get(found, one.path) not in (one.before, one.after)
    ]


def _restore_item(node: Manifest, edit: EditItem, where: str) -> list[str]:
    """What had to be left. An element that its owner took away took our fields with it; one that nobody can tell from
    others, though a field in it may be ours, is named.
    """
    bare = _bare(edit.item, edit)
    twins = [item for item in _items(node, edit.path) if isinstance(item, dict) and _bare(item, edit) == bare]
    if len(twins) > 1 and sum(_holds_all(item, edit) for item in twins) <= edit.held and edit.item in twins:
        return []  # it is back already, and those that hold our values did so before
    found = _find(node, edit)
    if found is not None:
        name = f"{where}: {_called(edit.item)}"
        return [
            line
            for one in reversed(edit.fields)
            for line in _restore_field(found, one, f"{name}: {'.'.join(one.path)}")
        ]
    ours = [item for item in _items(node, edit.path) if not _is_ours(item) and _holds_any(item, edit)]
    return [f"{where}: {_called(edit.item)} was changed by somebody else meanwhile; left as it is"] if ours else []


def _find(node: Manifest, edit: EditItem, *, making: bool = False) -> dict[str, Any] | None:
    """The element of an ``EditItem``, wherever it stands by now; None where it is not there or cannot be told.

    By its name, where it has one that nobody else has. Else it is the element that holds all that ours held beside the
    fields that are edited. Of several such twins, when ``making``: the one that is as many twins down as was recorded;
    else the one with most of our values. Where somebody changed something beside our fields meanwhile: the one element
    that holds all our values and more of the rest than any other (when ``making``: none, nothing was planned on it).
    """
    items = [item for item in _items(node, edit.path) if isinstance(item, dict)]
    name = _name(edit.item)
    items = [item for item in items if _name(item) == name or not _is_ours(item)]
    if name is not None and sum(_name(item) == name for item in items) == 1:
        return next(item for item in items if _name(item) == name)
    bare = _bare(edit.item, edit)
    twins = [item for item in items if _bare(item, edit) == bare]
    if twins:
        meant = twins[min(edit.nth, len(twins) - 1)]
        if making and all(_get(meant, one.path) in (one.before, one.after) for one in edit.fields):
            return meant
        marked = [sum(_get(item, one.path) == one.after for one in edit.fields) for item in twins]
        return max(zip(marked, twins, strict=True), key=lambda twin: (twin[0], twin[1] is meant))[1]
    if making:
        return None
    holding = [item for item in items if _holds_all(item, edit)]
    scores = [_likeness(_bare(item, edit), bare) for item in holding]
    best = max(scores, default=0)
    return holding[scores.index(best)] if best and scores.count(best) == 1 else None


def _bare(item: Mapping[str, Any], edit: EditItem) -> dict[str, Any]:
    """An element without the fields that are edited, and without what would be empty then."""
    rest = copy.deepcopy(dict(item))
    for one in edit.fields:
        _set(rest, one.path, MISSING)
        _drop_empty(rest, one.path[:-1], len(one.path) - 1)
    return rest


def _likeness(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    return sum(key in other and other[key] == value for key, value in one.items())


def _holds_all(item: Any, edit: EditItem) -> bool:
    return all(_get(item, one.path) == one.after for one in edit.fields)


def _holds_any(item: Any, edit: EditItem) -> bool:
    return any(one.after not in (one.before, MISSING) and _get(item, one.path) == one.after for one in edit.fields)


def _is_ours(item: Any) -> bool:
    return str(_name(item) or "").startswith(OWN_PREFIX)


def _called(item: Mapping[str, Any]) -> str:
    return f"element {_name(item)!r}" if _name(item) else "an element without a name"


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
