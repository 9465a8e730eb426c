"""For GitHub Actions: an annotation at the line of each expectation that failed, and a table in the step's summary.

``::error file=F,line=N,title=T::MESSAGE`` is a workflow command; in properties ``%``, CR, LF, ``:`` and ``,`` are
percent-encoded, in the message the first three. A step shows ten annotations, so no more are written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

_MOST = 10


def tell_github(reporter: pytest.TerminalReporter) -> None:
    """Does nothing elsewhere, and where no experiment was run."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    reports = [one for kind in ("failed", "passed", "skipped") for one in reporter.stats.get(kind, [])]
    told = [one for one in reports if isinstance(one, pytest.TestReport) and one.when == "call" and _properties(one)]
    for report in [one for one in told if one.failed][:_MOST]:
        reporter.ensure_newline()
        reporter.write_line(_annotation(report))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary and told:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write("\n".join(_table(told)) + "\n")


def _annotation(report: pytest.TestReport) -> str:
    path, line, title = report.location
    found = _properties(report)
    message = f"{found['meshchaos.verdict']}: {found['meshchaos.reason']}"
    where = f"file={_escaped(path, ':,')},line={(line or 0) + 1},title={_escaped(title, ':,')}"
    return f"::error {where}::{_escaped(message)}"


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


def _escaped(text: str, also: str = "") -> str:
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
