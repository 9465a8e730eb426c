"""Fields of list elements that may have no name: recorded, found again, and taken back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from meshchaos.mesh.edits import (
    MISSING,
    OWN_PREFIX,
    EditItem,
    SetField,
    drop_empty,
    items_at,
    missing_at,
    name_of,
    put,
    restore_field,
    value_at,
)
from meshchaos.mesh.objects import Manifest


def recorded(node: Manifest, edit: EditItem) -> EditItem:
    """With what the element held. One that is not there stays as it was planned, and is ``stale`` when it is made."""
    items = [item for item in items_at(node, edit.path) if isinstance(item, dict)]
    found = next((item for item in items if item == edit.item), None) or find(node, edit, making=True)
    if found is None:
        return edit
    item = copy.deepcopy(found)
    bare = _stripped(item, edit)
    twins = [one for one in items if _stripped(one, edit) == bare]
    nth = next(position for position, one in enumerate(twins) if one is found)
    held = sum(_holds_all(one, edit) for one in twins if one is not found)
    fields: list[SetField] = []
    for one in edit.fields:
        fields.append(
            SetField(one.path, copy.deepcopy(value_at(found, one.path)), one.after, missing_at(found, one.path[:-1]))
        )
        put(found, one.path, one.after)
    return EditItem(edit.path, item, tuple(fields), nth, held)


def is_made(node: Manifest, edit: EditItem) -> bool:
    """Whether the element holds all our values, and not since its owner gave them to it."""
    found = find(node, edit)
    if edit.held and sum(_holds_all(item, edit) for item in _twins(node, edit)) <= edit.held:
        return False
    return found is not None and _holds_all(found, edit)


def stale(node: Manifest, edit: EditItem) -> list[str]:
    where = ".".join(edit.path)
    found = find(node, edit, making=True)
    if found is None:
        return [f"an element of {where} was changed"]
    return [
        f"{'.'.join(one.path)} in an element of {where} was changed"
        for one in edit.fields
        if value_at(found, one.path) not in (one.before, one.after)
    ]


def restore(node: Manifest, edit: EditItem, where: str) -> list[str]:
    """What had to be left. An element that its owner took away took our fields with it; one that nobody can tell from
    others, though a field in it may be ours, is named.
    """
    twins = _twins(node, edit)
    if len(twins) > 1 and sum(_holds_all(item, edit) for item in twins) <= edit.held and edit.item in twins:
        return []  # it is back already, and those that hold our values did so before
    found = find(node, edit)
    if found is not None:
        name = f"{where}: {_called(edit.item)}"
        return [
            line for one in reversed(edit.fields) for line in restore_field(found, one, f"{name}: {'.'.join(one.path)}")
        ]
    ours = [item for item in items_at(node, edit.path) if not _is_ours(item) and _holds_any(item, edit)]
    return [f"{where}: {_called(edit.item)} was changed by somebody else meanwhile; left as it is"] if ours else []


def find(node: Manifest, edit: EditItem, *, making: bool = False) -> dict[str, Any] | None:
    """The element of an ``EditItem``, wherever it stands by now; None where it is not there or cannot be told.

    By its name, where it has one that nobody else has. Else it is the element that holds all that ours held beside the
    fields that are edited. Of several such twins, when ``making``: the one that is as many twins down as was recorded;
    else the one with most of our values. Where somebody changed something beside our fields meanwhile: the one element
    that holds all our values and more of the rest than any other (when ``making``: none, nothing was planned on it).
    """
    items = [item for item in items_at(node, edit.path) if isinstance(item, dict)]
    name = name_of(edit.item)
    items = [item for item in items if name_of(item) == name or not _is_ours(item)]
    if name is not None and sum(name_of(item) == name for item in items) == 1:
        return next(item for item in items if name_of(item) == name)
    bare = _stripped(edit.item, edit)
    twins = [item for item in items if _stripped(item, edit) == bare]
    if twins:
        meant = twins[min(edit.nth, len(twins) - 1)]
        if making and all(value_at(meant, one.path) in (one.before, one.after) for one in edit.fields):
            return meant
        marked = [sum(value_at(item, one.path) == one.after for one in edit.fields) for item in twins]
        return max(zip(marked, twins, strict=True), key=lambda twin: (twin[0], twin[1] is meant))[1]
    if making:
        return None
    holding = [item for item in items if _holds_all(item, edit)]
    scores = [_likeness(_stripped(item, edit), bare) for item in holding]
    best = max(scores, default=0)
    return holding[scores.index(best)] if best and scores.count(best) == 1 else None


def _twins(node: Manifest, edit: EditItem) -> list[dict[str, Any]]:
    """The elements that are equal to ours beside the fields that are edited."""
    bare = _stripped(edit.item, edit)
    return [item for item in items_at(node, edit.path) if isinstance(item, dict) and _stripped(item, edit) == bare]


def _stripped(item: Mapping[str, Any], edit: EditItem) -> dict[str, Any]:
    """An element without the fields that are edited, and without what would be empty then."""
    rest = copy.deepcopy(dict(item))
    for one in edit.fields:
        put(rest, one.path, MISSING)
        drop_empty(rest, one.path[:-1], len(one.path) - 1)
    return rest


def _likeness(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    return sum(key in other and other[key] == value for key, value in one.items())


def _holds_all(item: Any, edit: EditItem) -> bool:
    return all(value_at(item, one.path) == one.after for one in edit.fields)


def _holds_any(item: Any, edit: EditItem) -> bool:
    return any(one.after not in (one.before, MISSING) and value_at(item, one.path) == one.after for one in edit.fields)


def _is_ours(item: Any) -> bool:
    return str(name_of(item) or "").startswith(OWN_PREFIX)


def _called(item: Mapping[str, Any]) -> str:
    return f"element {name_of(item)!r}" if name_of(item) else "an element without a name"
