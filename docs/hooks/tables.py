"""JSON Schema, as a table for people: a row a field, the fields of a field below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]
_PARSED = {"250ms": "a duration", "99.5%": "a share", "95%": "a share", "5xx": "a status"}
"""What a text is, by the first of its examples."""
_PLAIN = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "object": "a mapping",
    "array": "a list",
    "null": "",
}
_SHORT = {
    frozenset({"env", "file"}): "`{env: NAME}` or `{file: PATH}`",
    frozenset({"exact", "prefix", "regex"}): "one of `{exact: TEXT}`, `{prefix: TEXT}`, `{regex: RE2}`",
    frozenset({"value"}): "Istio's `{value: 10}`",
}
"""Small mappings that are told in place."""
_MOST = 8
"""Names of an enumeration that are told."""


def table(schema: Schema, *, without: Sequence[str] = (), depth: int = 2) -> str:
    """The fields of a schema of an object; what is in ``without`` is told elsewhere."""
    rows = [row for row in _rows(schema, "", depth) if row[0].split(".")[0].strip("[]") not in without]
    if not rows:
        return "No fields of its own.\n"
    lines = [f"| `{name}`{' (needed)' if needed else ''} | {takes} | {words} |" for name, takes, words, needed in rows]
    return "\n".join(["| field | takes | |", "|---|---|---|", *lines]) + "\n"


def mapping_of(schema: Schema) -> Schema:
    """Of a value that may be short for a mapping, the mapping."""
    choices = [schema, *schema.get("anyOf", ())] if not isinstance(schema, bool) else []
    return next(
        (one for one in choices if one.get("properties") or one.get("patternProperties")),
        schema if isinstance(schema, Mapping) else {},
    )


def _rows(schema: Schema, prefix: str, depth: int) -> Iterator[tuple[str, str, str, bool]]:
    needed = schema.get("required") or ()
    named = dict(schema.get("properties") or {})
    for pattern, value in (schema.get("patternProperties") or {}).items():
        quantile = {"description": "the time within which this share has a good response", **value}
        named.update({"p50, p99, p99.9": quantile} if "p(" in pattern or "(p" in pattern else {"NAME": value})
    for name, value in named.items():
        yield f"{prefix}{name}", takes(value), _escaped(told(value)), name in needed
        inner, more = _inner(value)
        if inner is not None and depth and frozenset(inner.get("properties") or ()) not in _SHORT:
            yield from _rows(inner, f"{prefix}{name}{more}.", depth - 1)


def told(schema: Schema | bool) -> str:
    """Its description, else that of one of its choices."""
    if isinstance(schema, bool):
        return ""
    if schema.get("description"):
        return str(schema["description"])
    inner = [told(one) for one in schema.get("anyOf", ()) if isinstance(one, Mapping)]
    return next((one for one in inner if one), "")


def takes(schema: Schema | bool) -> str:
    """``a duration``, ``text, or a list``, `` `refuse` or `blackhole` ``."""
    said = list(dict.fromkeys(one for one in _takes(schema) if one))
    lists = [one for one in said if one.startswith("a list")]
    plain = [one for one in said if one not in lists]
    words = " or ".join(plain) or "anything"
    if lists and plain:
        return f"{words}, or a list" + (" of those" if lists == [f"a list of {words}"] else "")
    return lists[0] if lists else words


def _takes(schema: Schema | bool) -> Iterator[str]:
    if isinstance(schema, bool):
        return
    if "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from _takes(one)
    elif "const" in schema:
        yield f"`{_word(schema['const'])}`"
    elif "enum" in schema:
        names = [f"`{_word(one)}`" for one in schema["enum"] if one is not None]
        yield from names if len(names) <= _MOST else ["a gRPC status" if "`NOT_FOUND`" in names else "a name"]
    elif schema.get("examples") and str(schema["examples"][0]) in _PARSED:
        yield _PARSED[str(schema["examples"][0])]
    elif frozenset(schema.get("properties") or ()) in _SHORT:
        yield _SHORT[frozenset(schema["properties"])]
    elif schema.get("type") == "array" and "items" in schema:
        yield f"a list of {takes(schema['items'])}" if "anyOf" not in schema["items"] else "a list"
    elif isinstance(schema.get("type"), list):
        yield from (_PLAIN[one] for one in schema["type"])
    elif "type" in schema:
        yield _PLAIN[schema["type"]]


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _inner(schema: Schema | bool) -> tuple[Schema | None, str]:
    """The fields below a field, and how a path goes on to them: a list has ``[]``, any name has ``.NAME``."""
    if isinstance(schema, bool):
        return None, ""
    for one in [schema, *schema.get("anyOf", ())]:
        if one.get("properties") or one.get("patternProperties"):
            return one, ""
        more = one.get("additionalProperties")
        if isinstance(more, Mapping) and mapping_of(more).get("properties"):
            return mapping_of(more), ".NAME"
        if isinstance(one.get("items"), Mapping) and mapping_of(one["items"]).get("properties"):
            return mapping_of(one["items"]), "[]"
    return None, ""


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|").replace("<", "&lt;").replace("{", "&#123;")
