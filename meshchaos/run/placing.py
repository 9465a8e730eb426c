"""Where each fault of an experiment goes, and when: placed by its kind, combined with those that it meets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from meshchaos.errors import CannotPlace, FileError, UserError
from meshchaos.experiment.model import Experiment, Fault, Where
from meshchaos.faults.kind import FaultContext, FaultKind, Placement
from meshchaos.faults.masking import refuse_masked
from meshchaos.faults.route_combining import refuse_crossing
from meshchaos.mesh.changes import Change, Create, EditObject, edited, recorded
from meshchaos.mesh.edits import InsertNamed
from meshchaos.mesh.objects import Manifest, Ref, ref_of
from meshchaos.mesh.seam import Snapshot
from meshchaos.run.timeline import Step, Timing, live_before
from meshchaos.run.vocabulary import Kinds, plugs

_When = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Placed:
    """``placements`` in the order of the file; ``timings`` of those that are not live for the whole fault phase."""

    placements: tuple[Placement, ...]
    timings: Mapping[str, Timing]


@dataclass(frozen=True, slots=True)
class _One:
    """A fault as its kind placed it; ``when`` it is live (s in the fault phase)."""

    fault: Fault
    kind: FaultKind
    placement: Placement
    steps: tuple[Placement, ...]
    when: _When

    @property
    def group(self) -> tuple[object, ...]:
        """Those that are equal here are combined: of one family, and always live together."""
        family = getattr(self.kind, "family", type(self.kind).__qualname__)
        return family, self.when, self.fault.index if self.steps else None


def fault_id(run_id: str, index: int) -> str:
    """Goes into the name of everything that the fault makes."""
    return f"chaos-{run_id}-{index}"


def place(
    experiment: Experiment, snapshot: Snapshot, kinds: Kinds, *, namespace: str, run_id: str, seed: int
) -> Placed:
    """Each fault placed; those that meet on one route at the same time combined by their kinds. Raises CannotPlace as
    one line with the fault's place in the file.
    """
    claims = tuple((e.kind, _edge(e.spec)) for e in experiment.expect)
    phase = experiment.phase("fault")
    length = phase.at_most if phase is not None else 0.0
    ones: list[_One] = []
    for fault in experiment.faults:
        kind = kinds.faults[fault.kind]
        context = FaultContext(fault_id(run_id, fault.index), fault.index, seed, namespace, claims)
        with at_place(fault.where), plugs(kind):
            placement = kind.place(fault.spec, snapshot, context)
            steps = tuple(kind.place(step.spec, snapshot, context) for step in fault.ramp)
        ones.append(_One(fault, kind, placement, steps, fault.window(length)))
    placements = _together(experiment, ones, run_id)
    combined = {placement.id: placement for placement in placements}
    for position, one in enumerate(ones):
        later = combined.get(one.placement.id, one.placement)
        for other in ones[:position]:
            if _overlap(one.when, other.when):
                earlier = combined.get(other.placement.id, other.placement)
                with at_place(one.fault.where):
                    refuse_crossing(earlier, later)
                    refuse_masked(earlier, later)
    present = {ref_of(manifest): manifest for manifest in snapshot.objects}
    timings = {
        one.placement.id: Timing(
            after=one.fault.after,
            lasts=one.fault.lasts,
            steps=tuple(
                Step(step.percentage, _final(present, placed))
                for step, placed in zip(one.fault.ramp, one.steps, strict=True)
            ),
            every=one.placement.kill.every if one.placement.kill is not None else None,
        )
        for one in ones
        if one.fault.timed or one.placement.kill is not None
    }
    found = [_found(present, live_before(placements, timings, position)) for position in range(len(placements))]
    return Placed(tuple(map(_final, found, placements)), timings)


_Objects = Mapping[Ref, Manifest]


def _found(present: _Objects, live: Sequence[Placement]) -> _Objects:
    """The objects as a fault finds them that begins while others are ``live``: with the fields that they changed."""
    found = dict(present)
    for earlier in live:
        for change in _final(found, earlier).changes:
            if isinstance(change, Create):
                found[change.ref] = change.manifest
            elif change.ref in found and not any(isinstance(edit, InsertNamed) for edit in change.edits):
                found[change.ref] = edited(found[change.ref], change)
    return found


def _final(present: _Objects, placement: Placement) -> Placement:
    return replace(placement, changes=tuple(_recorded(present, change) for change in placement.changes))


def _together(experiment: Experiment, ones: Sequence[_One], run_id: str) -> list[Placement]:
    groups: dict[tuple[object, ...], list[_One]] = {}
    for one in ones:
        groups.setdefault(one.group, []).append(one)
    combined: list[Placement] = []
    for members in groups.values():
        combined += _combined(members[0].kind, [one.placement for one in members], experiment.where)
    for position, one in enumerate(ones):
        for other in ones[:position]:
            if one.group[0] == other.group[0] and one.group != other.group and _overlap(one.when, other.when):
                _refuse_meeting(other, one)
    order = {fault_id(run_id, fault.index): fault.index for fault in experiment.faults}
    return sorted(combined, key=lambda placement: order.get(placement.id, len(order)))


def _combined(kind: FaultKind, placements: Sequence[Placement], where: Where) -> tuple[Placement, ...]:
    with at_place(where), plugs(kind):
        return tuple(kind.combine(tuple(placements)) if hasattr(kind, "combine") else placements)


def _overlap(one: _When, other: _When) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _refuse_meeting(earlier: _One, later: _One) -> None:
    """Two faults whose times differ cannot be made one object: it would come and go with one of them."""
    pair = (earlier.placement, later.placement)
    if _combined(later.kind, pair, later.fault.where) != pair:
        with at_place(later.fault.where):
            raise CannotPlace(
                f"it meets spec.faults[{earlier.fault.index}] on one route, where there is room for one: give both the "
                "same `after` and `for` and no ramp, or times that do not overlap"
            )


def _recorded(present: Mapping[Ref, Manifest], change: Change) -> Change:
    """With what undoing it needs to know, and where it goes in a list that other faults change, too."""
    if isinstance(change, EditObject) and change.ref in present:
        return recorded(present[change.ref], change)
    return change


def _edge(spec: object) -> str:
    """``from -> to`` of what an expectation is about, in the user's words; either may be empty."""
    source, target = getattr(spec, "from_", None), getattr(spec, "to", None)
    if isinstance(source, tuple):
        source = ", ".join(map(str, source))
    return f"{source or ''} -> {target or ''}" if source or target else ""


@contextmanager
def at_place(where: Where) -> Iterator[None]:
    """A mistake inside gets this place in the file."""
    try:
        yield
    except FileError:
        raise
    except UserError as error:
        raise FileError(str(error), file=where.file, line=where.line, col=where.col, path=where.path) from error
