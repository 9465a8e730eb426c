"""Kubernetes YAML and JSON read as ``kubectl`` reads it, keeping the place of every field.

YAML 1.1 as in Kubernetes (``yes`` and ``on`` are true, ``0777`` is octal), with what only makes mischief refused: a key
given twice, a key that is no text. Dates stay texts, as JSON has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from meshchaos.errors import FileError
from meshchaos.mesh.local.objects.schema import Path

MOST_VALUES: Final = 1_000_000
"""In one document, aliases spelled out: more is a mistake, or meant to exhaust memory."""

_TRUE: Final = frozenset({"y", "yes", "on", "true"})
_NULL, _BOOL, _INT, _FLOAT, _STR = (f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str"))
_MERGE, _MAP, _SEQ = (f"tag:yaml.org,2002:{name}" for name in ("merge", "map", "seq"))

_IMPLICIT: Final = (
    (_BOOL, r"y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    (_INT, r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    (
        _FLOAT,
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    (_MERGE, r"<<", "<"),
    (_NULL, r"~|null|Null|NULL|", "~nN\0"),
)

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """PyYAML's loader, libyaml's where it is built in, with the scalars of this module."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own protocol)


for _tag, _pattern, _first in _IMPLICIT:
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), ["" if c == "\0" else c for c in _first])


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file: its JSON form, and where it and its fields are written."""

    value: Any
    file: str
    node: Any

    def place(self, path: Path = ()) -> tuple[int, int]:
        """Line and column, from 1, of a field; of what is around it where it is not written."""
        node, mark = self.node, self.node.start_mark
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            mark, node = found
        return mark.line + 1, mark.column + 1


def documents(text: str, file: str) -> Iterator[Document]:
    """The objects of a file in order: its documents, Lists taken apart, empty ones left out. Raises FileError."""
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            yield from _flat(Document(_Constructor(file).value(node), file, node))
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in str(error.problem):  # PyYAML since 6.0.4 counts, before Python's stack is full
            raise FileError("is nested too deeply", file=file) from error
        mark = error.problem_mark or error.context_mark
        line, col = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise FileError(f"not YAML: {error.problem or error.context}", file=file, line=line, col=col) from error
    except yaml.YAMLError as error:
        raise FileError(f"not YAML: {' '.join(str(error).split())}", file=file) from error
    except RecursionError as error:
        raise FileError("is nested too deeply", file=file) from error
    finally:
        loader.dispose()


def _flat(document: Document) -> Iterator[Document]:
    value = document.value
    if value is None:
        return
    if isinstance(value, dict) and str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        for position, item in enumerate(value["items"]):
            mark, node = _child(document.node, "items") or (None, document.node)
            mark, node = _child(node, position) or (mark, node)
            yield from _flat(Document(item, document.file, node))
    else:
        yield document


def _child(node: Any, step: str | int) -> tuple[Any, Any] | None:
    """Mark and node of a mapping's key or a list's element."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key.start_mark, value
        for key, value in node.value:
            if key.tag == _MERGE:
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if found := _child(merged, step):
                        return found
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark, node.value[step]
    return None


class _Constructor:
    """Nodes to plain values. A node named by several aliases becomes one shared value."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._done: dict[int, Any] = {}
        self._open: set[int] = set()
        self._sizes: dict[int, int] = {}

    def value(self, node: Any) -> Any:
        """Raises FileError."""
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._done:
            return self._done[id(node)]
        if id(node) in self._open:
            raise self._wrong(node, "an alias that contains itself")
        if node.tag not in {_MAP, _SEQ}:
            raise self._wrong(node, f"tag {node.tag} is not known")
        self._open.add(id(node))
        made: Any = self._mapping(node) if isinstance(node, yaml.MappingNode) else [self.value(n) for n in node.value]
        self._open.discard(id(node))
        self._done[id(node)] = made
        inside = made.values() if isinstance(made, dict) else made
        size = 1 + sum(self._sizes.get(id(item), 1) for item in inside)
        if size > MOST_VALUES:
            raise self._wrong(node, f"holds more than {MOST_VALUES} values")
        self._sizes[id(made)] = size
        return made

    def _mapping(self, node: Any) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for inner in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    found = self.value(inner)
                    if not isinstance(found, dict):
                        raise self._wrong(inner, "<< takes a mapping or a list of mappings")
                    merged = {**found, **merged}
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag != _STR:
                shown = key.value if isinstance(key, yaml.ScalarNode) else "this"
                raise self._wrong(key, f"the key {shown} is not a text; put it in quotes")
            if key.value in own:
                raise self._wrong(key, f"the key {key.value} is given twice")
            own[key.value] = self.value(value)
        return {**merged, **own}

    def _scalar(self, node: Any) -> Any:
        text = node.value
        match node.tag:
            case tag if tag == _STR:
                return text
            case tag if tag == _NULL:
                return None
            case tag if tag == _BOOL:
                return text.lower() in _TRUE
            case tag if tag == _INT:
                return _integer(text.replace("_", ""))
            case tag if tag == _FLOAT:
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        raise self._wrong(node, f"tag {node.tag} is not known")

    def _wrong(self, node: Any, message: str) -> FileError:
        mark = node.start_mark
        return FileError(message, file=self._file, line=mark.line + 1, col=mark.column + 1)


def _integer(text: str) -> int:
    body = text.lstrip("+-")
    octal = body[0] == "0" and body[1:].isdigit()
    return int(("-" if text[0] == "-" else "") + (f"0o{body[1:]}" if octal else body), 0)
