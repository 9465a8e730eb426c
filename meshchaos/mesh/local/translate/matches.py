"""A VirtualService's match conditions as Envoy's route match (``route.go``: TranslateRouteMatch)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshchaos.mesh.local.translate.names import Json


def route_match(match: Mapping[str, Any] | None) -> Json:
    """The match of one route; None: everything. Headers are sorted by name, as in Istio."""
    if match is None:
        return {"prefix": "/"}
    out = _path(match.get("uri"))
    headers = [_header(name, wanted) for name, wanted in (match.get("headers") or {}).items()]
    for name, unwanted in (match.get("withoutHeaders") or {}).items():
        matcher = {**_header(name, unwanted), "invert_match": True}
        if "present_match" not in matcher:
            matcher["treat_missing_header_as_empty"] = True
        headers.append(matcher)
    headers.sort(key=lambda header: str(header["name"]))
    for field, pseudo in (("method", ":method"), ("authority", ":authority"), ("scheme", ":scheme")):
        if match.get(field) is not None:
            headers.append(_header(pseudo, match[field]))
    if headers:
        out["headers"] = headers
    if match.get("ignoreUriCase"):
        out["case_sensitive"] = False
    queries = match.get("queryParams") or {}
    if queries:
        out["query_parameters"] = [_header(name, queries[name]) for name in sorted(queries)]
    return out


def is_catch_all(match: Mapping[str, Any]) -> bool:
    """Whether nothing gets past this route match."""
    everything = match.get("prefix") == "/" or (match.get("safe_regex") or {}).get("regex") == ".*"
    return everything and not match.get("headers") and not match.get("query_parameters")


def string_match(wanted: Mapping[str, Any]) -> Json:
    """Istio's StringMatch as Envoy's StringMatcher."""
    if "regex" in wanted:
        return {"safe_regex": {"regex": wanted["regex"]}}
    return {"prefix": wanted["prefix"]} if "prefix" in wanted else {"exact": wanted.get("exact", "")}


def _path(uri: Mapping[str, Any] | None) -> Json:
    if not uri:
        return {"prefix": "/"}
    if "exact" in uri:
        return {"path": uri["exact"]}
    return {"prefix": uri["prefix"]} if "prefix" in uri else {"safe_regex": {"regex": uri["regex"]}}


def _header(name: str, wanted: Mapping[str, Any] | None) -> Json:
    # An empty matcher, and the regular expression "*", which is none: the header is there.
    if not wanted or wanted.get("regex") == "*":
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": string_match(wanted)}
