"""What placed faults need from the mesh beforehand."""

from __future__ import annotations

from collections.abc import Iterable

from meshchaos.faults.kind import Placement, Proof


def needed_headers(placements: Iterable[Placement]) -> tuple[str, ...]:
    """The request headers that proxies must log (``Mesh.observe``) so that the placements can be proved; sorted."""
    proofs = [placement.proof for placement in placements if isinstance(placement.proof, Proof)]
    names = {name for proof in proofs for name in proof.match if not name.startswith(":")}
    return tuple(sorted(names))
