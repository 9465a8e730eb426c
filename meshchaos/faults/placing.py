"""All faults of one experiment placed on one mesh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meshchaos.errors import CannotPlace, FileError, UserError
from meshchaos.experiment.model import Fault
from meshchaos.faults.kind import FaultContext, FaultKind, Placement
from meshchaos.mesh.seam import Snapshot


def place_all(
    faults: Sequence[Fault],
    kinds: Mapping[str, FaultKind],
    mesh: Snapshot,
    *,
    run_id: str,
    seed: int,
    namespace: str | None = None,
    claims: Sequence[tuple[str, str]] = (),
) -> tuple[Placement, ...]:
    """Placements in the order of the file, those that meet combined. ``kinds`` by key; kinds with the same ``family``
    (an attribute, else the kind itself) are combined together. ``namespace`` None: the mesh's first.

    Raises FileError at the fault that cannot be placed.
    """
    resolved = namespace or (mesh.namespaces[0] if mesh.namespaces else "default")
    placed: list[Placement] = []
    for number, fault in enumerate(faults, start=1):
        context = FaultContext(f"chaos-{run_id}-{number}", fault.index, seed, resolved, tuple(claims))
        try:
            placed.append(kinds[fault.kind].place(fault.spec, mesh, context))
        except UserError as error:
            raise _at(fault, error) from error
    families: dict[Any, list[int]] = {}
    for position, fault in enumerate(faults):
        kind = kinds[fault.kind]
        families.setdefault(getattr(kind, "family", fault.kind), []).append(position)
    for members in families.values():
        try:
            combined = kinds[faults[members[0]].kind].combine(tuple(placed[position] for position in members))
        except CannotPlace as error:
            raise _at(faults[members[-1]], error) from error
        for position, placement in zip(members, combined, strict=True):
            placed[position] = placement
    return tuple(placed)


def needed_headers(placements: Iterable[Placement]) -> tuple[str, ...]:
    """The request headers that proxies must log (``Mesh.observe``) so that the placements can be proved; sorted."""
    names = {name for placement in placements for name in placement.proof.match if not name.startswith(":")}
    return tuple(sorted(names))


def _at(fault: Fault, error: UserError) -> UserError:
    if isinstance(error, FileError):
        return error
    where = fault.where
    return FileError(str(error), file=where.file, line=where.line, col=where.col, path=where.path)
