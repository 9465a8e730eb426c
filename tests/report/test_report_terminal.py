"""What is seen while a run runs, on a narrow terminal too."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from meshchaos.report import lines
from meshchaos.report.terminal import LiveTerminal
from meshchaos.run import events

PROGRESS = events.Progress(
    at=1_700_000_000.0,
    phase="fault",
    elapsed=5.2,
    planned=8.0,
    rate=98.7,
    success=0.9987,
    p99=2.03,
    p99_limit=1.0,
    requests=512,
    failures=3,
    faults=("chaos-1-0",),
)


def test_the_line_says_what_matters_most_first() -> None:
    told = lines.progress_line(PROGRESS)
    assert told == "fault, 3 s left  1 fault live  99/s  p99 2.03 s (limit 1 s)  good 99.87 %  3 failed"
    assert lines.progress_line(replace(PROGRESS, loads=0, faults=())) == "fault, 3 s left  no load"
    early = replace(PROGRESS, success=None, p99=None, failures=0, faults=())
    assert lines.progress_line(early) == "fault, 3 s left  99/s  no answer yet"


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    moving = LiveTerminal(io.StringIO())._moving(PROGRESS)
    assert moving.cell_len < columns
    assert "1 fault live  99/s  p99 2.03 s (limit 1 s)" in moving.plain
