"""Mistakes in a file, collected so that all are told at once, each in its place and with what would help."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from meshchaos.errors import FileError, FileErrors
from meshchaos.experiment.fields import key_of, rest_of
from meshchaos.experiment.model import Where
from meshchaos.experiment.tree import Entry, Loc, Node, find, path_text
from meshchaos.units import shown


@dataclass
class Problems:
    """The mistakes of one document. ``root`` is what the locations lead into."""

    file: str
    root: Node
    errors: list[FileError] = field(default_factory=list)

    def add(self, message: str, loc: Loc = (), *, at_key: bool = False) -> None:
        """At the value of ``loc`` (``at_key``: at its key), or as far that way as the document goes."""
        way, entry = find(self.root, loc)
        self.errors.append(self._error(message, entry, way, at_key=at_key))

    def alone(self, message: str, loc: Loc = ()) -> FileError:
        """The error of one mistake beside which nothing else is worth telling."""
        way, entry = find(self.root, loc)
        return self._error(message, entry, way, at_key=False)

    def where(self, loc: Loc) -> Where:
        way, entry = find(self.root, loc)
        mark = entry.key
        return Where(mark.origin if mark.origin.startswith("--") else self.file, mark.line, mark.col, path_text(way))

    def _error(self, message: str, entry: Entry, way: Loc, *, at_key: bool) -> FileError:
        mark = entry.key if at_key else entry.node.mark
        path = path_text(way)
        if mark.origin.startswith("--"):
            return FileError(message, file=mark.origin, path=path)
        if mark.origin:
            message = f"{message} (from {mark.origin})"
        return FileError(message, file=self.file, line=mark.line, col=mark.col, path=path)

    def error(self) -> FileError | FileErrors:
        """What to raise, once there is something."""
        return together(self.errors)


def together(errors: Sequence[FileError]) -> FileError | FileErrors:
    """The one error, or all of them, each once and in the order of the file."""
    once = {str(error): error for error in sorted(errors, key=lambda error: (error.line, error.col))}
    return FileErrors(once.values()) if len(once) > 1 else next(iter(once.values()))


def unknown(what: str, key: str, known: Iterable[str]) -> str:
    """``no such key 'fixedDealy', did you mean 'fixedDelay'? (known: ...)``."""
    names = list(known)
    near = nearest(key, names)
    hint = f", did you mean {near!r}?" if near else ""
    return f"{what} {shown(key)}{hint} (known: {', '.join(names) or 'none'})"


def nearest(key: str, known: Sequence[str]) -> str | None:
    """The known key that was probably meant: the same but for case and separators, or one spelt nearly so."""
    same = {_letters(name): name for name in reversed(known)}.get(_letters(key))
    return same or next(iter(difflib.get_close_matches(key, known, n=1)), None)


def _letters(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")


def add_invalid(problems: Problems, error: Any, model: Any, loc: Loc, also: Sequence[str] = ()) -> None:
    """Puts pydantic's ``ValidationError`` of ``model``, found at ``loc``, into our words."""
    errors = error.errors(include_url=False)
    for one in errors:
        kind, steps = str(one["type"]), tuple(one["loc"])
        if kind == "missing" and _is_misspelt(errors, model, steps):
            continue
        if kind == "unexpected_keyword_argument":
            keys, rest = known_keys(type_at(model, steps[:-1]))
            message = unknown("unknown key", str(steps[-1]), [*keys, *rest, *(also if len(steps) == 1 else ())])
            problems.add(message, loc + in_file(model, steps), at_key=True)
        elif kind == "missing":
            place, key = in_file(model, steps[:-1]), str(steps[-1])
            rest_mark = rest_of(type_at(model, steps[:-1])) if is_model(type_at(model, steps[:-1])) else None
            wanted = f"one of {rest_mark[1].hint}" if rest_mark and rest_mark[0] == key else f"`{key}`"
            problems.add(f"{wanted} is missing", loc + place, at_key=True)
        elif steps and steps[-1] == "[key]":
            problems.add(_words(kind, one), loc + in_file(model, steps[:-1]), at_key=True)
        else:
            whole = kind == "value_error" and isinstance(one["input"], Mapping) and is_model(type_at(model, steps))
            problems.add(_words(kind, one), loc + in_file(model, steps), at_key=whole)


