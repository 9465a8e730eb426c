"""For GitHub Actions: an annotation at the line of what did not pass, and a text in the step's summary.

``::error file=F,line=N,title=T::MESSAGE`` is a workflow command; in properties ``%``, CR, LF, ``:`` and ``,`` are
percent-encoded, in the message the first three. A step shows ten annotations of a kind, so the worst ten are written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from meshchaos.report.items import items_of, outcome
from meshchaos.report.summary import WORST
from meshchaos.run.result import Result

MOST = 10


class Note(NamedTuple):
    """What did not pass, at a line of a file (1 is the first)."""

    verdict: str
    file: str
    line: int
    title: str
    reason: str


def commands(notes: Sequence[Note]) -> Iterator[str]:
    """Workflow commands, the worst first."""
    for note in sorted(notes, key=lambda note: WORST.index(note.verdict))[:MOST]:
        where = f"file={_escaped(note.file, ':,')},line={note.line},title={_escaped(note.title, ':,')}"
        yield f"::error {where}::{_escaped(f'{note.verdict}: {note.reason}')}"


def notes_of(results: Sequence[Result]) -> list[Note]:
    """Of every item that did not pass."""
    notes = []
    for result in results:
        data = {**result.to_json(), "folder": str(result.folder)}
        for name, expectation in items_of(data):
            told = outcome(name, expectation, data)
            if told.verdict != "PASS":
                line = told.findings[0]["line"] if expectation and told.findings else 0
                title = f"{result.experiment}::{name}"
                notes.append(Note(told.verdict, _in_workspace(result.source), line or 1, title, told.reason))
    return notes


def _in_workspace(file: str, environment: Mapping[str, str] = os.environ) -> str:
    """As GitHub knows it: relative to the checkout, wherever the step works."""
    path, root = Path(file).absolute(), environment.get("GITHUB_WORKSPACE", "")
    return path.relative_to(root).as_posix() if root and path.is_relative_to(root) else file


def in_actions(environment: Mapping[str, str] = os.environ) -> bool:
    return environment.get("GITHUB_ACTIONS") == "true"


def summarize(text: str, environment: Mapping[str, str] = os.environ) -> None:
    """Adds Markdown to the step's summary, where there is one. Raises OSError."""
    path = environment.get("GITHUB_STEP_SUMMARY")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


def _escaped(text: str, also: str = "") -> str:
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
