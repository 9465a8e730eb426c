"""Route policies of one run that meet: one after another on different fields, refused on the same one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from meshchaos.errors import CannotPlace
from meshchaos.faults.kind import Placement
from meshchaos.mesh.changes import Change, Create, EditObject, edited
from meshchaos.mesh.edits import MISSING, Edit, EditItem, InsertNamed, SetField
from meshchaos.mesh.objects import Ref

_OWN = frozenset({"name", "route"})
"""Keys of a route of ours that say nothing of a policy."""


def combine(placements: Sequence[Placement]) -> tuple[Placement, ...]:
    """The placements, in order, so that all can be applied one after another. Raises CannotPlace."""
    result: list[Placement] = []
    for placement in placements:
        changes = tuple(_after(result, placement, change) for change in placement.changes)
        result.append(replace(placement, changes=changes))
    return tuple(result)


def _after(before: Sequence[Placement], adding: Placement, change: Change) -> Change:
    """The change as it is made after those of ``before``: on the elements as those leave them; and what would be a
    second VirtualService for a host, which never would act, edits the first one.
    """
    for earlier in before:
        for other in earlier.changes:
            if isinstance(other, Create) and isinstance(change, Create) and _same_host(other, change):
                (ours, *rest), (theirs, *others) = change.manifest["spec"]["http"], other.manifest["spec"]["http"]
                fields = [key for key in ours if key not in theirs or (key not in _OWN and ours[key] != theirs[key])]
                if rest or others or set(fields) & set(theirs):
                    raise CannotPlace(_refusal(earlier, adding))
                edits = tuple(SetField((key,), MISSING, ours[key]) for key in fields)
                change = EditObject(other.ref, (EditItem(("spec", "http"), theirs, edits),))
            elif isinstance(other, EditObject) and isinstance(change, EditObject) and other.ref == change.ref:
                change = EditObject(change.ref, tuple(_over(edit, other, earlier, adding) for edit in change.edits))
    return change


def _over(edit: Edit, made: EditObject, earlier: Placement, adding: Placement) -> Edit:
    """An edit as it is made after another change of the same object. Raises CannotPlace for the same field."""
    for one in made.edits:
        if isinstance(one, InsertNamed) or isinstance(edit, InsertNamed):
            raise CannotPlace(_refusal(earlier, adding))
        if isinstance(one, EditItem) and isinstance(edit, EditItem) and (one.path, one.item) == (edit.path, edit.item):
            if {field.path for field in one.fields} & {field.path for field in edit.fields}:
                raise CannotPlace(_refusal(earlier, adding))
            whole = edited({"item": dict(one.item)}, _fields_of(made, one))
            edit = replace(edit, item=whole["item"])
    return edit


def _fields_of(made: EditObject, item: EditItem) -> EditObject:
    return EditObject(made.ref, tuple(replace(field, path=("item", *field.path)) for field in item.fields))


def refuse_crossing(earlier: Placement, later: Placement) -> None:
    """Of two faults that are live together. Raises CannotPlace where a copy of a route, or a VirtualService of ours,
    meets another kind's change of the same routes: requests would meet one of the two only. Delays and aborts are
    combined among themselves.
    """
    if {earlier.kind, later.kind} <= {"delay", "abort"}:
        return
    copied = {ref for ref, copies in (*_lists(earlier), *_lists(later)) if copies}
    met = copied & {ref for ref, _ in _lists(earlier)} & {ref for ref, _ in _lists(later)}
    made = [
        one.ref
        for one in earlier.changes
        for other in later.changes
        if isinstance(one, Create) and isinstance(other, Create) and _same_host(one, other)
    ]
    for ref in (*sorted(met, key=str), *made):
        raise CannotPlace(
            f"faults {earlier.kind} and {later.kind} both change the routes of {ref}, and a request would meet one "
            "of them only: two experiments, times that do not overlap, or a delay or abort at: server"
        )


def _lists(placement: Placement) -> Iterator[tuple[Ref, bool]]:
    """VirtualServices whose routes a placement changes, and whether by copies."""
    for change in placement.changes:
        if isinstance(change, EditObject) and change.ref.kind == "VirtualService":
            if any(isinstance(edit, InsertNamed) for edit in change.edits):
                yield change.ref, True
            elif any(isinstance(edit, EditItem) for edit in change.edits):
                yield change.ref, False


def _same_host(one: Create, other: Create) -> bool:
    both = (one.manifest, other.manifest)
    return (
        all(item["kind"] == "VirtualService" for item in both) and both[0]["spec"]["hosts"] == both[1]["spec"]["hosts"]
    )


def _refusal(earlier: Placement, adding: Placement) -> str:
    return (
        f"faults {earlier.kind} and {adding.kind} meet on one route ({adding.edge}) and would change the same of it: "
        f"put them in two experiments"
    )
