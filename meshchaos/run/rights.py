"""``meshchaos rbac``: the Roles that experiments need on their cluster, by what their plans write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from meshchaos.errors import UserError
from meshchaos.experiment.config import KubernetesMeshConfig
from meshchaos.experiment.model import Experiment
from meshchaos.mesh.changes import Change
from meshchaos.mesh.objects import Manifest
from meshchaos.run.api import make_suite
from meshchaos.run.catalog import Catalog
from meshchaos.run.meshes import cluster_spec


def rights(catalog: Catalog, experiments: Sequence[Experiment]) -> list[Manifest]:
    """Raises UserError for experiments on a local mesh or on several, and as ``Suite.plan``."""
    names = sorted({catalog.mesh_name(one) for one in experiments})
    if len(names) > 1:
        raise UserError(f"these experiments are for several meshes ({', '.join(names)}): choose one by --mesh")
    spec = cluster_spec(catalog.config, names[0])
    if spec is None:
        raise UserError(f"mesh {names[0]} is a local one: it knows no rights")
    from meshchaos.mesh.kubernetes.client import KubernetesMesh

    changes: list[Change] = []
    killed: set[str] = set()
    callers: set[str] = set()
    with make_suite(_before_its_healer(catalog, names[0]), experiments) as suite:
        for experiment in experiments:
            plan, mesh = suite.plan(experiment)
            changes += plan.changes
            callers |= set(plan.callers)
            killed |= {one.kill.namespace for one in plan.placements if one.kill is not None}
        assert isinstance(mesh, KubernetesMesh)
        return mesh.rights(changes, killed, callers, spec.healer)


def _before_its_healer(catalog: Catalog, name: str) -> Catalog:
    """As if the mesh had none: its ServiceAccount is what is going to be made."""
    mesh = catalog.config.mesh(name)
    assert isinstance(mesh.kind, KubernetesMeshConfig)
    plain = replace(mesh, kind=replace(mesh.kind, healer=None))
    return replace(catalog, config=replace(catalog.config, meshes={**catalog.config.meshes, name: plain}))
