"""JSON Schema (draft 7, which yaml-language-server reads) of ``*.chaos.yaml`` and ``meshchaos.yaml``, made from the
types that the reader validates with. Rules between fields are the reader's alone.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from meshchaos.experiment.config_document import ConfigDoc
from meshchaos.experiment.document import ExperimentDoc, RampDoc, ScopeDoc, TimingDoc
from meshchaos.experiment.fields import key_of
from meshchaos.experiment.model import SpecKind, Vocabulary
from meshchaos.experiment.specs import adapter

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_PATCH: Final = ".patch"
"""Ends the name of a definition that is a patch on the one before it."""


def json_schema(vocabulary: Vocabulary) -> dict[str, Any]:
    """Of experiments, with the kinds of ``vocabulary``: each kind is written once, under ``definitions``, and once more
    as a patch on it.
    """
    result = _inlined(ExperimentDoc)
    body = result["properties"]["spec"]
    faults = {kind.key: _entry(kind, _timed(_kind_schema(kind))) for _, kind in sorted(vocabulary.faults.items())}
    checks = {kind.key: _entry(kind, _scoped(_kind_schema(kind))) for _, kind in sorted(vocabulary.checks.items())}
    definitions = {
        **{f"fault.{key}": entry for key, entry in faults.items()},
        **{f"expect.{key}": entry for key, entry in checks.items()},
    }
    body["properties"]["faults"] = _one_or_many([_reference(f"fault.{key}") for key in faults])
    body["properties"]["expect"] = _one_or_many([_reference(f"expect.{key}") for key in checks], at_least=1)
    body["properties"]["load"]["anyOf"].append(
        {"enum": ["existing"], "description": "What the mesh's own users send is judged, edge by edge."}
    )
    patch = {"type": "object", "properties": _without(body["properties"], ("mesh", "overrides"))}
    definitions |= {f"{name}{_PATCH}": _patch(entry) for name, entry in definitions.items()}
    body["properties"]["overrides"] = {
        "type": "object",
        "description": "By mesh: a JSON merge patch on spec (lists are replaced, null takes a key away).",
        "additionalProperties": _patch(patch),
    }
    return {"$schema": DRAFT, "title": "meshchaos experiment", **result, "definitions": definitions}


def config_schema() -> dict[str, Any]:
    """Of ``meshchaos.yaml``."""
    return {"$schema": DRAFT, "title": "meshchaos.yaml", **_inlined(ConfigDoc)}


def _kind_schema(kind: SpecKind) -> dict[str, Any]:
    return _inlined(kind.spec)


def _entry(kind: SpecKind, fields: dict[str, Any]) -> dict[str, Any]:
    """``{delay: {...}}``; the bare value that a kind takes beside the mapping."""
    value = fields
    short = key_of(kind.scalar) if kind.scalar is not None else None
    if short is not None and short in fields["properties"]:
        value = {"anyOf": [fields["properties"][short], fields]}
    if kind.summary:
        value = {**value, "description": kind.summary}
    return {"type": "object", "properties": {kind.key: value}, "required": [kind.key], "additionalProperties": False}


def _scoped(fields: dict[str, Any]) -> dict[str, Any]:
    """With what every expectation may say; a kind's own field of that name goes before."""
    return {**fields, "properties": {**_inlined(ScopeDoc)["properties"], **fields.get("properties", {})}}


def _timed(fields: dict[str, Any]) -> dict[str, Any]:
    """With what every fault may say, and a ramp where it has a percentage."""
    own = dict(fields.get("properties", {}))
    if "percentage" in own:
        plain = own["percentage"]
        told = {"description": plain["description"]} if "description" in plain else {}
        own["percentage"] = {"anyOf": [*plain.get("anyOf", [plain]), _inlined(RampDoc)], **told}
    return {**fields, "properties": {**_inlined(TimingDoc)["properties"], **own}}


def _one_or_many(entries: list[dict[str, Any]], at_least: int = 0) -> dict[str, Any]:
    many: dict[str, Any] = {"type": "array", "items": {"anyOf": entries}}
    if at_least:
        many["minItems"] = at_least
    return {"anyOf": [*entries, many]} if entries else {"type": "array", "maxItems": 0}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/definitions/{name}"}


def _patch(schema: Any) -> Any:
    """What a merge patch on such a value may be: nothing is required, everything may be null; lists are whole."""
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": schema["$ref"] + _PATCH}
    result = {key: value for key, value in schema.items() if key not in ("required", "minProperties")}
    if "anyOf" in result:
        result["anyOf"] = [*map(_patch, result["anyOf"]), {"type": "null"}]
    if isinstance(result.get("properties"), dict):
        result["properties"] = {
            key: {"anyOf": [_patch(value), {"type": "null"}]} for key, value in result["properties"].items()
        }
        result.setdefault("additionalProperties", False)
    return result


def _inlined(model: type) -> dict[str, Any]:
    """Pydantic's schema without references, titles and defaults (which are in our units, not the file's)."""
    whole = adapter(model).json_schema(by_alias=True)
    definitions = whole.pop("$defs", {})
    result = _clean(whole, definitions, top=True)
    assert isinstance(result, dict)
    return result


def _clean(value: Any, definitions: dict[str, Any], *, top: bool = False, names: bool = False) -> Any:
    """``names``: the keys of ``value`` are the user's, not those of JSON Schema."""
    if isinstance(value, list):
        return [_clean(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    if names:
        return {key: _clean(item, definitions) for key, item in value.items()}
    if "$ref" in value:
        target = copy.deepcopy(definitions[value["$ref"].rpartition("/")[2]])
        return _clean({**target, **_without(value, ("$ref",))}, definitions)
    kept = _without(value, ("title", "default", *(("description",) if top else ())))
    cleaned = {
        key: _clean(item, definitions, names=key in ("properties", "patternProperties")) for key, item in kept.items()
    }
    if "patternProperties" in cleaned:
        cleaned.setdefault("additionalProperties", False)
    return {key: item for key, item in cleaned.items() if not (key == "required" and not item)}


def _without(value: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in keys}
