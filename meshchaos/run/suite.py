"""Several experiments, one after another: all of them validated before any, one mesh each name."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from meshchaos.errors import MeshchaosError, MeshGone, UserError
from meshchaos.evidence.prometheus import Prometheus
from meshchaos.experiment.model import Experiment
from meshchaos.mesh.seam import Mesh
from meshchaos.run import events
from meshchaos.run.callers import with_callers
from meshchaos.run.catalog import Catalog
from meshchaos.run.engine import Engine
from meshchaos.run.fitting import refuse_unfit
from meshchaos.run.folder import check_output, make_folder, new_run_id
from meshchaos.run.healing import refuse_held
from meshchaos.run.interrupts import Interrupts
from meshchaos.run.loads import entries_of
from meshchaos.run.outcome import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_LEFTOVER, EXIT_PASS, worst_exit
from meshchaos.run.permission import refuse_unasked
from meshchaos.run.plan import Plan, make_checks, make_plan, namespace_of
from meshchaos.run.result import Result
from meshchaos.run.rooms import Rooms
from meshchaos.run.safety import refuse_unsafe

Opener = Callable[[str, Path], Mesh]
"""Name of a mesh and the folder for its logs -> the mesh, running."""
OnResult = Callable[[Result], None]
Consent = Callable[[Sequence[Plan]], None]


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """``exit_code`` is the worst by 4, 130, 5, 1, 3, 0. ``skipped``: names of those that were not run any more."""

    results: tuple[Result, ...]
    exit_code: int
    skipped: tuple[str, ...] = ()


@dataclass
class Suite:
    """``again`` is called when a signal comes once more while a run heals, with the words to show. ``consent`` is asked
    with all plans before the first run, and raises UserError where somebody says no; where there is none, a cluster is
    run on only if its context is in ``yes``.
    """

    catalog: Catalog
    experiments: Sequence[Experiment]
    rooms: Rooms
    opener: Opener
    output: Path
    handlers: Sequence[events.Handler] = ()
    seed: int | None = None
    fail_fast: bool = False
    on_result: OnResult | None = None
    again: Callable[[str], None] | None = None
    consent: Consent | None = None
    yes: Collection[str] = ()
    _meshes: dict[str, Mesh] = field(default_factory=dict)
    _doomed: list[Path] = field(default_factory=list)
    """Folders of runs that never began, and those for the logs of meshes that were only looked at."""

    def __post_init__(self) -> None:
        if self.seed is None:
            self.seed = secrets.randbits(31)

    def __enter__(self) -> Suite:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        for name in list(self._meshes):
            self._drop(name)
        for folder in self._doomed:
            shutil.rmtree(folder, ignore_errors=True)

    def run(self) -> SuiteResult:
        """Raises UserError before anything is run, and MeshError when a mesh cannot be had."""
        check_output(self.output)
        for experiment in self.experiments:
            self._refuse_unasked(experiment)
            make_checks(experiment, self.catalog.kinds, self.catalog.slos)
        prepared = self._open_meshes()
        self._validate(prepared)
        results: list[Result] = []
        for position, experiment in enumerate(self.experiments):
            run_id, folder = prepared.get(position) or self._new_folder(experiment)
            mesh = self.mesh(self.mesh_name(experiment), folder / "mesh")
            result = self._run_one(experiment, run_id, folder, mesh)
            results.append(result)
            if self.on_result is not None:
                self.on_result(result)
            if self._over(result):
                break
            if result.exit_code == EXIT_ERROR:
                self._drop(self.mesh_name(experiment))
        skipped = tuple(experiment.name for experiment in self.experiments[len(results) :])
        return SuiteResult(tuple(results), worst_exit(result.exit_code for result in results), skipped)

    def run_one(self, experiment: Experiment) -> Result:
        """One more experiment on the meshes that are held open. Raises UserError, MeshError."""
        check_output(self.output)
        self._refuse_unasked(experiment)
        run_id, folder = self._new_folder(experiment)
        name = self.mesh_name(experiment)
        try:
            result = self._run_one(experiment, run_id, folder, self.mesh(name, folder / "mesh"))
        except UserError:
            self._doomed.append(folder)  # no run began
            raise
        if self.on_result is not None:
            self.on_result(result)
        if result.exit_code == EXIT_ERROR:
            self._drop(name)
        return result

    def plan(self, experiment: Experiment, assume: float | None = None) -> tuple[Plan, Mesh]:
        """What a run would do; nothing is changed. Raises UserError, MeshError."""
        mesh = self.mesh(self.mesh_name(experiment), self._logs())
        refuse_held(mesh, self.catalog.heal_command(mesh.name), time.time())
        return self._plan(experiment, mesh, new_run_id(), assume), mesh

    def mesh_name(self, experiment: Experiment) -> str:
        """Raises UserError where neither the file nor the configuration names a mesh."""
        return self.catalog.mesh_name(experiment)

    def mesh(self, name: str, logs: Path) -> Mesh:
        """The mesh of that name, opened once."""
        if name not in self._meshes:
            self._meshes[name] = self.opener(name, logs)
        return self._meshes[name]

    def refresh(self, name: str) -> None:
        """Lets go of the mesh of that name where it is gone, so that it is opened anew."""
        mesh = self._meshes.get(name)
        if mesh is None:
            return
        try:
            mesh.journal.entries()
        except MeshGone:
            self._drop(name)

    def _open_meshes(self) -> dict[int, tuple[str, Path]]:
        """Every mesh that is needed, each with its logs in the folder of the first run on it; those runs' ids and
        folders by their position.
        """
        prepared: dict[int, tuple[str, Path]] = {}
        for position, experiment in enumerate(self.experiments):
            name = self.mesh_name(experiment)
            if name in self._meshes:
                continue
            prepared[position] = self._new_folder(experiment)
            folder = prepared[position][1]
            try:
                self.mesh(name, folder / "mesh")
            except BaseException:
                if not any(folder.iterdir()):
                    folder.rmdir()
                raise
        return prepared

    def _new_folder(self, experiment: Experiment) -> tuple[str, Path]:
        run_id = new_run_id()
        return run_id, make_folder(self.output, experiment.name, run_id, time.time())

    def _validate(self, prepared: Mapping[int, tuple[str, Path]]) -> None:
        """Places every experiment once, so that a mistake in the last file shows before the first run."""
        try:
            for mesh in self._meshes.values():
                refuse_held(mesh, self.catalog.heal_command(mesh.name), time.time())
            plans = []
            for experiment in self.experiments:
                mesh = self._meshes[self.mesh_name(experiment)]
                plan = self._plan(experiment, mesh, new_run_id())
                plans.append(plan)
                plan.load_plans(self.output)
                plan.tokens(mesh.signing_keys())
                if plan.queries and plan.prometheus is not None:
                    Prometheus(plan.prometheus).close()  # its secrets and its CA are there
            if self.consent is not None:
                self.consent(plans)
        except MeshchaosError:
            self._doomed += [folder for _, folder in prepared.values()]
            raise

    def _plan(self, experiment: Experiment, mesh: Mesh, run_id: str, assume: float | None = None) -> Plan:
        snapshot = mesh.snapshot()
        plan = make_plan(
            experiment,
            snapshot,
            self.catalog.kinds,
            slos=self.catalog.slos,
            run_id=run_id,
            seed=self.seed or 0,
            entries=entries_of(experiment, mesh.entry, namespace_of(experiment, snapshot)),
            prometheus=self.catalog.prometheus(self.mesh_name(experiment)),
            assume=assume,
            issuers=self.catalog.config.issuers,
        )
        name = self.mesh_name(experiment)
        refuse_unsafe(plan, snapshot, self.catalog.safety(name), cluster=self.catalog.on_cluster(name))
        refuse_unfit(plan, mesh)
        return with_callers(plan, mesh)

    def _run_one(self, experiment: Experiment, run_id: str, folder: Path, mesh: Mesh) -> Result:
        plan = self._plan(experiment, mesh, run_id)
        with Interrupts() as interrupts:
            engine = Engine(
                plan=plan,
                mesh=mesh,
                rooms=self.rooms,
                clock=interrupts.clock(),
                folder=folder,
                handlers=self.handlers,
                slos=self.catalog.slos,
                interrupted=lambda: interrupts.requested,
                heal_command=self.catalog.heal_command(mesh.name),
            )
            interrupts.again = lambda: self._warn(engine)
            return engine.run()

    def _refuse_unasked(self, experiment: Experiment) -> None:
        name = self.mesh_name(experiment)
        if self.consent is None and self.catalog.on_cluster(name):
            refuse_unasked(self.catalog, name, self.yes, 'say yes=["{}"]')

    def _warn(self, engine: Engine) -> None:
        if self.again is not None:
            self.again(
                f"still {engine.standing.state}. Wait for it; a third signal gives up, then say: {engine.heal_command}"
            )

    def _over(self, result: Result) -> bool:
        if result.exit_code in (EXIT_LEFTOVER, EXIT_INTERRUPTED):
            return True
        return self.fail_fast and result.exit_code != EXIT_PASS

    def _logs(self) -> Path:
        """For a mesh that is only looked at."""
        self._doomed.append(Path(tempfile.mkdtemp(prefix="meshchaos-plan-")))
        return self._doomed[-1]

    def _drop(self, name: str) -> None:
        mesh = self._meshes.pop(name)
        try:
            mesh.close()
        except MeshchaosError as error:
            for handler in self.handlers:
                handler(events.Warned(0.0, str(error)))
