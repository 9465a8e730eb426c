"""Making changes on any mesh and taking them back: read, modify, write with the version that was read.

The runner and whatever heals in its place (the local supervisor, for entries past their expiry) share this code.
It is written as generators of requests, without I/O, because one of them calls a mesh and the other is one:
``apply_steps`` and ``undo_steps`` yield ``Request``s and are sent the answers, or thrown the errors.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from meshchaos.errors import Conflict, MeshError, NotFound
from meshchaos.mesh.changes import Change, Create, EditObject, edited, in_place, restored, stale
from meshchaos.mesh.objects import Manifest, Ref, annotations_of

OWNER_ANNOTATION: Final = "meshchaos.dev/run"
"""On every object of ours: the run it belongs to."""

_ATTEMPTS = 10
"""How often a write is tried anew on the fresh object; each conflict means that somebody else's write got in."""


@dataclass(frozen=True, slots=True)
class GetObject:
    ref: Ref


@dataclass(frozen=True, slots=True)
class CreateObject:
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class ReplaceObject:
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class DeleteObject:
    ref: Ref
    uid: str


Request = GetObject | CreateObject | ReplaceObject | DeleteObject
T = TypeVar("T")
Steps = Generator[Request, Manifest, T]


class Objects(Protocol):
    """The part of ``Mesh`` that this module needs."""

    def get(self, ref: Ref) -> Manifest: ...
    def create(self, manifest: Manifest) -> Manifest: ...
    def replace(self, manifest: Manifest) -> Manifest: ...
    def delete(self, ref: Ref, uid: str) -> None: ...


def apply_change(mesh: Objects, change: Change, run_id: str) -> Manifest:
    """Makes one change and returns the object as it is stored then; ``run_id`` says whose it is.

    An edited object is tagged by an annotation ``meshchaos.dev/<run id>``, a new one by ``meshchaos.dev/run``.
    Raises AlreadyExists for a name that is taken, NotFound, Refused, ProxyRejected, and Conflict after ten attempts,
    or at once for an object that is not what the change was planned on (``changes.stale``).
    """
    return _drive(mesh, apply_steps(change, run_id))


def rewrite_change(mesh: Objects, change: Change, run_id: str) -> Manifest:
    """Makes a change that differs from one made before in its values only, where that one is: a ramp's next step.

    Undoing either undoes both. Raises Conflict where the object was written meanwhile or is not the run's, NotFound.
    """
    if not isinstance(change, Create):
        return apply_change(mesh, change, run_id)
    found = mesh.get(change.ref)
    if annotations_of(found).get(OWNER_ANNOTATION) != run_id:
        raise Conflict(f"{change.ref} is not of run {run_id} any more")
    manifest = copy.deepcopy(found)
    manifest["spec"] = copy.deepcopy(change.manifest.get("spec"))
    return mesh.replace(manifest)


def undo_change(mesh: Objects, change: Change, run_id: str) -> list[str]:
    """Takes one change back and returns what had to be left, one line each. Idempotent.

    An object of that name which is not ours, and a field that somebody else changed meanwhile, stay as they are.
    Raises Conflict after ten attempts, ProxyRejected.
    """
    return _drive(mesh, undo_steps(change, run_id))


def undo_all(mesh: Objects, changes: Sequence[Change], run_id: str) -> list[str]:
    """Takes changes back in reverse order; what had to be left, one line each."""
    return [line for change in reversed(changes) for line in undo_change(mesh, change, run_id)]


def is_applied(mesh: Objects, change: Change) -> bool:
    """Whether the objects hold the change now: what a run looks at to see that a fault did not vanish."""
    try:
        return holds(mesh.get(change.ref), change)
    except NotFound:
        return False


def holds(manifest: Manifest, change: Change) -> bool:
    """Whether the object that is there holds the change."""
    if isinstance(change, EditObject):
        return in_place(manifest, change)
    return _contains(manifest.get("spec"), change.manifest.get("spec"))


def _contains(there: object, ours: object) -> bool:
    """Equal but for what the API server filled in: defaults in mappings."""
    if isinstance(there, dict) and isinstance(ours, dict):
        return all(_contains(there.get(key), value) for key, value in ours.items())
    if isinstance(there, list) and isinstance(ours, list):
        return len(there) == len(ours) and all(map(_contains, there, ours))
    return there == ours


def tag(run_id: str) -> str:
    """The annotation that marks an owner's object while fields of it are ours."""
    return f"meshchaos.dev/{run_id}"


def apply_steps(change: Change, run_id: str) -> Steps[Manifest]:
    """``apply_change`` without the mesh."""
    if isinstance(change, Create):
        manifest = copy.deepcopy(change.manifest)
        manifest.setdefault("metadata", {}).setdefault("annotations", {})[OWNER_ANNOTATION] = run_id
        return (yield CreateObject(manifest))
    for _ in range(_ATTEMPTS):
        found = yield GetObject(change.ref)
        if outdated := stale(found, change):
            raise Conflict("; ".join(outdated))
        manifest = edited(found, change)
        manifest["metadata"].setdefault("annotations", {})[tag(run_id)] = "edited"
        if manifest == found:
            return found  # the answer to our own write was lost
        try:
            return (yield ReplaceObject(manifest))
        except Conflict as error:
            conflict = error
    raise conflict


def undo_steps(change: Change, run_id: str) -> Steps[list[str]]:
    """``undo_change`` without the mesh."""
    if isinstance(change, Create):
        return (yield from _delete_steps(change, run_id))
    for _ in range(_ATTEMPTS):
        try:
            found = yield GetObject(change.ref)
            manifest, left = restored(found, change)
            _untag(manifest, run_id)
            if manifest != found:
                yield ReplaceObject(manifest)
            return left
        except NotFound:
            return []  # its owner took it away, our edits with it
        except Conflict as error:
            conflict = error
    raise conflict


def _delete_steps(change: Create, run_id: str) -> Steps[list[str]]:
    try:
        found = yield GetObject(change.ref)
        if annotations_of(found).get(OWNER_ANNOTATION) != run_id:
            return [f"{change.ref} is not of run {run_id} any more; left as it is"]
        yield DeleteObject(change.ref, str(found["metadata"]["uid"]))
    except NotFound:
        return []
    except Conflict:
        return [f"{change.ref} was made anew by somebody else; left as it is"]
    return []


def _untag(manifest: Manifest, run_id: str) -> None:
    annotations = annotations_of(manifest)
    if annotations.pop(tag(run_id), None) is None:
        return
    manifest["metadata"]["annotations"] = annotations
    if not annotations:
        del manifest["metadata"]["annotations"]


def _drive(mesh: Objects, steps: Steps[T]) -> T:
    try:
        request = next(steps)
        while True:
            try:
                answer = _perform(mesh, request)
            except MeshError as error:
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


def _perform(mesh: Objects, request: Request) -> Manifest:
    match request:
        case GetObject():
            return mesh.get(request.ref)
        case CreateObject():
            return mesh.create(request.manifest)
        case ReplaceObject():
            return mesh.replace(request.manifest)
        case DeleteObject():
            mesh.delete(request.ref, request.uid)
            return {}


__all__ = [
    "OWNER_ANNOTATION",
    "CreateObject",
    "DeleteObject",
    "GetObject",
    "Objects",
    "ReplaceObject",
    "Request",
    "Steps",
    "apply_change",
    "apply_steps",
    "holds",
    "is_applied",
    "rewrite_change",
    "tag",
    "undo_all",
    "undo_change",
    "undo_steps",
]
