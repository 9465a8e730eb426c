"""The exact difference that a change makes to an object, as text."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from meshchaos.mesh.changes import Change, Create, EditObject, edited
from meshchaos.mesh.objects import Manifest, Ref, ref_of
from meshchaos.mesh.seam import Snapshot


@dataclass(frozen=True, slots=True)
class ObjectDiff:
    """One object before and after all changes of a plan; ``before`` None: it is new. ``text``: unified diff of
    the YAML, without the fields that the API server keeps for itself.
    """

    ref: Ref
    before: Manifest | None
    after: Manifest
    text: str


def object_diffs(snapshot: Snapshot, changes: Sequence[Change]) -> tuple[ObjectDiff, ...]:
    """What the changes, made in this order, do to the objects of the snapshot."""
    before: dict[Ref, Manifest | None] = {}
    after: dict[Ref, Manifest] = {}
    present = {ref_of(manifest): manifest for manifest in snapshot.objects}
    for change in changes:
        ref = change.ref
        before.setdefault(ref, present.get(ref))
        if isinstance(change, Create):
            after[ref] = change.manifest
        elif isinstance(change, EditObject):
            after[ref] = edited(after.get(ref) or present[ref], change)
    return tuple(ObjectDiff(ref, before[ref], made, _text(ref, before[ref], made)) for ref, made in after.items())


def _text(ref: Ref, before: Manifest | None, after: Manifest) -> str:
    old = _yaml(before) if before is not None else []
    lines = difflib.unified_diff(old, _yaml(after), f"{ref} (now)", f"{ref} (during the fault)", lineterm="", n=3)
    return "\n".join(lines)


def _yaml(manifest: Manifest) -> list[str]:
    import yaml

    kept = {key: value for key, value in manifest.items() if key != "status"}
    hidden = {"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"}
    kept["metadata"] = {k: v for k, v in (manifest.get("metadata") or {}).items() if k not in hidden}
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=110).splitlines()
