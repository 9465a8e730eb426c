"""YAML as a tree that knows where each key and value stands, and the way from it to plain data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Scalar = str | int | float | bool | None
Loc = tuple[str | int, ...]
"""A way into a document: keys and indices from its root."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where something stands: line and column from 1. ``origin``: empty for the file's own words, else
    ``overrides.staging`` or ``--set spec.load.rate=20`` (which has no line).
    """

    line: int = 0
    col: int = 0
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Leaf:
    value: Scalar
    mark: Mark
    size: int = 1
    height: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and where its key stands."""

    key: Mark
    node: Node


@dataclass(frozen=True, slots=True)
class Branch:
    """A mapping. ``size`` counts its nodes, aliases written out; ``height`` its levels."""

    entries: dict[str, Entry]
    mark: Mark
    size: int = 1
    height: int = 1


@dataclass(frozen=True, slots=True)
class Series:
    """A sequence."""

    items: tuple[Node, ...]
    mark: Mark
    size: int = 1
    height: int = 1


Node = Leaf | Branch | Series


def plain(node: Node) -> Any:
    """The tree as dicts, lists and scalars, new ones each time."""
    if isinstance(node, Branch):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, Series):
        return [plain(item) for item in node.items]
    return node.value


def planted(value: Any, mark: Mark) -> Node:
    """Plain data as a tree, all of it at one mark."""
    if isinstance(value, dict):
        return Branch({key: Entry(mark, planted(item, mark)) for key, item in value.items()}, mark)
    if isinstance(value, list):
        return Series(tuple(planted(item, mark) for item in value), mark)
    return Leaf(value, mark)


def step(node: Node, key: str | int) -> Entry | None:
    """One step down, None where there is nothing. A list's items stand at themselves."""
    if isinstance(node, Branch):
        return node.entries.get(str(key))
    if isinstance(node, Series) and isinstance(key, int) and 0 <= key < len(node.items):
        item = node.items[key]
        return Entry(item.mark, item)
    return None


def find(root: Node, loc: Loc) -> tuple[Loc, Entry]:
    """As far down ``loc`` as the tree goes: the way there, and what stands there.

    Index 0 of what is no list is the thing itself: a single value may stand for a list of one.
    """
    here, way = Entry(root.mark, root), []
    for key in loc:
        following = step(here.node, key)
        if following is None:
            if key == 0 and not isinstance(here.node, Series):
                continue
            break
        way.append(key)
        here = following
    return tuple(way), here


def leaves(node: Node, loc: Loc = ()) -> Iterator[tuple[Loc, Node]]:
    """What a merge patch sets: scalars and lists, with the way to each."""
    if isinstance(node, Branch) and node.entries:
        for key, entry in node.entries.items():
            yield from leaves(entry.node, (*loc, key))
    else:
        yield loc, node


def path_text(loc: Loc) -> str:
    """``spec.faults[0].delay``; keys with other characters in quotes: ``headers["x.y"]``."""
    text = ""
    for key in loc:
        if isinstance(key, int):
            text += f"[{key}]"
        elif re.fullmatch(r"[A-Za-z_][\w-]*", key):
            text += f".{key}" if text else key
        else:
            shown = key if len(key) <= 60 else key[:57] + "..."
            text += '["' + shown.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"]'
    return text
