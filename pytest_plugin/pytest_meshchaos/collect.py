"""``*.chaos.yaml`` as pytest sees it: a file, its experiments, and an item for each expectation, ``run`` and ``heal``.

pytest makes a node of every file in a folder that it looks into, also for those that were not asked for: ``meshchaos``
is imported where a file is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_meshchaos.telling import Crash, Told

if TYPE_CHECKING:
    from meshchaos.experiment.model import Experiment


class ChaosFailure(Exception):
    """An item that did not pass; told by its text, not by a traceback."""


class ChaosFile(pytest.File):
    """One file of experiments."""

    def collect(self) -> Iterator[ChaosExperiment]:
        from meshchaos.errors import UserError
        from pytest_meshchaos.session import session_of

        try:
            session = session_of(self.config)
            found = [(experiment, session.expectations(experiment)) for experiment in session.read(self.path)]
        except UserError as error:
            raise self.CollectError(str(error)) from error
        for experiment, expectations in found:
            yield ChaosExperiment.from_parent(
                self, name=experiment.name, experiment=experiment, expectations=expectations
            )


class ChaosExperiment(pytest.Collector):
    """One experiment; run when the first of its items is. ``expectations``: name and line of each."""

    def __init__(self, *, experiment: Experiment, expectations: list[tuple[str, int]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.experiment = experiment
        self.expectations = expectations
        self.add_marker(pytest.mark.chaos(**experiment.labels))

    def collect(self) -> Iterator[ChaosItem]:
        from meshchaos.report.items import HEAL, RUN

        line = self.experiment.where.line
        yield ChaosItem.from_parent(self, name=RUN, line=line, expectation=False)
        for name, at in self.expectations:
            yield ChaosItem.from_parent(self, name=name, line=at, expectation=True)
        yield ChaosItem.from_parent(self, name=HEAL, line=line, expectation=False)


class ChaosItem(pytest.Item):
    """``run`` passes where the run tested what it claims to, ``heal`` where everything was put back, an expectation
    where it holds; each says what was expected and observed.
    """

    def __init__(self, *, line: int, expectation: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.chaos_line = line
        self.expectation = expectation
        assert isinstance(self.parent, ChaosExperiment)
        self.experiment = self.parent.experiment

    def runtest(self) -> None:
        from meshchaos.report.items import failure_text, outcome
        from pytest_meshchaos.session import session_of

        session = session_of(self.config)
        result = session.result(self.experiment)
        told = outcome(self.name, self.expectation, result)
        self.user_properties += [
            ("meshchaos.verdict", told.verdict),
            ("meshchaos.reason", told.reason),
            ("meshchaos.experiment", self.experiment.name),
            ("meshchaos.run", result["runId"]),
            ("meshchaos.mesh", result["mesh"]),
            ("meshchaos.seed", result["seed"]),
            ("meshchaos.folder", result["folder"]),
        ]
        if told.verdict == "INCONCLUSIVE" and session.skips_inconclusive:
            pytest.skip(f"INCONCLUSIVE: {told.reason}")
        if told.verdict != "PASS":
            raise ChaosFailure(failure_text(self.experiment.where.file, told, result))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from meshchaos.errors import MeshchaosError

        if isinstance(excinfo.value, (ChaosFailure, MeshchaosError)):
            return Told(str(excinfo.value), Crash(str(self.path), self.chaos_line, str(excinfo.value)))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, max(self.chaos_line - 1, 0), f"{self.experiment.name}::{self.name}"
