"""Values that look like secrets though they were written into the file as they are: kept out of what a run leaves.

What ought to be written as ``{env: NAME}`` or ``{file: PATH}`` never gets that far. This is for the rest: a header
called ``authorization`` or ``x-api-key``, a parameter ``?token=`` of a URL, the same in a fault's ``match``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")

HIDDEN: Final = "(hidden)"
_NAME = re.compile(
    r"^(proxy-)?authorization$|cookie|token|secret|passw(or)?d|api[-_]?key|access[-_]?key|credential|signature", re.I
)
_PARAMETER = re.compile(r"[?&]([^=&#\s]+)=([^&#\s]+)")
_SHORTEST = 6
"""Characters. What is shorter is hidden in its place alone: elsewhere it would be found in words that are no secret."""


def looks_secret(name: str) -> bool:
    """Whether a header or parameter of that name tends to carry a secret."""
    return _NAME.search(name) is not None


def secrets_in(document: Any) -> frozenset[str]:
    """The texts of an experiment (plain data) that are to be hidden wherever they turn up."""
    found = set()
    for value in _values(document):
        scheme, _, rest = value.partition(" ")
        found |= {value, rest if scheme.lower() in {"bearer", "basic"} else value}
    return frozenset(text for text in found if len(text) >= _SHORTEST)


def without_secrets(document: Any) -> Any:
    """The same experiment with each of them hidden, short ones in their places."""
    return hide(_masked(document), secrets_in(document))


def hide(value: T, secrets: frozenset[str]) -> T:
    """The same plain data, tuples or dataclasses, each of ``secrets`` replaced in every text (the longest first)."""
    return cast("T", _hide(value, secrets)) if secrets else value


def _hide(value: Any, secrets: frozenset[str]) -> Any:
    if type(value) is str:  # no enumeration's
        for secret in sorted(secrets, key=len, reverse=True):
            value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, Mapping):
        return {key: _hide(item, secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_hide(item, secrets) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: _hide(getattr(value, one.name), secrets) for one in fields(value)})
    return value


def _values(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield from (value for name, value in _PARAMETER.findall(node) if looks_secret(name))
    elif isinstance(node, Mapping):
        for key, item in node.items():
            if key == "headers" and isinstance(item, Mapping):
                for name, value in item.items():
                    yield from _leaves(value) if looks_secret(str(name)) else _values(value)
            else:
                yield from _values(item)
    elif isinstance(node, (list, tuple)):
        for item in node:
            yield from _values(item)


def _leaves(node: Any) -> Iterator[str]:
    """Every text and number below; what names a secret's source is none itself."""
    if isinstance(node, Mapping):
        if not {"env", "file"} & set(node):
            for item in node.values():
                yield from _leaves(item)
    elif isinstance(node, (list, tuple)):
        for item in node:
            yield from _leaves(item)
    elif node is not None and not isinstance(node, bool):
        yield str(node)


def _masked(node: Any) -> Any:
    if isinstance(node, Mapping):
        masked = {}
        for key, item in node.items():
            if key == "headers" and isinstance(item, Mapping):
                masked[key] = {
                    name: _mask(value) if looks_secret(str(name)) else _masked(value) for name, value in item.items()
                }
            else:
                masked[key] = _masked(item)
        return masked
    if isinstance(node, (list, tuple)):
        return [_masked(item) for item in node]
    return node


def _mask(node: Any) -> Any:
    if isinstance(node, Mapping):
        return node if {"env", "file"} & set(node) else {key: _mask(item) for key, item in node.items()}
    if isinstance(node, (list, tuple)):
        return [_mask(item) for item in node]
    return node if node is None or isinstance(node, bool) else HIDDEN
