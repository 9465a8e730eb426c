"""What placed faults need from the mesh beforehand."""

from __future__ import annotations

from collections.abc import Iterable

from meshchaos.faults.kind import Placement


def needed_headers(placements: Iterable[Placement]) -> tuple[str, ...]:
    """The request headers that proxies must log (``Mesh.observe``) so that the placements can be proved; sorted."""
    names = {name for placement in placements for name in placement.proof.match if not name.startswith(":")}
    return tuple(sorted(names))