def _is_misspelt(errors: Sequence[Mapping[str, Any]], model: Any, missing: Loc) -> bool:
    """Whether an unknown key beside it was meant to be the missing one: then telling that is enough."""
    beside = [
        str(one["loc"][-1])
        for one in errors
        if one["type"] == "unexpected_keyword_argument" and tuple(one["loc"])[:-1] == missing[:-1]
    ]
    key, parent = str(missing[-1]), type_at(model, missing[:-1])
    rest = rest_of(parent) if is_model(parent) else None
    if rest is not None and rest[0] == key:
        return bool(beside)
    keys = known_keys(parent)[0]
    return any(nearest(one, keys) == key for one in beside)


def _words(kind: str, one: Mapping[str, Any]) -> str:
    value, context = one["input"], one.get("ctx", {})
    got = shown(value)
    if kind == "value_error":
        return str(context["error"])
    if value is None:
        return "is empty: write a value, or leave the key out"
    if kind == "string_type":
        return f"must be text, not {got}" + (
            f" (in quotes it is: '{got}')" if isinstance(value, int | float | bool) else ""
        )
    if kind == "bool_type":
        spoken = isinstance(value, str) and value.lower() in ("yes", "no", "on", "off", "y", "n")
        return f"must be true or false, not {got}" + (" (which is text)" if spoken else "")
    expected = {
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "dict_type": "a mapping",
        "mapping_type": "a mapping",
        "dataclass_type": "a mapping",
        "tuple_type": "a list",
        "list_type": "a list",
        "finite_number": "a finite number",
    }.get(kind)
    if expected:
        return f"must be {expected}, not {got}"
    if kind in ("literal_error", "enum"):
        choices = str(context["expected"])
        listed = [choice.strip("' ") for choice in choices.replace(" or ", ",").split(",")]
        near = nearest(str(value), listed) if len(listed) > 1 else None
        return f"must be {choices}, not {got}" + (f"; did you mean {near!r}?" if near else "")
    text = str(one["msg"])
    return f"{text[:1].lower()}{text[1:]}, not {got}"


def is_model(kind: Any) -> bool:
    return isinstance(kind, type) and hasattr(kind, "__dataclass_fields__")


def known_keys(kind: Any) -> tuple[list[str], list[str]]:
    """The keys of a spec, and the hint to those of its open field."""
    if not is_model(kind):
        return [], []
    rest = rest_of(kind)
    keys = [key_of(name) for name in kind.__dataclass_fields__]
    return [key for key in keys if rest is None or key != rest[0]], [rest[1].hint] if rest else []


def type_at(model: Any, loc: Loc) -> Any:
    """The type that a location of pydantic's leads to; None where it is not known."""
    here = _bare(model)
    for key in loc:
        here = _bare(_down(here, key))
    return here


def in_file(model: Any, loc: Loc) -> Loc:
    """The same location without steps that are no keys of the file: the name of an open field."""
    here, way = _bare(model), []
    for key in loc:
        rest = rest_of(here) if is_model(here) else None
        if rest is None or key != rest[0]:
            way.append(key)
        here = _bare(_down(here, key))
    return tuple(way)


def _down(kind: Any, key: str | int) -> Any:
    if is_model(kind):
        for name, hint in get_type_hints(kind, include_extras=True).items():
            if key_of(name) == key:
                return hint
        return None
    inner = get_args(kind)
    if get_origin(kind) is tuple or isinstance(key, int):
        return inner[0] if inner else None
    return inner[1] if len(inner) > 1 else None


def _bare(kind: Any) -> Any:
    """Without ``Annotated`` and ``| None``."""
    while True:
        origin = get_origin(kind)
        if origin is Annotated:
            kind = get_args(kind)[0]
        elif origin is Union or (origin is not None and origin.__name__ == "UnionType"):
            kept = [arg for arg in get_args(kind) if arg is not type(None)]
            if len(kept) != 1:
                return None
            kind = kept[0]
        else:
            return kind
