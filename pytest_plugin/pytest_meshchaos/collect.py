"""``*.chaos.yaml`` as pytest sees it: a file, and an item for each experiment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshchaos.checks import words
from meshchaos.checks.kind import Finding, Verdict
from meshchaos.errors import MeshchaosError, UserError
from meshchaos.experiment.model import Experiment
from meshchaos.run.result import Result
from pytest_meshchaos.session import session_of


class ChaosFailure(Exception):
    """An experiment that did not pass; told by ``report``, not by a traceback."""

    def __init__(self, report: str) -> None:
        self.report = report
        super().__init__(report)


class ChaosFile(pytest.File):
    """One file of experiments."""

    def collect(self) -> Iterator[ChaosItem]:
        try:
            experiments = session_of(self.config).read(self.path)
        except UserError as error:
            raise self.CollectError(str(error)) from error
        for experiment in experiments:
            yield ChaosItem.from_parent(self, name=experiment.name, experiment=experiment)


class ChaosItem(pytest.Item):
    """One experiment: passes with PASS, fails with anything else, and says what was expected and observed."""

    def __init__(self, *, experiment: Experiment, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.experiment = experiment
        self.add_marker(pytest.mark.chaos)

    def runtest(self) -> None:
        result = session_of(self.config).run(self.experiment)
        self.user_properties.append(("meshchaos.verdict", result.verdict.value))
        self.user_properties.append(("meshchaos.seed", result.seed))
        self.user_properties.append(("meshchaos.folder", str(result.folder)))
        if result.leftovers:
            raise pytest.exit.Exception(failure_text(self.experiment, result), returncode=1)
        if result.verdict is not Verdict.PASS:
            raise ChaosFailure(failure_text(self.experiment, result))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, ChaosFailure):
            return excinfo.value.report
        if isinstance(excinfo.value, MeshchaosError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, max(self.experiment.where.line - 1, 0), self.experiment.name


def failure_text(experiment: Experiment, result: Result) -> str:
    """The verdict, then each expectation that did not hold with its place, its source line, expected and observed."""
    lines = [f"{result.verdict.value}: {result.reason}"]
    source = _source(Path(experiment.where.file))
    for finding in (*result.findings, *result.proofs):
        if finding.verdict is not Verdict.PASS:
            lines += _finding(experiment, finding, source)
    lines += [f"left behind: {item}" for item in result.leftovers]
    lines.append(f"report: {result.folder / 'report.html'}")
    return "\n".join(lines)


def _finding(experiment: Experiment, finding: Finding, source: list[str]) -> Iterator[str]:
    place = f"{experiment.where.file}:{finding.line}" if finding.line else experiment.where.file
    yield f"{place}: {finding.verdict.value} {finding.name}: {finding.reason}"
    if 0 < finding.line <= len(source):
        yield f"    > {source[finding.line - 1].strip()}"
    if finding.threshold is not None:
        yield f"    expected: {_bound(finding)}"
        yield f"    observed: {_value(finding.estimate, finding)} of n = {words.count(finding.n)}"


def _bound(finding: Finding) -> str:
    most = "at most" if finding.unit == "s" else "at least"
    return f"{'about' if finding.kind == 'injected' else most} {_value(finding.threshold, finding)}"


def _value(number: float | None, finding: Finding) -> str:
    if number is None:
        return f"more than {words.seconds(finding.censored_at)}" if finding.censored_at is not None else "nothing"
    return words.seconds(number) if finding.unit == "s" else words.percent(number)


def _source(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except OSError:
        return []
