"""A small table-driven checker for manifests: what a field may hold, with a path in every message.

A ``Check`` looks at one value and adds a ``Problem`` for each mistake; nothing is converted, since the store keeps
what the user wrote, as the real API does. Tables of checks live in ``kinds``; this module knows no kind.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where (``spec.http[0].timeout``), and what is wrong with a remedy where there is one."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{show(self.path)}: {self.message}" if self.path else self.message


Check = Callable[[Any, Path, list[Problem]], None]
Predicate = Callable[[Any], str | None]
"""Says what is wrong with a value, or None."""


def show(path: Path) -> str:
    """``("spec", "http", 0, "match")`` as ``spec.http[0].match``; keys that hold dots in brackets and quotes."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[\w-]+", step):
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text


def kind_of(value: Any) -> str:
    """The type of a YAML value in words a YAML author uses."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {value!r}"
    return "a list" if isinstance(value, list) else "a mapping" if isinstance(value, dict) else type(value).__name__


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`` did you mean X?`` or the empty text; case counts for nothing when looking."""
    by_fold = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return f"; did you mean {by_fold[near[0]]}?" if near else ""


def as_json(node: Any, *, nulls: bool = True) -> Any:
    """A copy as it comes back from an API server: 9080.0 is 9080, and empty fields are gone unless ``nulls``."""
    if isinstance(node, dict):
        return {key: as_json(value, nulls=nulls) for key, value in node.items() if nulls or value is not None}
    if isinstance(node, list):
        return [as_json(item, nulls=nulls) for item in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node


def anything(value: Any, path: Path, problems: list[Problem]) -> None:
    """Accepts everything: for fields that do nothing in a mesh without containers."""


def unsupported(reason: str = "not supported by the local mesh") -> Check:
    """A field that exists and is refused."""

    def check(value: Any, path: Path, problems: list[Problem]) -> None:
        problems.append(Problem(path, reason))

    return check


def only(accepted: Any, reason: str = "not supported by the local mesh") -> Check:
    """A field whose one harmless value is accepted, every other refused."""

    def check(value: Any, path: Path, problems: list[Problem]) -> None:
        if value != accepted or type(value) is not type(accepted):
            problems.append(Problem(path, reason))

    return check


def record(fields: Mapping[str, Check], *, required: Collection[str] = (), rules: Collection[Predicate] = ()) -> Check:
    """A mapping with exactly these fields. ``rules`` see the whole mapping, when its fields are right."""

    def check(value: Any, path: Path, problems: list[Problem]) -> None:
        if not isinstance(value, dict):
            problems.append(Problem(path, f"must be a mapping, is {kind_of(value)}"))
            return
        before = len(problems)
        for key, inner in value.items():
            known = fields.get(key)
            if known is None:
                hint = did_you_mean(str(key), fields)
                problems.append(Problem((*path, str(key)), f"unknown field{hint}"))
            else:
                known(inner, (*path, key), problems)
        problems.extend(Problem((*path, key), "is required") for key in required if key not in value)
        if len(problems) == before:
            _apply(rules, value, path, problems)

    return check


def listing(item: Check, *, nonempty: bool = False, rules: Collection[Predicate] = ()) -> Check:
    """A list whose elements all pass ``item``. ``rules`` see the whole list, when its elements are right."""

    def check(value: Any, path: Path, problems: list[Problem]) -> None:
        if not isinstance(value, list):
            problems.append(Problem(path, f"must be a list, is {kind_of(value)}"))
            return
        before = len(problems)
        if nonempty and not value:
            problems.append(Problem(path, "must not be empty"))
        for position, inner in enumerate(value):
            item(inner, (*path, position), problems)
        if len(problems) == before:
            _apply(rules, value, path, problems)

    return check


def mapping(item: Check, *, key: Predicate | None = None, nonempty: bool = False) -> Check:
    """A mapping from names of the user's to values that pass ``item``."""

    def check(value: Any, path: Path, problems: list[Problem]) -> None:
        if not isinstance(value, dict):
            problems.append(Problem(path, f"must be a mapping, is {kind_of(value)}"))
            return
        if nonempty and not value:
            problems.append(Problem(path, "must not be empty"))
        for name, inner in value.items():
            wrong = key(name) if key is not None else None
            if wrong:
                problems.append(Problem((*path, name), wrong))
            item(inner, (*path, name), problems)

    return check


def text(*rules: Predicate, empty: bool = False) -> Check:
    """A string; not the empty one unless ``empty``."""

    def check(value: Any, path: Path, problems: list[Problem]) -> None:
        if not isinstance(value, str):
            hint = "" if isinstance(value, dict | list) or value is None else "; put it in quotes"
            problems.append(Problem(path, f"must be a text, is {kind_of(value)}{hint}"))
        elif not value and not empty:
            problems.append(Problem(path, "must not be empty"))
        else:
            _apply(rules, value, path, problems)

    return check


def word(*accepted: str) -> Check:
    """One of a few words, exactly as written."""

    def check(value: Any, path: Path, problems: list[Problem]) -> None:
        if value not in accepted or not isinstance(value, str):
            hint = did_you_mean(value, accepted) if isinstance(value, str) else ""
            problems.append(Problem(path, f"must be one of {', '.join(accepted)}, is {kind_of(value)}{hint}"))

    return check


def integer(low: int, high: int = 2**32 - 1) -> Check:
    """A whole number in low..high. ``9080.0`` is one (JSON knows no difference), ``"9080"`` is not."""

    def check(value: Any, path: Path, problems: list[Problem]) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or value % 1:
            hint = "; leave the quotes out" if isinstance(value, str) and value.strip("-").isdigit() else ""
            problems.append(Problem(path, f"must be a whole number, is {kind_of(value)}{hint}"))
        elif not low <= value <= high:
            problems.append(Problem(path, f"must be from {low} to {high}, is {value}"))

    return check


def number(*rules: Predicate) -> Check:
    """A number, not a text that looks like one."""

    def check(value: Any, path: Path, problems: list[Problem]) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            hint = "; write a plain number without quotes or %" if isinstance(value, str) else ""
            problems.append(Problem(path, f"must be a number, is {kind_of(value)}{hint}"))
        else:
            _apply(rules, value, path, problems)

    return check


def boolean(value: Any, path: Path, problems: list[Problem]) -> None:
    """``true`` or ``false``."""
    if not isinstance(value, bool):
        problems.append(Problem(path, f"must be true or false, is {kind_of(value)}"))


def at_most_one(*names: str) -> Predicate:
    """A rule of ``record``: of these fields at most one."""

    def rule(value: Any) -> str | None:
        there = [name for name in names if name in value]
        return f"only one of {' and '.join(there)} may be given" if len(there) > 1 else None

    return rule


def at_least_one(*names: str) -> Predicate:
    """A rule of ``record``: of these fields at least one."""

    def rule(value: Any) -> str | None:
        return None if any(name in value for name in names) else f"needs {_either(names)}"

    return rule


def exactly_one(*names: str) -> Predicate:
    """A rule of ``record``: of these fields exactly one."""
    least, most = at_least_one(*names), at_most_one(*names)
    return lambda value: least(value) or most(value)


def distinct(name: str) -> Predicate:
    """A rule of ``listing``: no two elements with the same value of a field."""

    def rule(value: Any) -> str | None:
        seen = [item[name] for item in value if name in item]
        twice = sorted({repr(one) for one in seen if seen.count(one) > 1})
        return f"two elements have the {name} {', '.join(twice)}" if twice else None

    return rule


def _either(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _apply(rules: Collection[Predicate], value: Any, path: Path, problems: list[Problem]) -> None:
    for rule in rules:
        wrong = rule(value)
        if wrong:
            problems.append(Problem(path, wrong))
