"""Objects of a cluster, read and written: by resourceVersion, never forced, and known again when an answer was lost.

A run that was healed while a write of its was under way (it was suspended, or the server was slow) takes that back at
once: whoever healed it could not know of it.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Sequence
from typing import Final

from meshchaos.errors import AlreadyExists, Conflict, Locked, NotFound, Refused
from meshchaos.mesh.apply import OWNER_ANNOTATION, holds
from meshchaos.mesh.changes import Change, Create, edited, stale
from meshchaos.mesh.kubernetes.api import Api
from meshchaos.mesh.kubernetes.kinds import Kinds
from meshchaos.mesh.objects import Manifest, Ref, annotations_of, ref_of

MANAGER: Final = "meshchaos"


class Objects:
    """``before`` is called ahead of every write, with what is written to; it may raise, and so prevent it. ``after``
    raises Locked when the run was healed meanwhile.
    """

    def __init__(
        self, api: Api, kinds: Kinds, before: Callable[[Ref], None], after: Callable[[], None] = lambda: None
    ) -> None:
        self._api = api
        self._kinds = kinds
        self._before = before
        self._after = after
        self._read: dict[Ref, Manifest] = {}
        """As they were when they were last looked at."""

    def get(self, ref: Ref) -> Manifest:
        """See ``Mesh``."""
        found = self._read[ref] = self._api.get(self._kinds.path(ref))
        return copy.deepcopy(found)

    def stored(self, ref: Ref) -> Manifest | None:
        """The object; None where there is none."""
        try:
            return self.get(ref)
        except NotFound:
            return None

    def create(self, manifest: Manifest) -> Manifest:
        """See ``Mesh``."""
        self._kinds.learn(manifest)
        ref = ref_of(manifest)
        self._before(ref)
        try:
            made = self._write("POST", self._kinds.collection(ref.kind, ref.namespace), manifest)
        except AlreadyExists:
            found = self.get(ref)
            run_id = annotations_of(manifest).get(OWNER_ANNOTATION)
            ours = run_id is not None and annotations_of(found).get(OWNER_ANNOTATION) == run_id
            if not ours or not holds(found, Create(manifest)):
                raise
            made = found  # the answer to our own request was lost
        options = {"preconditions": {"uid": made["metadata"]["uid"]}}
        self._unless_healed(lambda: self._api.call("DELETE", self._kinds.path(ref), options))
        return made

    def replace(self, manifest: Manifest) -> Manifest:
        """See ``Mesh``."""
        ref = ref_of(manifest)
        self._before(ref)
        made = self._write("PUT", self._kinds.path(ref), manifest)
        before = self._read.get(ref)
        same = before is not None and before["metadata"]["resourceVersion"] == manifest["metadata"]["resourceVersion"]
        if before is not None and same and _tags(manifest) - _tags(before):  # it is made, not undone
            version = made["metadata"]["resourceVersion"]
            former = {**before, "metadata": {**before["metadata"], "resourceVersion": version}}
            self._unless_healed(lambda: self._write("PUT", self._kinds.path(ref), former))
        return made

    def delete(self, ref: Ref, uid: str, grace: int | None = None) -> None:
        """See ``Mesh``. ``grace``: seconds that a Pod is given; None: its own."""
        self._before(ref)
        seconds = {"gracePeriodSeconds": grace} if grace is not None else {}
        self._api.call("DELETE", self._kinds.path(ref), {**seconds, "preconditions": {"uid": uid}})

    def dry_run(self, changes: Sequence[Change]) -> dict[Ref, Manifest]:
        """See ``Mesh``: the API server's own dry run, admission webhooks with it. Edits of one object add up. Who makes
        something must be allowed to look at it and to delete it, too: else it could not be put back. The objects as the
        server would store them.
        """
        made: dict[Ref, Manifest] = {}
        new: dict[Ref, Manifest] = {}
        for change in changes:
            ref = change.ref
            if ref.kind == "Secret":
                raise Refused(f"{ref}: a Secret is never changed")
            if isinstance(change, Create):
                self._kinds.learn(change.manifest)
                new[ref] = change.manifest
                made[ref] = self._post(ref, change.manifest)
                self.may_delete(ref)
                continue
            found = new.get(ref) or made.get(ref) or self.get(ref)
            if outdated := stale(found, change):
                raise Conflict("; ".join(outdated))
            wanted = copy.deepcopy(edited(found, change))
            if ref in new:  # it stands nowhere yet, so it is asked for as it will be
                new[ref] = wanted
                made[ref] = self._post(ref, wanted)
            else:
                made[ref] = wanted
                self._write("PUT", self._kinds.path(ref), wanted, dry=True)
        return made

    def _post(self, ref: Ref, manifest: Manifest) -> Manifest:
        return self._write("POST", self._kinds.collection(ref.kind, ref.namespace), manifest, dry=True)

    def may_delete(self, ref: Ref) -> None:
        """Raises Forbidden where an object that is not there yet could not be read or deleted."""
        if self.stored(ref) is None:
            with contextlib.suppress(NotFound):
                self._api.call("DELETE", self._kinds.path(ref), None, {"dryRun": "All"})

    def _unless_healed(self, take_back: Callable[[], object]) -> None:
        """Raises Locked when the run was healed, its last write taken back."""
        try:
            self._after()
        except Locked:
            with contextlib.suppress(NotFound, Conflict):  # whoever healed, or somebody else, was quicker
                take_back()
            raise

    def _write(self, method: str, path: str, manifest: Manifest, *, dry: bool = False) -> Manifest:
        query = {"fieldManager": MANAGER, **({"dryRun": "All"} if dry else {})}
        return self._api.call(method, path, self._kinds.as_served(manifest), query)


def _tags(manifest: Manifest) -> set[str]:
    """Marks of runs on an owner's object (``apply.tag``)."""
    return {key for key in annotations_of(manifest) if key.startswith("meshchaos.dev/")}
