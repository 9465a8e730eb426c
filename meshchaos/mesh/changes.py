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

MISSING: Final = {"meshchaos.dev/missing": True}
"""Stands for a field that is not there (``None`` is a value); JSON, so that journals can hold it."""


@dataclass(frozen=True, slots=True)
class SetField:
    """One field gets a value. ``before`` is what the owner had (MISSING: nothing)."""

    path: Path
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class InsertNamed:
    """An element with a ``name`` of ours goes into a list, ahead of position ``at`` (0: first)."""

    path: Path
    at: int
    element: Mapping[str, Any]

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


def edited(manifest: Manifest, change: EditObject) -> Manifest:
    """``manifest`` with the edits made; ``SetField.before`` is not looked at here."""
    result = copy.deepcopy(manifest)
    for edit in change.edits:
        if isinstance(edit, SetField):
            _set(result, edit.path, edit.after)
        else:
            found = _get(result, edit.path)
            items = [item for item in found if item.get("name") != edit.name] if isinstance(found, list) else []
            items.insert(edit.at, copy.deepcopy(dict(edit.element)))
            _set(result, edit.path, items)
    return result


def restored(manifest: Manifest, change: EditObject) -> tuple[Manifest, list[str]]:
    """``manifest`` with our edits taken out, and what had to be left, one line each.

    A field that no longer holds what we wrote belongs to whoever wrote it: it stays and is named.
    An element of ours that is gone already needs nothing. Idempotent.
    """
    result = copy.deepcopy(manifest)
    left: list[str] = []
    for edit in reversed(change.edits):
        if isinstance(edit, InsertNamed):
            items = _get(result, edit.path)
            if isinstance(items, list):
                kept = [item for item in items if item.get("name") != edit.name]
                _set(result, edit.path, kept)
            continue
        now = _get(result, edit.path)
        if now == edit.after:
            _set(result, edit.path, edit.before)
        elif now != edit.before:
            left.append(f"{change.ref}: {'.'.join(edit.path)} was changed by somebody else meanwhile; left as it is")
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
            edits.append(InsertNamed(path, int(item["at"]), item["element"]))
        else:
            edits.append(SetField(path, item["before"], item["after"]))
    return EditObject(Ref(**data["edit"]), tuple(edits))


def _get(node: Any, path: Path) -> Any:
    for key in path:
        if not isinstance(node, dict) or key not in node:
            return MISSING
        node = node[key]
    return node


def _set(node: dict[str, Any], path: Path, value: Any) -> None:
    *parents, last = path
    for key in parents:
        if not isinstance(node.get(key), dict):
            node[key] = {}
        node = node[key]
    if value == MISSING:
        node.pop(last, None)
    else:
        node[last] = copy.deepcopy(value)
