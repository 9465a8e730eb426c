"""Parsers of single values that are not units: each raises ValueError with a message for the user."""

# ruff: noqa: TRY004 - whatever is wrong with a value is a ValueError, whose text is for the user

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from typing import Any, Final

from meshchaos import units
from meshchaos.experiment.model import Secret, TextOrSecret, Token
from meshchaos.units import shown

NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header's name or a method, RFC 9110, 5.6.2."""

GRPC_STATUSES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""By number, from 0."""

_NOT_RE2 = re.compile(r"\(\?(?:=|!|<=|<!|>|P=|\()|(?<!\\)(?:\\\\)*\\[1-9]")


def as_text(value: Any) -> str:
    if value is None:
        raise ValueError("is empty: write a value, or leave the key out")
    if isinstance(value, bool | int | float):
        raise ValueError(f"must be text, not {shown(value)} (in quotes it is: '{shown(value)}')")
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {shown(value)}")
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def as_name(value: Any) -> str:
    text = as_text(value)
    if NAME.fullmatch(text) is None:
        raise ValueError(
            f"{shown(text)} cannot be a name: write letters and digits, inside also '.', '_' and '-', 63 at most"
        )
    return text


def as_positive_duration(value: Any) -> float:
    seconds = units.parse_duration(value)
    if seconds <= 0:
        raise ValueError("must be longer than 0")
    return seconds


def as_secret(value: Any) -> Secret:
    if not isinstance(value, Mapping):
        raise ValueError("a secret is not written down: write {env: NAME} or {file: PATH}, read at run time")
    if len(value) != 1 or next(iter(value)) not in ("env", "file"):
        raise ValueError("a secret is {env: NAME} or {file: PATH}")
    ((source, name),) = value.items()
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise ValueError(f"a secret is {{env: NAME}} or {{file: PATH}}, and {shown(name)} is neither name nor path")
    if source == "env" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
        raise ValueError(f"{shown(name)} is no name of an environment variable")
    return Secret(source, name)


def as_text_or_secret(value: Any) -> TextOrSecret:
    if isinstance(value, Mapping):
        return as_secret(value)
    if isinstance(value, bool) or value is None or not isinstance(value, str | int | float):
        raise ValueError(f"must be text, {{env: NAME}} or {{file: PATH}}, not {shown(value)}")
    return str(value)


_SIGNED: Final = ("claims", "expired")
_TOKENS: Final = "write none, garbage, {env: NAME}, {file: PATH} or {issuer: ..., claims: ..., expired: true}"


def as_token(value: Any) -> Token:
    """``none``, ``garbage``, a secret, or ``{issuer, claims, expired}``."""
    if isinstance(value, str):
        if value in ("none", "garbage"):
            return Token(value)  # type: ignore[arg-type]  # one of the two
        raise ValueError(f"a token is not written down: {_TOKENS}")
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"{_TOKENS}, not {shown(value)}")
    if not {"issuer", *_SIGNED} & value.keys():
        if len(value) != 1 or next(iter(value)) not in ("env", "file"):
            raise ValueError(f"{_TOKENS}, not {shown(dict(value))}")
        secret = as_secret(value)
        return Token(secret.source, secret.name)
    strange = sorted(str(key) for key in value if key not in ("issuer", *_SIGNED))
    if strange:
        raise ValueError(
            f"a token that is signed here is {{issuer: ..., claims: ..., expired: true}}, without {strange[0]}"
        )
    if "issuer" not in value:
        raise ValueError(
            "a token that is signed here names its issuer: {issuer: https://..., claims: ..., expired: true}"
        )
    issuer, claims, expired = as_text(value["issuer"]), value.get("claims", {}), value.get("expired", False)
    if not isinstance(expired, bool):
        raise ValueError(f"expired is true or false, not {shown(expired)}")
    if not isinstance(claims, Mapping) or any(not isinstance(key, str) for key in claims):
        raise ValueError(f"claims are a mapping of names to values, not {shown(claims)}")
    try:
        text = json.dumps(claims, sort_keys=True, allow_nan=False) if claims else ""
    except (TypeError, ValueError) as error:
        raise ValueError(f"claims are JSON: {error}") from error
    return Token("signed", issuer, text, expired)


def as_string_match(value: Any) -> Mapping[str, str]:
    if isinstance(value, str):
        value = {"exact": value}
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ValueError("a match is one of {exact: ...}, {prefix: ...}, {regex: ...}")
    ((how, what),) = value.items()
    if how not in ("exact", "prefix", "regex"):
        raise ValueError(f"a match is one of {{exact: ...}}, {{prefix: ...}}, {{regex: ...}}, not {{{how}: ...}}")
    if not isinstance(what, str):
        raise ValueError(f"{how} must be text, not {shown(what)} (write it in quotes)")
    if not what:
        raise ValueError(f"{how} must not be empty")
    if how == "regex" and what != "*":
        _check_regex(what)
    return {str(how): what}


def _check_regex(text: str) -> None:
    """What both RE2 (Envoy) and Python (the reading of logs) take."""
    if len(text) > 1024:
        raise ValueError("the regex is longer than 1024 characters")
    if _NOT_RE2.search(text):
        raise ValueError(f"{shown(text)}: Envoy's regular expressions (RE2) know no look-around and no back-reference")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(text)
    except (re.error, Warning, OverflowError, RecursionError) as error:
        raise ValueError(f"{shown(text)} is no regular expression: {error}") from error


def as_header_matches(value: Any) -> Mapping[str, Mapping[str, str]]:
    if not isinstance(value, Mapping):
        raise ValueError(f"headers are a mapping of names to {{exact: ...}}, not {shown(value)}")
    found: dict[str, Mapping[str, str]] = {}
    for name, match in value.items():
        key = header_name(name)
        if key in found:
            raise ValueError(f"the header {key} is there twice")
        try:
            found[key] = as_string_match(match)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return found


def header_name(name: Any) -> str:
    """In lower case. Raises ValueError for what HTTP takes for no name."""
    if not isinstance(name, str) or TOKEN.fullmatch(name) is None:
        raise ValueError(f"{shown(name)} is no name of a header")
    return name.lower()


def as_http_status(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value <= 599:
        raise ValueError(f"an HTTP status is a number from 200 to 599, not {shown(value)}")
    return value


def as_status_range(value: Any) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if text.strip().upper() in GRPC_STATUSES:
        return text.strip().upper()
    found = re.fullmatch(r"\s*([1-5]\d\d)\s*(?:-\s*([1-5]\d\d))?\s*", text)
    if found is None or int(found.group(1)) > int(found.group(2) or 599):
        raise ValueError(f"a status is 404, a range: 200-399, or gRPC's: NOT_FOUND; not {shown(value)}")
    return found.group(1) + (f"-{found.group(2)}" if found.group(2) else "")


def as_grpc_status(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(GRPC_STATUSES):
        return GRPC_STATUSES[value]
    if isinstance(value, str) and value.strip().upper() in GRPC_STATUSES:
        return value.strip().upper()
    raise ValueError(f"a gRPC status is a name such as UNAVAILABLE or a number from 0 to 16, not {shown(value)}")


def as_replicas(value: Any) -> int | float:
    if isinstance(value, str) and value.strip().endswith("%"):
        share = units.parse_share(value)
        if share <= 0:
            raise ValueError("must be more than 0%")
        return share
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"replicas are a number from 1 on, or a share of them such as 50%, not {shown(value)}")
    return value
