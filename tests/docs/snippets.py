"""What the docs show: every fenced block of README and of the pages, with what is said about it.

A comment right before a block is for the tests: ``<!-- snippet: mesh=grpc -->``. Its words:

- ``mesh=NAME``: of tests/docs/meshes, where the block's experiment is planned; else the repository's bookinfo
- ``for=REASON``: YAML that is not for meshchaos, or runs elsewhere; it is only read as YAML
- ``refused="WORDS"``: what is planned is a mistake, which is told with these words
- ``verdict=PASS``: what a run of the experiment says, when ``python -m tests.docs`` runs it
- ``run``, ``exit=N``: commands that are run for real, in the order of the page, and what the last of them ends with

A block's ``title="my/meshchaos.yaml"`` is a file that the reader makes, so the page's other blocks find it there.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
MESHES = ROOT / "tests" / "docs" / "meshes" / "meshchaos.yaml"
"""Meshes for pages that are about another than the examples'."""
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)(?P<rest>[^`\n]*)$")
_TITLE = re.compile(r'title="([^"]+)"')
_ABOUT = re.compile(r"^ *<!-- snippet: (.*?) -->$")


@dataclass(frozen=True)
class Snippet:
    page: Path
    line: int
    language: str
    text: str
    title: str | None = None
    about: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def documents(self) -> list[Any]:
        return [one for one in yaml.safe_load_all(self.text) if one is not None]

    @property
    def commands(self) -> list[list[str]]:
        """What stands behind ``$``, as words; a line may go on behind a backslash."""
        text = self.text.replace("\\\n", " ")
        return [shlex.split(line[2:], comments=True) for line in text.splitlines() if line.startswith("$ ")]


def snippets(page: Path) -> list[Snippet]:
    """The fenced blocks of a page, in order. Raises AssertionError for one that does not end."""
    return list(_snippets(page))


def every(language: str) -> list[Snippet]:
    return [one for page in PAGES for one in snippets(page) if one.language == language]


def _snippets(page: Path) -> Iterator[Snippet]:
    lines = page.read_text("utf-8").splitlines()
    at = 0
    about: Mapping[str, str] = {}
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            said = _ABOUT.match(lines[at])
            about = _words(said.group(1)) if said else about if not lines[at].strip() else {}
            at += 1
            continue
        end = _end(lines, at, fence.group("indent"), page)
        title = _TITLE.search(fence.group("rest"))
        text = textwrap.dedent("\n".join(lines[at + 1 : end])) + "\n"
        yield Snippet(page, at + 1, fence.group("language"), text, title.group(1) if title else None, about)
        at, about = end + 1, {}


def _end(lines: Sequence[str], start: int, indent: str, page: Path) -> int:
    end = next((at for at in range(start + 1, len(lines)) if lines[at].rstrip() == f"{indent}```"), None)
    assert end is not None, f"{page}:{start + 1}: this block does not end"
    return end


def _words(text: str) -> dict[str, str]:
    pairs = (word.partition("=") for word in shlex.split(text))
    return {key: value for key, _, value in pairs}
