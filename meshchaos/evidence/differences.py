"""What differs between two configurations of a proxy, a line each, short enough for a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_PROVENANCE = "metadata"
"""Which object of Istio's a thing was made of: told only where nothing else differs."""


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """``route.timeout: 1s -> 0.500s``, a line for each field that differs; elements of a list are paired by their names
    where they have some, those that came or went are told by them.
    """
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _fields(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _elements(before, after, path)
    else:
        yield f"{path}: {_short(before)} -> {_short(after)}"


def _fields(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[str]:
    differ = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    for key in [key for key in differ if key != _PROVENANCE] or differ:
        yield from differences(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))


def _elements(before: Sequence[Any], after: Sequence[Any], path: str) -> Iterator[str]:
    olds, news = _by_name(before), _by_name(after)
    if len(before) == len(after):
        names = list(news) if news and olds and list(news) == list(olds) else range(len(before))
        for name, one, other in zip(names, before, after, strict=True):
            yield from differences(one, other, f"{path}[{name}]")
        return
    if olds is None or news is None:
        yield f"{path}: {len(before)} elements -> {len(after)}"
        return
    for name in [*(name for name in olds if name not in news), *(name for name in news if name not in olds)]:
        yield f"{path}: {'-' if name in olds else '+'} {name}"
    for name in (name for name in olds if name in news):
        yield from differences(olds[name], news[name], f"{path}[{name}]")


def _by_name(elements: Sequence[Any]) -> dict[str, Any] | None:
    """None where they have no names, or not each its own."""
    named = {str(one["name"]): one for one in elements if isinstance(one, Mapping) and one.get("name")}
    return named if len(named) == len(elements) else None


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # a line of a report
