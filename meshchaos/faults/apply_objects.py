"""The fault ``apply``: objects of the user's own, new or in the place of what is there."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from meshchaos.errors import CannotPlace
from meshchaos.experiment.fields import About, spec
from meshchaos.experiment.model import SpecKind
from meshchaos.faults.kind import AcceptedProof, FaultContext, Placement
from meshchaos.faults.owners import will_undo
from meshchaos.mesh.changes import Change, Create, EditObject, recorded
from meshchaos.mesh.edits import MISSING, SetField
from meshchaos.mesh.objects import CLUSTER_SCOPED, Manifest, Ref, ref_of
from meshchaos.mesh.seam import Snapshot

_OURS = frozenset({"apiVersion", "kind", "metadata", "status"})
"""What is not the object's content, or the mesh's own to write."""


@spec
class ApplySpec:
    objects: Annotated[tuple[Mapping[str, Any], ...], About("objects as in a manifest; of one that is there, its spec")]

    def check(self) -> None:
        if not self.objects:
            raise ValueError("objects: at least one")
        for item in self.objects:
            name = (item.get("metadata") or {}).get("name") if isinstance(item.get("metadata"), Mapping) else None
            if not item.get("kind") or not item.get("apiVersion") or not name:
                raise ValueError("an object needs apiVersion, kind and metadata.name")
            if item["kind"] == "Secret":
                raise ValueError("a Secret is refused: what is applied is written into the run's history and report")


class ApplyKind:
    kind = SpecKind("apply", ApplySpec, summary="objects of your own are there meanwhile")
    family = "apply"

    def place(self, spec: ApplySpec, mesh: Snapshot, context: FaultContext) -> Placement:
        """Each object made, or its content put in the place of what is there. Raises CannotPlace."""
        present = {ref_of(item): item for item in mesh.objects}
        changes: list[Change] = []
        warnings: list[str] = []
        for asked in spec.objects:
            item = copy.deepcopy(dict(asked))
            if item["kind"] not in CLUSTER_SCOPED:
                item["metadata"] = {"namespace": context.namespace, **item["metadata"]}
            ref = ref_of(item)
            if ref not in present:
                changes.append(Create(item))
                continue
            edits = tuple(_edits(present[ref], item))
            if edits:
                changes.append(recorded(present[ref], EditObject(ref, edits)))
                fight = will_undo(present[ref])
                warnings += [fight] if fight else []
        if not changes:
            raise CannotPlace("all of the objects are there already, as they are written here")
        names = ", ".join(str(change.ref) for change in changes)
        return Placement(
            id=context.id,
            kind=self.kind.key,
            at="server",
            edge=names,
            reason="as you wrote it",
            changes=tuple(changes),
            proof=AcceptedProof(names),
            felt_by=("whoever these objects concern; meshchaos does not know",),
            warnings=(*warnings, "only that the mesh holds these objects is proved, not what they do"),
        )

    def combine(self, placements: Sequence[Placement]) -> tuple[Placement, ...]:
        """Raises CannotPlace for an object that two of them write."""
        taken: set[Ref] = set()
        for placement in placements:
            for change in placement.changes:
                if change.ref in taken:
                    raise CannotPlace(f"two faults of kind apply write {change.ref}: put it into one of them")
                taken.add(change.ref)
        return tuple(placements)


APPLY = ApplyKind()


def _edits(there: Manifest, asked: Manifest) -> Iterator[SetField]:
    """The content of the object as asked, and without what is not: the undo is the exact former content."""
    for key in sorted({*there, *asked} - _OURS):
        value = asked.get(key, MISSING)
        if there.get(key, MISSING) != value and (key in asked or key == "spec"):
            yield SetField((key,), MISSING, value)
