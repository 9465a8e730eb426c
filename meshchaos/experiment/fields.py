r"""The types that the spec of a kind of fault or expectation is written with.

A spec is a class with annotations, made by :func:`spec`::

    @spec
    class DelaySpec:
        to: str
        fixed_delay: PositiveDuration              # fixedDelay: 2s         -> 2.0
        from_: OneOrMany[str] = ()                 # from: reviews-v3       -> ("reviews-v3",)
        percentage: Percentage = 100.0             # 10, 10%, {value: 10}   -> 10.0
        match: HttpMatch | None = None             # {headers: {end-user: {exact: tester}}}
        at: Literal["server", "client"] | None = None

    @spec
    class LatencySpec:                             # {p99: 800ms, p50: 20ms}
        quantiles: Annotated[Mapping[str, PositiveDuration], Rest(r"p\d{1,2}(\.\d+)?", "p50, p99, p99.9")]

It is a frozen dataclass with slots, at the top of its module, and pydantic validates it (``experiment.specs``): keys
are the camelCase of the fields (``from_`` is ``from``), unknown keys are refused, scalars are strict (``"5"`` is no
number, ``yes`` no bool).
``str``, ``int``, ``float``, ``bool``, ``Literal``, ``X | None``, ``tuple[X, ...]``, ``Mapping[str, X]`` and other
specs may be used beside the types of this module. A spec says what no type can in a method ``check(self) -> None``
that raises ValueError with a message for the user. This module does not import pydantic.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, cast, dataclass_transform, get_type_hints

from meshchaos import units
from meshchaos.experiment.model import TextOrSecret, Token
from meshchaos.experiment.scalars import (
    GRPC_STATUSES,
    as_grpc_status,
    as_header_matches,
    as_http_status,
    as_name,
    as_positive_duration,
    as_replicas,
    as_secret,
    as_status_range,
    as_string_match,
    as_text,
    as_text_or_secret,
    as_token,
)

T = TypeVar("T")
_STRICT = frozenset({"int", "float", "bool", "str"})


@dataclasses.dataclass(frozen=True, slots=True, eq=False)  # hashed by identity: a Mapping has no hash
class Parsed:
    """A type by its parser, which raises ValueError for the user, and by the JSON Schema of what it takes."""

    parse: Callable[[Any], Any]
    schema: Mapping[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return dict(self.schema)


@dataclasses.dataclass(frozen=True, slots=True)
class About:
    """What a field means, for editors: ``Annotated[Duration, About("the delay of each request")]``."""

    text: str

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return {**handler(core), "description": self.text}


@dataclasses.dataclass(frozen=True, slots=True)
class Rest:
    """Marks the mapping field that takes all further keys that match ``pattern``; ``hint`` names some."""

    pattern: str
    hint: str


@dataclasses.dataclass(frozen=True, slots=True)
class Short:
    """Marks a spec of which a bare value means one field: ``60s`` for ``{atMost: 60s}``."""

    key: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        def wrapped(value: Any) -> Any:
            return value if value is None or isinstance(value, Mapping) else {self.key: value}

        return core_schema.no_info_before_validator_function(wrapped, handler(source))

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        whole = handler(core)
        return {"anyOf": [handler.resolve_ref_schema(whole)["properties"][self.key], whole]}


@dataclasses.dataclass(frozen=True, slots=True)
class _Many:
    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        def wrapped(value: Any) -> Any:
            return value if value is None or isinstance(value, list | tuple) else (value,)

        return core_schema.no_info_before_validator_function(wrapped, handler(source))

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        many = handler(core)
        return {"anyOf": [many["items"], many]}


OneOrMany = Annotated[tuple[T, ...], _Many()]
"""A list; a single value is a list of one."""

_duration = {"type": "string", "pattern": rf"^\s*{units.DURATION}\s*$", "examples": ["250ms", "2s", "1m30s"]}
_share = {"type": "string", "pattern": rf"^\s*{units.SHARE}\s*$", "examples": ["99.5%"]}
_percent = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 100}, _share]}
_secret = {
    "type": "object",
    "properties": {"env": {"type": "string", "minLength": 1}, "file": {"type": "string", "minLength": 1}},
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
_token = {
    "anyOf": [
        {"enum": ["none", "garbage"]},
        _secret,
        {
            "type": "object",
            "properties": {
                "issuer": {"type": "string", "minLength": 1},
                "claims": {"type": "object"},
                "expired": {"type": "boolean"},
            },
            "required": ["issuer"],
            "additionalProperties": False,
        },
    ]
}
_matches = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {key: {"type": "string", "minLength": 1} for key in ("exact", "prefix", "regex")},
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        },
    ]
}

Duration = Annotated[float, Parsed(units.parse_duration, _duration)]
"""Seconds, 0 and more."""
PositiveDuration = Annotated[float, Parsed(as_positive_duration, _duration)]
"""Seconds, more than 0."""
Share = Annotated[float, Parsed(units.parse_share, _share)]
"""0..1, written with a % sign."""
Percentage = Annotated[
    float,
    Parsed(
        units.parse_percentage,
        {
            "anyOf": [
                *_percent["anyOf"],
                {"type": "object", "properties": {"value": _percent}, "required": ["value"], "maxProperties": 1},
            ]
        },
    ),
]
"""0..100, written ``10``, ``10%`` or ``{value: 10}``."""
Rate = Annotated[
    float,
    Parsed(
        units.parse_rate,
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": units.FASTEST},
                {"type": "string", "pattern": rf"^{units.NUMBER}\s?/\s?[smh]$"},
            ]
        },
    ),
]
"""Per second, above 0; written ``200``, ``200/s``, ``1200/m``."""
Text = Annotated[str, Parsed(as_text, {"type": "string", "minLength": 1})]
"""Text that is not empty."""
Name = Annotated[
    str, Parsed(as_name, {"type": "string", "pattern": r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"})
]
"""A name that may be part of a file's name: letters, digits, ``.``, ``_``, ``-``; at most 63."""
SecretRef = Annotated[Any, Parsed(as_secret, _secret)]
"""``{env: NAME}`` or ``{file: PATH}`` as :class:`~meshchaos.experiment.model.Secret`; plain text is refused."""
MaybeSecret = Annotated[TextOrSecret, Parsed(as_text_or_secret, {"anyOf": [{"type": ["string", "number"]}, _secret]})]
"""Text, or where the text is to be found at run time."""
TokenRef = Annotated[Token, Parsed(as_token, _token)]
"""``none``, ``garbage``, ``{env: NAME}``, ``{file: PATH}``, or ``{issuer, claims, expired}``."""
StringMatch = Annotated[Mapping[str, str], Parsed(as_string_match, _matches)]
"""Istio's: ``{"exact" | "prefix" | "regex": value}``; plain text is short for ``exact``."""
HeaderMatches = Annotated[
    Mapping[str, Mapping[str, str]], Parsed(as_header_matches, {"type": "object", "additionalProperties": _matches})
]
"""Header name in lower case -> StringMatch. The regex ``*`` means that the header is there, as in Istio."""
HttpStatus = Annotated[int, Parsed(as_http_status, {"type": "integer", "minimum": 200, "maximum": 599})]
"""200..599: what a server may answer."""
StatusRange = Annotated[
    str,
    Parsed(
        as_status_range,
        {
            "anyOf": [
                {"type": "integer", "minimum": 100, "maximum": 599},
                {"type": "string", "pattern": r"^[1-5]\d\d(-[1-5]\d\d)?$"},
                {"enum": list(GRPC_STATUSES)},
            ]
        },
    ),
]
"""``404``, ``"200-399"`` or a gRPC status, ``NOT_FOUND``, as text."""
GrpcStatus = Annotated[str, Parsed(as_grpc_status, {"type": ["string", "integer"]})]
"""Name in capitals, ``UNAVAILABLE``; written so or as its number."""
Replicas = Annotated[
    int | float,
    Parsed(as_replicas, {"anyOf": [{"type": "integer", "minimum": 1}, _share]}),
]
"""``int``: so many, at least 1. ``float``: this share of them (0..1), written ``50%``."""


