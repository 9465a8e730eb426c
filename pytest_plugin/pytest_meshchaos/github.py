"""For GitHub Actions: annotations at the lines of expectations that failed, and a table in the step's summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from meshchaos.report.github import Note


def tell_github(reporter: pytest.TerminalReporter) -> None:
    """Does nothing elsewhere, and where no experiment was run."""
    reports = [one for kind in ("failed", "passed", "skipped") for one in reporter.stats.get(kind, [])]
    told = [one for one in reports if isinstance(one, pytest.TestReport) and one.when == "call" and _properties(one)]
    if not told:
        return
    from meshchaos.report import github

    if not github.in_actions():
        return
    for line in github.commands([_note(report) for report in told if report.failed]):
        reporter.ensure_newline()
        reporter.write_line(line)
    github.summarize("\n".join(_table(told)) + "\n")


def _note(report: pytest.TestReport) -> Note:
    from meshchaos.report.github import Note

    path, line, title = report.location
    found = _properties(report)
    return Note(found["meshchaos.verdict"], path, (line or 0) + 1, title, found["meshchaos.reason"])


def _table(reports: Sequence[pytest.TestReport]) -> Iterator[str]:
    yield "### meshchaos\n"
    yield "| experiment | expectation | verdict | why |"
    yield "|---|---|---|---|"
    for report in reports:
        found = _properties(report)
        item = report.location[2].removeprefix(f"{found['meshchaos.experiment']}::")
        cells = (found["meshchaos.experiment"], item, found["meshchaos.verdict"], found["meshchaos.reason"])
        yield f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in cells)} |"


def _properties(report: pytest.TestReport) -> Mapping[str, str]:
    return {str(name): str(value) for name, value in report.user_properties if str(name).startswith("meshchaos.")}
