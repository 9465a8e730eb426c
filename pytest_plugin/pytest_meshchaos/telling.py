"""How an item that did not pass reads in pytest, and where it is said to be."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest


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


def skipped_at(item: pytest.Item, report: pytest.TestReport) -> None:
    """Puts the item's place in its file where pytest would show the line of ours that skipped it."""
    line = getattr(item, "chaos_line", None)
    if line is not None and report.skipped and isinstance(report.longrepr, tuple):
        report.longrepr = (str(item.path), line, report.longrepr[2])
