"""Making changes on any mesh and taking them back: read, modify, write with the version that was read.

Used by the runner and, for entries past their expiry, by whatever heals in its place: one code for both.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Final, Protocol

from meshchaos.errors import Conflict, NotFound
from meshchaos.mesh.changes import Change, Create, EditObject, edited, restored
from meshchaos.mesh.objects import Manifest, Ref, annotations_of

OWNER_ANNOTATION: Final = "meshchaos.dev/run"
"""On every object of ours: the run it belongs to."""

_ATTEMPTS = 10
"""How often a write is tried anew on the fresh object; each conflict means that somebody else's write got in."""


class Objects(Protocol):
    """The part of ``Mesh`` that this module needs."""

    def get(self, ref: Ref) -> Manifest: ...
    def create(self, manifest: Manifest) -> Manifest: ...
    def replace(self, manifest: Manifest) -> Manifest: ...
    def delete(self, ref: Ref, uid: str) -> None: ...


def apply_change(mesh: Objects, change: Change, run_id: str) -> Manifest:
    """Makes one change and returns the object as it is stored then; ``run_id`` says whose it is.

    An edited object is tagged by an annotation ``meshchaos.dev/<run id>``, a new one by ``meshchaos.dev/run``.
    Raises AlreadyExists for a name that is taken, NotFound, Refused, ProxyRejected, and Conflict after ten attempts.
    """
    if isinstance(change, Create):
        manifest = copy.deepcopy(change.manifest)
        manifest.setdefault("metadata", {}).setdefault("annotations", {})[OWNER_ANNOTATION] = run_id
        return mesh.create(manifest)
    for attempt in range(_ATTEMPTS):
        manifest = edited(mesh.get(change.ref), change)
        manifest["metadata"].setdefault("annotations", {})[tag(run_id)] = "edited"
        try:
            return mesh.replace(manifest)
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def undo_change(mesh: Objects, change: Change, run_id: str) -> list[str]:
    """Takes one change back and returns what had to be left, one line each. Idempotent.

    An object of that name which is not ours, and a field that somebody else changed meanwhile, stay as they are.
    Raises Conflict after ten attempts, ProxyRejected.
    """
    if isinstance(change, Create):
        return _undo_create(mesh, change, run_id)
    for attempt in range(_ATTEMPTS):
        try:
            found = mesh.get(change.ref)
        except NotFound:
            return []  # its owner took it away, our edits with it
        manifest, left = _without_tag(*restored(found, change), run_id)
        if manifest == found:
            return left
        try:
            mesh.replace(manifest)
        except NotFound:
            return []
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return left
    raise AssertionError("unreachable")


def undo_all(mesh: Objects, changes: Sequence[Change], run_id: str) -> list[str]:
    """Takes changes back in reverse order; what had to be left, one line each."""
    return [line for change in reversed(changes) for line in undo_change(mesh, change, run_id)]


def is_applied(mesh: Objects, change: Change) -> bool:
    """Whether the objects hold the change now: what a run looks at to see that a fault did not vanish."""
    try:
        found = mesh.get(change.ref)
    except NotFound:
        return False
    if isinstance(change, EditObject):
        return edited(found, change) == found
    return True


def tag(run_id: str) -> str:
    """The annotation that marks an owner's object while fields of it are ours."""
    return f"meshchaos.dev/{run_id}"


def _undo_create(mesh: Objects, change: Create, run_id: str) -> list[str]:
    try:
        found = mesh.get(change.ref)
    except NotFound:
        return []
    if annotations_of(found).get(OWNER_ANNOTATION) != run_id:
        return [f"{change.ref} is not of run {run_id} any more; left as it is"]
    try:
        mesh.delete(change.ref, str(found["metadata"]["uid"]))
    except NotFound:
        return []
    except Conflict:
        return [f"{change.ref} was made anew by somebody else; left as it is"]
    return []


def _without_tag(manifest: Manifest, left: list[str], run_id: str) -> tuple[Manifest, list[str]]:
    annotations = annotations_of(manifest)
    if annotations.pop(tag(run_id), None) is not None:
        manifest["metadata"]["annotations"] = annotations
        if not annotations:
            del manifest["metadata"]["annotations"]
    return manifest, left


__all__ = ["OWNER_ANNOTATION", "Objects", "apply_change", "is_applied", "tag", "undo_all", "undo_change"]
