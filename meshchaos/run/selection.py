"""Which experiments of the files are run: paths, ``-l`` on labels, ``-k`` on names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from meshchaos.errors import UserError
from meshchaos.experiment.model import Experiment

SUFFIX: Final = ".chaos.yaml"

_TERM = re.compile(r"^(?P<key>[\w./-]+)\s*(?P<op>!=|==|=)\s*(?P<value>[\w.-]*)$|^(?P<not>!?)(?P<bare>[\w./-]+)$")
_WORD = re.compile(r"\s*([()]|[^\s()]+)")


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The experiment files: files as they are named, folders searched for ``*.chaos.yaml``, each once, in order.
    Raises UserError for a path that is not there or a folder without any.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.rglob(f"*{SUFFIX}") if not _hidden(one, path))
            if not inside:
                raise UserError(f"{path}: no *{SUFFIX} in this folder")
            found.update(dict.fromkeys(inside))
        elif path.is_file():
            found[path] = None
        else:
            raise UserError(f"{path}: no such file or folder")
    return list(found)


def select(experiments: Iterable[Experiment], labels: str | None, keyword: str | None) -> list[Experiment]:
    """Those that fit both selectors. Raises UserError for one that cannot be read."""
    by_label = label_selector(labels) if labels else lambda _: True
    by_name = keyword_selector(keyword) if keyword else lambda _: True
    return [
        experiment
        for experiment in experiments
        if by_label(experiment.labels) and by_name(f"{experiment.name} {Path(experiment.where.file).name}")
    ]


def label_selector(text: str) -> Callable[[Mapping[str, str]], bool]:
    """``tier=web,slow!=true,owner,!flaky``: all of them must fit, as in Kubernetes. Raises UserError."""
    tests: list[Callable[[Mapping[str, str]], bool]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _TERM.match(part)
        if match is None:
            raise UserError(f"-l {text}: {part!r} is not one of key=value, key!=value, key, !key")
        tests.append(_label_test(match))
    if not tests:
        raise UserError(f"-l {text!r}: no label is named")
    return lambda labels: all(test(labels) for test in tests)


def keyword_selector(text: str) -> Callable[[str], bool]:
    """As pytest's ``-k``: parts of names with ``and``, ``or``, ``not`` and parentheses; case does not matter.
    Raises UserError.
    """
    words = _WORD.findall(text)
    position = 0

    def mistake() -> UserError:
        return UserError(f"-k {text!r}: expected parts of names joined by and, or, not, and parentheses")

    def peek() -> str | None:
        return words[position] if position < len(words) else None

    def take() -> str:
        nonlocal position
        word = peek()
        if word is None:
            raise mistake()
        position += 1
        return word

    def one() -> Callable[[str], bool]:
        word = take()
        if word == "not":
            inner = one()
            return lambda name: not inner(name)
        if word == "(":
            inner = either()
            if take() != ")":
                raise mistake()
            return inner
        if word in (")", "and", "or"):
            raise mistake()
        part = word.lower()
        return lambda name: part in name.lower()

    def both() -> Callable[[str], bool]:
        parts = [one()]
        while peek() == "and":
            take()
            parts.append(one())
        return lambda name: all(part(name) for part in parts)

    def either() -> Callable[[str], bool]:
        parts = [both()]
        while peek() == "or":
            take()
            parts.append(both())
        return lambda name: any(part(name) for part in parts)

    selector = either()
    if peek() is not None:
        raise mistake()
    return selector


def _label_test(match: re.Match[str]) -> Callable[[Mapping[str, str]], bool]:
    if match["bare"] is not None:
        key, wanted = match["bare"], not match["not"]
        return lambda labels: (key in labels) is wanted
    key, value, equal = match["key"], match["value"], match["op"] != "!="
    return lambda labels: (labels.get(key) == value) is equal


def _hidden(path: Path, below: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(below).parts[:-1])
