"""What there is to run: the configuration, the installed kinds, and the experiments of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meshchaos.errors import FileError, FileErrors, UserError
from meshchaos.experiment.config import (
    Config,
    KubernetesMeshConfig,
    LocalMeshConfig,
    PrometheusConfig,
    Safety,
    read_config,
)
from meshchaos.experiment.model import Experiment, Slo
from meshchaos.experiment.reader import read
from meshchaos.run import events
from meshchaos.run.selection import find_files
from meshchaos.run.vocabulary import Kinds, load_kinds


@dataclass(frozen=True, slots=True)
class Catalog:
    """``chosen``: the mesh of ``--mesh``; ``given``: the file of ``--config``."""

    config: Config
    kinds: Kinds
    chosen: str | None
    given: Path | None

    @property
    def slos(self) -> Mapping[str, Slo]:
        return self.config.slos

    def read(self, paths: Sequence[Path], sets: Sequence[str]) -> list[Experiment]:
        """The experiments of files and folders, in order. Raises UserError with all mistakes of all files."""
        found: list[Experiment] = []
        errors: list[FileError] = []
        for file in find_files(paths):
            try:
                found += read(
                    file,
                    self.kinds.vocabulary,
                    mesh=self.chosen,
                    sets=sets,
                    default_mesh=self.config.default_mesh,
                )
            except FileErrors as several:
                errors += several.errors
            except FileError as error:
                errors.append(error)
        if errors:
            raise errors[0] if len(errors) == 1 else FileErrors(errors)
        return found

    def mesh_name(self, experiment: Experiment) -> str:
        """Of the mesh that an experiment runs on. Raises UserError where none is chosen or it is not configured."""
        return self.config.mesh(self.chosen or experiment.mesh).name

    def default_name(self) -> str:
        """Of the mesh that is meant when no experiment is. Raises UserError."""
        return self.config.mesh(self.chosen).name

    def prometheus(self, name: str) -> PrometheusConfig | None:
        """Of the mesh of that name, where meshchaos.yaml names one."""
        found = self.config.meshes.get(name)
        return found.prometheus if found is not None else None

    def safety(self, name: str) -> Safety:
        """What may not be done on the mesh of that name."""
        found = self.config.meshes.get(name)
        return found.safety if found is not None else Safety()

    def on_cluster(self, name: str) -> bool:
        """Whether the mesh of that name is on a cluster."""
        found = self.config.meshes.get(name)
        return found is not None and isinstance(found.kind, KubernetesMeshConfig)

    def local(self, name: str) -> LocalMeshConfig:
        """The local mesh of that name. Raises UserError for one on a cluster."""
        kind = self.config.mesh(name).kind
        if not isinstance(kind, LocalMeshConfig):
            raise UserError(
                f"{self.config.path}: meshes.{name} is on a cluster: only a local mesh is started and ended here"
            )
        return kind

    def heal_command(self, mesh: str) -> str:
        """What a person types to put back by hand what a run left on a mesh."""
        import shlex

        return shlex.join(["meshchaos", "heal", "--mesh", mesh, *(["--config", str(self.given)] if self.given else [])])


def open_catalog(*, config: Path | None = None, mesh: str | None = None, start: Path | None = None) -> Catalog:
    """``config``: instead of the meshchaos.yaml found from ``start`` (default: the working folder) upwards.
    Raises UserError.
    """
    return Catalog(read_config(config, start=start), load_kinds(), mesh, config)


def reread(folder: Path, started: events.RunStarted | None) -> tuple[Experiment, Mapping[str, Slo], Kinds]:
    """A finished run's experiment, with the places of the file it came from, and its SLOs."""
    kinds = load_kinds()
    experiments = read(folder / "experiment.yaml", kinds.vocabulary)
    if started is None or len(experiments) != 1:
        raise UserError(f"{folder} is not a run's folder")
    experiment = experiments[0]
    lines = dict(enumerate(started.lines))
    expect = tuple(
        replace(one, where=replace(one.where, file=started.source, line=lines.get(one.index, 0)))
        for one in experiment.expect
    )
    return replace(experiment, expect=expect), {slo.name: slo for slo in map(_slo, started.slos)}, kinds


def schema_of(kind: str) -> dict[str, Any]:
    """The JSON Schema of ``experiment``, ``config`` or ``result``."""
    from meshchaos.experiment.schema import config_schema, json_schema
    from meshchaos.run.result import schema

    if kind == "result":
        return schema()
    return config_schema() if kind == "config" else json_schema(load_kinds().vocabulary)


def _slo(data: Mapping[str, Any]) -> Slo:
    latency = {float(quantile): float(limit) for quantile, limit in data["latency"].items()}
    return Slo(data["name"], data["success"], latency, data.get("window"))