def key_of(field: str) -> str:
    """The YAML key of a field: ``fixed_delay`` is ``fixedDelay``, ``from_`` is ``from``."""
    head, *tail = field.rstrip("_").split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


@dataclass_transform(frozen_default=True)
def spec(cls: type[T]) -> type[T]:
    """A frozen dataclass with slots that pydantic validates by this module's rules (see the module's docstring)."""
    return as_spec(dataclasses.dataclass(frozen=True, slots=True)(cls))


def as_spec(cls: type[T]) -> type[T]:
    """Gives a stdlib dataclass these rules, in place; does nothing where it has them."""
    if "__pydantic_config__" in vars(cls):
        return cls
    cast("Any", cls).__pydantic_config__ = {
        "extra": "forbid",
        "alias_generator": key_of,
        "allow_inf_nan": False,
        "arbitrary_types_allowed": True,
    }
    cast("Any", cls).__get_pydantic_core_schema__ = classmethod(_core_schema)
    cast("Any", cls).__get_pydantic_json_schema__ = classmethod(_json_schema)
    return cls


def rest_of(cls: type) -> tuple[str, Rest] | None:
    """The key and mark of the field that takes further keys, if the spec has one."""
    for name, hint in get_type_hints(cls, include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            if isinstance(mark, Rest):
                return key_of(name), mark
    return None


def _core_schema(cls: type, source: Any, handler: Any) -> Any:
    from pydantic_core import core_schema

    reference = handler(source)
    body = handler.resolve_ref_schema(reference)
    inner = {key: value for key, value in body.items() if key != "ref"}
    _make_scalars_strict(inner)
    rest = rest_of(cls)

    def gathered(value: Any) -> Any:
        if rest is None or not isinstance(value, Mapping):
            return value
        key, mark = rest
        further = {k: v for k, v in value.items() if isinstance(k, str) and re.fullmatch(mark.pattern, k)}
        return {**{k: v for k, v in value.items() if k not in further}, **({key: further} if further else {})}

    def checked(value: Any) -> Any:
        check = getattr(value, "check", None)
        if callable(check):
            check()
        return value

    before = core_schema.no_info_before_validator_function(gathered, cast("Any", inner))
    outer = core_schema.no_info_after_validator_function(checked, before)
    # In place: the next field of this type gets a reference to this very definition, and does not come here again.
    kept = {"ref": body["ref"]} if "ref" in body else {}
    body.clear()
    body.update(outer, **kept)
    return reference


def _json_schema(cls: type, core: Any, handler: Any) -> dict[str, Any]:
    result = cast("dict[str, Any]", handler(core))
    rest = rest_of(cls)
    if rest is not None:
        body = handler.resolve_ref_schema(result)
        key, mark = rest
        field = body["properties"].pop(key)
        body["patternProperties"] = {f"^(?:{mark.pattern})$": field.get("additionalProperties", {})}
        if key in body.get("required", ()):
            body["required"].remove(key)
            body["minProperties"] = 1
    return result


def _make_scalars_strict(schema: Any) -> None:
    """Structure stays lax (lists become tuples, mappings dataclasses), numbers, bools and text do not."""
    if isinstance(schema, dict):
        if schema.get("type") in _STRICT:
            schema["strict"] = True
        for value in schema.values():
            _make_scalars_strict(value)
    elif isinstance(schema, list):
        for value in schema:
            _make_scalars_strict(value)


@spec
class HttpMatch:
    """Which requests: all of the headers, the uri (without its query) and the method must match."""

    headers: HeaderMatches = dataclasses.field(default_factory=dict)
    uri: StringMatch | None = None
    method: StringMatch | None = None
