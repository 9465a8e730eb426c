"""What is missing here, and why a fault could not bite: ``meshchaos doctor``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshchaos.errors import MeshchaosError, UserError
from meshchaos.experiment.model import Experiment
from meshchaos.mesh.seam import Mesh, Snapshot
from meshchaos.run.callers import with_callers
from meshchaos.run.catalog import Catalog, open_catalog
from meshchaos.run.fitting import refuse_unfit
from meshchaos.run.folder import new_run_id
from meshchaos.run.loads import entries_of
from meshchaos.run.meshes import cluster_spec, open_mesh
from meshchaos.run.plan import make_plan, namespace_of
from meshchaos.run.wiring import rooms

_PROBE = 5.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``mark``: ok, note (worth knowing), or ill (needs mending)."""

    mark: str
    text: str

    @property
    def ill(self) -> bool:
        return self.mark == "ill"


def examine(
    paths: Sequence[Path], *, mesh: str | None, config: Path | None, sets: Sequence[str]
) -> Iterator[Diagnosis]:
    """What is found, as it is found. Nothing is changed; a mesh that does not run is started and ended."""
    try:
        catalog = open_catalog(config=config, mesh=mesh)
        experiments = catalog.read(paths, sets) if paths else []
        names = list(dict.fromkeys(catalog.mesh_name(one) for one in experiments)) or [catalog.default_name()]
        local = any(cluster_spec(catalog.config, name) is None for name in names)
    except UserError as error:
        yield from _machine()
        yield Diagnosis("ill", str(error))
        return
    if local:
        yield from _machine()
    yield Diagnosis("ok", f"configuration {catalog.config.path}, meshes {', '.join(catalog.config.meshes)}")
    for name in names:
        with tempfile.TemporaryDirectory(prefix="meshchaos-doctor-") as logs:
            try:
                opened = open_mesh(catalog, name, Path(logs))
            except MeshchaosError as error:
                yield Diagnosis("ill", f"mesh {name}: {error}")
                continue
            try:
                yield from _mesh(opened)
                for experiment in experiments:
                    if catalog.mesh_name(experiment) == name:
                        yield from _experiment(catalog, experiment, opened)
            finally:
                opened.close()


def _machine() -> Iterator[Diagnosis]:
    from meshchaos.mesh.local import preflight

    try:
        preflight.check_machine(16)
        preflight.envoy_binary()
        yield Diagnosis("ok", f"Envoy {preflight.envoy_version()}; open files and inotify suffice for 16 proxies")
    except UserError as error:
        yield Diagnosis("ill", str(error))


def _mesh(mesh: Mesh) -> Iterator[Diagnosis]:
    snapshot = mesh.snapshot()
    versions = ", ".join(f"{name} {version}" for name, version in mesh.versions().items())
    yield Diagnosis("ok", f"mesh {mesh.name} is up ({versions}), {len(snapshot.workloads)} workloads")
    for entry in mesh.journal.entries():
        yield Diagnosis("ill", f"run {entry.run_id} ({entry.owner}) holds it or left changes behind: meshchaos heal")
    yield from _sidecars(snapshot)
    for line in mesh.trouble():
        yield Diagnosis("ill", line)


def _sidecars(snapshot: Snapshot) -> Iterator[Diagnosis]:
    for workload in snapshot.workloads:
        if not workload.sidecar and not workload.gateway:
            yield Diagnosis(
                "note",
                f"workload {workload.name}.{workload.namespace} has no sidecar: it speaks plaintext, and no fault at "
                "its server's side is possible (label its namespace istio-injection: enabled)",
            )
        down = [replica.name for replica in workload.replicas if not replica.ready]
        if down:
            yield Diagnosis("ill", f"workload {workload.name}.{workload.namespace}: not ready: {', '.join(down)}")


def _experiment(catalog: Catalog, experiment: Experiment, mesh: Mesh) -> Iterator[Diagnosis]:
    """Whether each fault can be placed, and each load is answered."""
    try:
        snapshot = mesh.snapshot()
        entries = entries_of(experiment, mesh.entry, namespace_of(experiment, snapshot))
        run_id = new_run_id()
        plan = make_plan(
            experiment,
            snapshot,
            catalog.kinds,
            slos=catalog.slos,
            run_id=run_id,
            seed=0,
            entries=entries,
            prometheus=catalog.prometheus(catalog.mesh_name(experiment)),
        )
        refuse_unfit(plan, mesh)
        plan = with_callers(plan, mesh)
    except UserError as error:
        yield Diagnosis("ill", str(error))
        return
    for placement in plan.placements:
        yield Diagnosis("ok", f"{experiment.name}: {placement.kind} {placement.edge} fits: {placement.reason}")
    for warning in plan.warnings:
        yield Diagnosis("note", f"{experiment.name}: {warning}")
    for load in plan.load_plans(Path(tempfile.gettempdir())):
        if load.entry.at:
            text = f"{experiment.name}: load {load.name} is sent {load.entry.words}, which a run makes: not tried"
            yield Diagnosis("note", text)
            continue
        silent = rooms().probe(load, min(_PROBE, load.timeout))
        if silent is not None:
            yield Diagnosis("ill", f"{experiment.name}: load {load.name}: no answer {load.entry.words}: {silent}")
        else:
            yield Diagnosis("ok", f"{experiment.name}: load {load.name} is answered, {load.entry.words}")
