"""``*.chaos.yaml`` as pytest sees it: a file, and an item for each experiment.

pytest makes a node of every file in a folder that it looks into, also for those that were not asked for: ``meshchaos``
is imported where a file is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from meshchaos.checks.kind import Finding
    from meshchaos.experiment.model import Experiment
    from meshchaos.run.result import Result


class ChaosFailure(Exception):
    """An experiment that did not pass; told by its text, not by a traceback."""


class Crash(NamedTuple):
    """The place of a failure and its one line, as pytest's summary and JUnit want them; ``message`` is cut to it."""

    path: str
    lineno: int
    text: str

    @property
    def message(self) -> str:
        return self.text.partition("\n")[0]


class Told(NamedTuple):
    """How a failure reads, in the form that pytest asks of a ``longrepr``."""

    text: str
    reprcrash: Crash

    def toterminal(self, tw: Any) -> None:
        tw.line(self.text)

    def __str__(self) -> str:
        return self.text


class ChaosFile(pytest.File):
    """One file of experiments."""

    def collect(self) -> Iterator[ChaosItem]:
        from meshchaos.errors import UserError
        from pytest_meshchaos.session import session_of

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
        from meshchaos.checks.kind import Verdict
        from pytest_meshchaos.session import session_of

        result = session_of(self.config).run(self.experiment, self.session)
        self.user_properties.append(("meshchaos.verdict", result.verdict.value))
        self.user_properties.append(("meshchaos.seed", result.seed))
        self.user_properties.append(("meshchaos.folder", str(result.folder)))
        if result.verdict is not Verdict.PASS:
            raise ChaosFailure(failure_text(self.experiment, result))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from meshchaos.errors import MeshchaosError

        if isinstance(excinfo.value, (ChaosFailure, MeshchaosError)):
            return Told(str(excinfo.value), Crash(str(self.path), self.experiment.where.line, str(excinfo.value)))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, max(self.experiment.where.line - 1, 0), self.experiment.name


def failure_text(experiment: Experiment, result: Result) -> str:
    """The verdict, then each expectation that did not hold with its place, its source line, expected and observed."""
    from meshchaos.checks.kind import Verdict

    lines = [f"{result.verdict.value}: {result.reason}"]
    source = _source(Path(experiment.where.file))
    for finding in (*result.findings, *result.proofs):
        if finding.verdict is not Verdict.PASS:
            lines += _finding(experiment, finding, source)
    lines += [f"left behind: {item}" for item in result.leftovers]
    lines.append(f"report: {result.folder / 'report.html'}")
    return "\n".join(lines)


def _finding(experiment: Experiment, finding: Finding, source: list[str]) -> Iterator[str]:
    from meshchaos.checks import words

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
    from meshchaos.checks import words

    if number is None:
        return f"more than {words.seconds(finding.censored_at)}" if finding.censored_at is not None else "nothing"
    return words.seconds(number) if finding.unit == "s" else words.percent(number)


def _source(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except OSError:
        return []
