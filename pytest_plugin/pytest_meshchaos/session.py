"""What lives as long as pytest's session: the configuration, the meshes opened, and running on them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from meshchaos.errors import EvidenceError, UserError
from meshchaos.experiment.model import Experiment
from meshchaos.mesh.seam import Mesh
from meshchaos.report import page
from meshchaos.run.api import make_suite
from meshchaos.run.catalog import Catalog, open_catalog
from meshchaos.run.outcome import EXIT_INTERRUPTED
from meshchaos.run.result import Result
from meshchaos.run.suite import Suite
from pytest_meshchaos.stash import KEY

_DEFAULT_OUTPUT = "reports"


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

    @cached_property
    def catalog(self) -> Catalog:
        """Of the option or ini key, else of the meshchaos.yaml in pytest's rootdir or above. Raises UserError."""
        return open_catalog(config=self._path("config"), mesh=self._option("mesh"), start=self._config.rootpath)

    def read(self, file: Path) -> list[Experiment]:
        """The experiments of one file. Raises UserError, one line a mistake."""
        return list(self.catalog.read([file], ()))

    def run(self, experiment: Experiment, session: pytest.Session) -> Result:
        """Runs one experiment, and writes its report. What it could not put back ends pytest's session after the
        test. Raises UserError, MeshError, and KeyboardInterrupt for a run that was interrupted (and healed).
        """
        result = self._open_suite().run_one(experiment)
        self._write_page(result)
        if result.leftovers:
            session.shouldfail = f"{experiment.name} left something behind: {self.catalog.heal_command(result.mesh)}"
        elif result.exit_code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt(f"{experiment.name}: {result.reason}")
        return result

    def _write_page(self, result: Result) -> None:
        from meshchaos.load.reader import read_samples

        try:
            page.write(result, read_samples(result.folder))
        except (OSError, EvidenceError) as error:
            warnings.warn(pytest.PytestWarning(f"no report.html: {error}"), stacklevel=1)

    def mesh(self) -> Mesh:
        """The mesh that experiments run on when they name none. Raises UserError, MeshError."""
        name = self.catalog.default_name()
        suite = self._open_suite()
        return suite.mesh(name, self._output() / f"mesh-{name}")

    def close(self) -> None:
        suite, self._suite = self._suite, None
        if suite is not None:
            suite.__exit__(None, None, None)

    def _open_suite(self) -> Suite:
        if self._suite is None:
            seed = self._config.getoption("--meshchaos-seed")
            self._suite = make_suite(self.catalog, (), output=self._output(), seed=seed).__enter__()
        return self._suite

    def _output(self) -> Path:
        return self._path("output") or self._config.rootpath / _DEFAULT_OUTPUT

    def _option(self, name: str) -> str | None:
        chosen = self._config.getoption(f"--meshchaos-{name}") or self._config.getini(f"meshchaos_{name}")
        return str(chosen) if chosen else None

    def _path(self, name: str) -> Path | None:
        """An option's path is relative to where pytest was called, an ini key's to the ini file."""
        given = self._config.getoption(f"--meshchaos-{name}")
        if given:
            return Path(self._config.invocation_params.dir, given)
        ini = self._config.getini(f"meshchaos_{name}")
        base = self._config.inipath.parent if self._config.inipath else self._config.rootpath
        return base / ini if ini else None


@dataclass(frozen=True, slots=True)
class Chaos:
    """What the fixture ``chaos`` gives. ``folder`` is the test file's."""

    session: ChaosSession
    folder: Path
    tests: pytest.Session

    def run(self, path: str | Path, name: str | None = None) -> Result | Sequence[Result]:
        """Runs the experiments of a file (relative to the test's folder): one result for one experiment, or for
        the one called ``name``; else all of them. Nothing of a fault outlives the call. Raises UserError.
        """
        file = self.folder / path
        if not file.is_file():
            raise UserError(f"{file}: no such file")
        experiments = [one for one in self.session.read(file) if name is None or one.name == name]
        if not experiments:
            raise UserError(f"{file}: there is no experiment {name!r}")
        results = [self.session.run(experiment, self.tests) for experiment in experiments]
        return results[0] if len(results) == 1 else results
