"""One edit of a mesh object: a field, a named element of a list, fields of an element; and where its path leads.

Field paths are tuples of mapping keys. Elements of lists are known by their name, or by what they hold where they have
none (``EditItem``): Istio's lists are atomic and positions shift under us.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshchaos.mesh.objects import Manifest

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

    ``item`` is the element as it is before. ``fields`` are relative to it. How it is found again:
    ``item_edits.find``.
    """

    path: Path
    item: Mapping[str, Any]
    fields: tuple[SetField, ...]
    nth: int = 0
    """Which of the elements that are equal beside those fields, where there are several."""
    held: int = 0
    """How many of those held all our values before, by their owner's will."""


Edit = SetField | InsertNamed | EditItem


def restore_field(node: Manifest, edit: SetField, where: str) -> list[str]:
    now = value_at(node, edit.path)
    if now == MISSING != edit.before and value_at(node, edit.path[:-1]) == MISSING:
        return [f"{where}: what held it was removed by somebody else meanwhile; left as it is"]
    if now == edit.after:
        put(node, edit.path, edit.before)
        if edit.before == MISSING:
            drop_empty(node, edit.path[:-1], edit.made)
    elif now == MISSING == edit.before:
        drop_empty(node, edit.path[:-1], edit.made)
    elif now != edit.before:
        return [f"{where} was changed by somebody else meanwhile; left as it is"]
    return []


def items_at(node: Manifest, path: Path) -> list[Any]:
    found = value_at(node, path)
    return found if isinstance(found, list) else []


def name_of(item: Any) -> Any:
    return item.get("name") if isinstance(item, dict) else None


def missing_at(node: Any, path: Path) -> int:
    """How many mappings or lists at the end of ``path`` are not there."""
    return sum(value_at(node, path[: length + 1]) == MISSING for length in range(len(path)))


def drop_empty(node: Manifest, path: Path, levels: int) -> None:
    """Takes out up to ``levels`` containers, from the end of ``path`` upwards, as long as they are empty."""
    for length in range(len(path), len(path) - levels, -1):
        if value_at(node, path[:length]) not in ({}, []):
            return
        put(node, path[:length], MISSING)


def value_at(node: Any, path: Path) -> Any:
    for key in path:
        if not isinstance(node, dict) or key not in node:
            return MISSING
        node = node[key]
    return node


def put(node: dict[str, Any], path: Path, value: Any) -> None:
    *parents, last = path
    if value == MISSING and value_at(node, path[:-1]) == MISSING:
        return
    for key in parents:
        if not isinstance(node.get(key), dict):
            node[key] = {}
        node = node[key]
    if value == MISSING:
        node.pop(last, None)
    else:
        node[last] = copy.deepcopy(value)
