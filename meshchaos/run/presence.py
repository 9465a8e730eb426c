"""Whether what we wrote is still as we wrote it: objects that somebody else deleted or edited are told, with whom."""

from __future__ import annotations

from collections.abc import Iterable

from meshchaos.errors import NotFound
from meshchaos.mesh.apply import holds
from meshchaos.mesh.changes import Change
from meshchaos.mesh.objects import Manifest, Ref
from meshchaos.mesh.seam import Mesh

MANAGER = "meshchaos"
"""Our name among an object's ``managedFields``."""


class Presence:
    """The objects that a run wrote."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._wrote: dict[Ref, tuple[object, object]] = {}

    def wrote(self, ref: Ref, stored: Manifest) -> None:
        """``stored``: the object after our last write to it."""
        self._wrote[ref] = _state(stored)

    def refresh(self, ref: Ref) -> None:
        """It was written by our own undoing of something else in it. Raises NotFound."""
        self._wrote[ref] = _state(self._mesh.get(ref))

    def lost(self, changes: Iterable[Change]) -> str | None:
        """What was taken away or written since, and by whom; None while all are where they were put. An object that
        holds a change but was written since counts, too: the change may have been gone in between, or stand behind a
        route of somebody's where no request comes to it any more.
        """
        for change in changes:
            try:
                found = self._mesh.get(change.ref)
            except NotFound:
                return f"{change.ref} no longer holds it: the object was deleted"
            if not holds(found, change):
                return f"{change.ref} no longer holds it: {_editor(found)}"
            if _state(found) != self._wrote.get(change.ref):
                return f"{change.ref} was changed under it: {_editor(found)}"
        return None


def _state(manifest: Manifest) -> tuple[object, object]:
    """Which object it is and how often its spec was written: what a deletion or an edit moves, a label does not."""
    meta = manifest["metadata"]
    return meta.get("uid"), meta.get("generation")


def _editor(manifest: Manifest) -> str:
    written = [entry for entry in manifest["metadata"].get("managedFields") or () if entry.get("manager")]
    if not written:
        return "somebody else edited the object"
    # The times are whole seconds: where ours is the same, the other wrote after us.
    last = max(written, key=lambda entry: (str(entry.get("time", "")), entry["manager"] != MANAGER))
    return f"{last['manager']} wrote it last ({last.get('operation', 'Update')} at {last.get('time', '?')})"
