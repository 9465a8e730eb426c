"""Who cannot be asked before a cluster is changed (pytest, a program) has said so beforehand, by its context's name."""

from __future__ import annotations

from collections.abc import Collection

from meshchaos.errors import UserError
from meshchaos.run.catalog import Catalog
from meshchaos.run.meshes import cluster_spec


def refuse_unasked(catalog: Catalog, mesh: str, allowed: Collection[str] | str, remedy: str) -> None:
    """Raises UserError for a mesh on a cluster whose context is not among ``allowed``; ``remedy`` says how it gets
    there, with ``{}`` for the context.
    """
    spec = cluster_spec(catalog.config, mesh)
    named = (allowed,) if isinstance(allowed, str) else allowed  # not a part of the name
    if spec is not None and spec.context not in named:
        raise UserError(
            f"mesh {mesh} is on a cluster (context {spec.context}, namespaces {', '.join(spec.namespaces)}), and "
            f"nobody can be asked here: {remedy.format(spec.context)}"
        )
