"""What lives as long as pytest's session: the configuration, the meshes opened, and running on them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from meshchaos.checks.kind import Check
from meshchaos.errors import EvidenceError, UserError
from meshchaos.experiment.model import Experiment
from meshchaos.mesh.seam import Mesh
from meshchaos.report import page
from meshchaos.run.api import make_suite
from meshchaos.run.by_hand import ByHand
from meshchaos.run.catalog import Catalog, open_catalog
from meshchaos.run.fault_by_hand import FaultByHand
from meshchaos.run.outcome import EXIT_INTERRUPTED
from meshchaos.run.permission import refuse_unasked
from meshchaos.run.plan import make_checks
from meshchaos.run.result import Result
from meshchaos.run.suite import Suite
from pytest_meshchaos.options import allowed_contexts, option, output_folder, path_option
from pytest_meshchaos.shared_meshes import SharedMeshes
from pytest_meshchaos.sharing import alone, once, shared_folder
from pytest_meshchaos.stash import KEY

_REMEDY = "say --meshchaos-yes={0}, or meshchaos_yes = {0} in the ini file"


def session_of(config: pytest.Config) -> ChaosSession:
    """The one session of this pytest process, made when first asked for."""
    found = config.stash.get(KEY, None)
    if found is None:
        found = config.stash[KEY] = ChaosSession(config)
    return found


class ChaosSession:
    """Options resolved, the catalog read, meshes opened once and closed at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._suite: Suite | None = None
        self._output = output_folder(config)
        self._shared = shared_folder(config, self._output)
        self._results: dict[str, Mapping[str, Any]] = {}
        self._by_hand: ByHand | None = None
        self._held: set[str] = set()
        self._meshes: SharedMeshes | None = None
        self.left_behind: str | None = None
        """That a run of this session could not put everything back, and what to do about it."""

    @cached_property
    def catalog(self) -> Catalog:
        """Of the option, the hook or the ini key, else of the meshchaos.yaml in pytest's rootdir or above. Raises
        UserError.
        """
        config = self._config
        path = path_option(config, "config")
        if not config.getoption("--meshchaos-config"):
            path = config.hook.pytest_meshchaos_config(config=config) or path
        return open_catalog(config=path, mesh=option(config, "mesh"), start=config.rootpath)

    @property
    def skips_inconclusive(self) -> bool:
        """Raises UserError for an ini key with another word."""
        chosen = option(self._config, "inconclusive") or "fail"
        if chosen not in ("fail", "skip"):
            raise UserError(f"meshchaos_inconclusive: {chosen!r} is neither fail nor skip")
        return chosen == "skip"

    def read(self, file: Path) -> list[Experiment]:
        """The experiments of one file. Raises UserError, one line a mistake."""
        return list(self.catalog.read([file], ()))

    def expectations(self, experiment: Experiment) -> list[tuple[str, int]]:
        """Name and line of each that will be judged. Raises UserError."""
        checks = make_checks(experiment, self.catalog.kinds, self.catalog.slos)
        return [(check.name, _line(check, experiment)) for check in checks]

    def result(self, experiment: Experiment) -> Mapping[str, Any]:
        """``result.json`` of the experiment and its ``folder``; run when first asked for, by whichever worker that is.
        Raises as ``run``.
        """
        where = experiment.where
        key = f"{where.file}:{where.line}:{experiment.name}"
        if key not in self._results:
            self._results[key] = once(self._shared, key, lambda: self._data(experiment))
        self._note_leftovers(experiment.name, self._results[key])
        return self._results[key]

    def run(self, experiment: Experiment) -> Result:
        """Runs one experiment, and writes its report. Raises UserError, MeshError, and KeyboardInterrupt for a run
        that was interrupted (and healed).
        """
        hook = self._config.hook
        name = self.catalog.mesh_name(experiment)
        refuse_unasked(self.catalog, name, allowed_contexts(self._config), _REMEDY)
        with self.holding(name):
            self._open_suite().refresh(name)
            hook.pytest_meshchaos_experiment_started(config=self._config, experiment=experiment)
            result = self._open_suite().run_one(experiment)
            self._write_page(result)
            hook.pytest_meshchaos_experiment_finished(config=self._config, experiment=experiment, result=result)
        self._note_leftovers(experiment.name, result.to_json())
        if result.exit_code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt(f"{experiment.name}: {result.reason}")
        return result

    def _data(self, experiment: Experiment) -> dict[str, Any]:
        result = self.run(experiment)
        return {**result.to_json(), "folder": str(result.folder)}

    def _note_leftovers(self, name: str, result: Mapping[str, Any]) -> None:
        if result["leftovers"]:
            self.left_behind = f"{name} left something behind: {self.catalog.heal_command(result['mesh'])}"

    def _write_page(self, result: Result) -> None:
        from meshchaos.load.reader import read_samples

        try:
            page.write(result, read_samples(result.folder))
        except (OSError, EvidenceError) as error:
            warnings.warn(pytest.PytestWarning(f"no report.html: {error}"), stacklevel=1)

    def mesh(self) -> Mesh:
        """The mesh that experiments run on when they name none; opened anew where it broke. Raises UserError,
        MeshError.
        """
        name = self.catalog.default_name()
        suite = self._open_suite()
        suite.refresh(name)
        return suite.mesh(name, self._output / f"mesh-{name}")

    @contextmanager
    def holding(self, name: str | None = None) -> Iterator[None]:
        """No other worker makes a fault on that mesh (default: the one of ``mesh``) meanwhile, nor looks at it in a
        test. Raises UserError.
        """
        name = name or self.catalog.default_name()
        if name in self._held:
            yield
            return
        with alone(self._shared, f"mesh {name}"):
            self._held.add(name)
            try:
                yield
            finally:
                self._held.discard(name)

    def by_hand(self) -> ByHand:
        """For faults outside of any experiment, on that mesh as it is now: after one that broke comes another."""
        if self._by_hand is not None and self._by_hand.active is not None:
            return self._by_hand  # what is live knows its mesh
        mesh, suite = self.mesh(), self._open_suite()
        if self._by_hand is None or self._by_hand.mesh is not mesh:
            self._by_hand = ByHand(
                mesh,
                self.catalog.kinds,
                suite.rooms,
                self._output,
                self.catalog.heal_command(mesh.name),
                seed=suite.seed or 0,
            )
        return self._by_hand

    def marked(self, markers: Sequence[pytest.Mark]) -> FaultByHand:
        """The faults of ``@pytest.mark.chaos(delay={"to": "ratings", ...})``, the outermost first. Raises UserError."""
        hand, found = self.by_hand(), []
        for marker in markers:
            if marker.args or not all(isinstance(one, Mapping) for one in marker.kwargs.values()):
                raise UserError(
                    "pytest.mark.chaos takes faults with their fields: "
                    '@pytest.mark.chaos(delay={"to": "ratings", "fixedDelay": "2s"})'
                )
            found += [hand.fault(kind, fields) for kind, fields in marker.kwargs.items()]
        return found[0] if len(found) == 1 else hand.together(found)

    def take_back(self) -> None:
        """What a test entered and never left. Raises Leftover."""
        hand = self._by_hand
        if hand is None:
            return
        try:
            hand.close()
        finally:
            if hand.leftovers:
                self.left_behind = f"{hand.leftovers[0]} could not be put back: {hand.heal_command}"

    def close(self) -> None:
        """Meshes that this process started end, once no other worker uses them."""
        if self._meshes is not None:
            self._meshes.leave()
        suite, self._suite = self._suite, None
        if suite is not None:
            suite.__exit__(None, None, None)

    def _open_suite(self) -> Suite:
        if self._suite is None:
            seed = self._config.getoption("--meshchaos-seed")
            yes = allowed_contexts(self._config)
            self._suite = make_suite(self.catalog, (), output=self._output, seed=seed, yes=yes).__enter__()
            opener = self._suite.opener
            if self._shared is not None:
                self._meshes = SharedMeshes(self._shared, opener)
                opener = self._meshes.open

            def asked(name: str, logs: Path) -> Mesh:
                refuse_unasked(self.catalog, name, yes, _REMEDY)
                return opener(name, logs)

            self._suite.opener = asked
        return self._suite


def _line(check: Check, experiment: Experiment) -> int:
    where = getattr(check, "where", None) or experiment.where
    return int(where.line)
