"""A fault's ``match`` in the three languages that it has to be said in.

The user writes Istio's StringMatch (``{exact: x}``, ``{prefix: x}``, ``{regex: x}``) on headers, uri and method.
A VirtualService takes them as they are, Envoy's HTTPFault takes header matchers (``:path``, ``:method``), and
evidence takes regular expressions for logged values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshchaos.errors import CannotPlace

PATH = ":path"
METHOD = ":method"

StringMatch = Mapping[str, str]
"""``{"exact" | "prefix" | "regex": value}``. A header's regex ``*`` means present, as in Istio."""

_ANY_QUERY = r"(?:\?.*)?"


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a fault is about; empty: all. Header names lower case."""

    headers: Mapping[str, StringMatch] = field(default_factory=dict)
    uri: StringMatch | None = None
    method: StringMatch | None = None

    def __bool__(self) -> bool:
        return bool(self.headers or self.uri or self.method)

    def __str__(self) -> str:
        parts = [f"header {name} {_words(match)}" for name, match in self.headers.items()]
        if self.uri:
            parts.append(f"uri {_words(self.uri)}")
        if self.method:
            parts.append(f"method {_words(self.method)}")
        return ", ".join(parts)


def envoy_headers(match: Match) -> list[dict[str, Any]]:
    """Envoy's HeaderMatchers for HTTPFault.headers; all of them must hold, in a fixed order.

    Istio's uri match looks at the path without its query, ``:path`` has it: exact and regex allow one.
    """
    result = [_header(name, match.headers[name]) for name in sorted(match.headers)]
    if match.method:
        result.append(_header(METHOD, match.method))
    if match.uri:
        said = match.uri if "prefix" in match.uri else {"regex": log_patterns(Match(uri=match.uri))[PATH]}
        result.append(_header(PATH, said))
    return result


def log_patterns(match: Match) -> dict[str, str]:
    """Name (``:path`` and ``:method`` among them) -> regular expression for a full match of the logged value."""
    result = {name: _pattern(said) for name, said in sorted(match.headers.items())}
    if match.method:
        result[METHOD] = _pattern(match.method)
    if match.uri:
        result[PATH] = _pattern(match.uri) + ("" if "prefix" in match.uri else _ANY_QUERY)
    return result


def narrowed(owner: Mapping[str, Any], match: Match) -> dict[str, Any] | None:
    """A HTTPMatchRequest that holds where ``owner``'s and ``match`` both hold; None where that is nowhere.

    Raises CannotPlace where Istio's match language cannot say both.
    """
    result = dict(owner)
    if match.uri and owner.get("uri") and owner.get("ignoreUriCase"):
        raise CannotPlace("the owner's route ignores the case of the uri, which a match of our own beside it cannot")
    for key, said in (("uri", match.uri), ("method", match.method)):
        if said:
            both = _both(owner.get(key), said, key)
            if both is None:
                return None
            result[key] = both
    if match.headers:
        headers = {str(name).lower(): value for name, value in (owner.get("headers") or {}).items()}
        for name, said in match.headers.items():
            both = _both(headers.get(name), said, f"header {name}")
            if both is None:
                return None
            headers[name] = both
        result["headers"] = headers
    return result


def _both(one: StringMatch | None, other: StringMatch, what: str) -> dict[str, str] | None:
    """The conjunction of two matches on one value; None: nothing fulfils both."""
    if one is None or dict(one) == dict(other) or one.get("regex") == "*":
        return dict(other)
    if other.get("regex") == "*":
        return dict(one)
    for exact, rest in ((one, other), (other, one)):
        if "exact" in exact:
            return dict(exact) if re.fullmatch(_pattern(rest), exact["exact"]) else None
    if "prefix" in one and "prefix" in other:
        longer, shorter = sorted((one["prefix"], other["prefix"]), key=len, reverse=True)
        return {"prefix": longer} if longer.startswith(shorter) else None
    raise CannotPlace(
        f"the owner's route already matches the {what} by {_words(one)}, and Istio cannot say that and {_words(other)}"
    )


def _header(name: str, said: StringMatch) -> dict[str, Any]:
    if said.get("regex") == "*":
        return {"name": name, "present_match": True}
    ((key, value),) = said.items()
    return {"name": name, "string_match": {"safe_regex": {"regex": value}} if key == "regex" else {key: value}}


def _pattern(said: StringMatch) -> str:
    ((key, value),) = said.items()
    if key == "regex":
        return ".*" if value == "*" else f"(?:{value})"
    return re.escape(value) + (".*" if key == "prefix" else "")


def _words(said: StringMatch) -> str:
    ((key, value),) = said.items()
    return f"{'=' if key == 'exact' else key} {value}"
