"""``metadata.managedFields``: who wrote which field of an object last, as the real API server keeps it for updates.

The shape is Kubernetes' own (``fieldsV1`` with ``f:`` keys), lists are atomic as in Istio's definitions. Only the
fields that a write really changed go over to its manager.
"""

from __future__ import annotations

from typing import Any

from meshchaos.mesh.objects import Manifest

_OF_THE_SERVER = frozenset({"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"})
_Fields = frozenset[tuple[str, ...]]


def after_write(before: Manifest | None, after: Manifest, manager: str, time: str) -> list[dict[str, Any]]:
    """The managedFields of ``after``, written by ``manager`` at ``time`` (RFC 3339) over ``before``."""
    old, new = _leaves(before or {}), _leaves(after)
    changed = frozenset(path for path, value in new.items() if path not in old or old[path] != value)
    removed = old.keys() - new.keys()
    entries: list[dict[str, Any]] = []
    own = changed
    for entry in (before or {}).get("metadata", {}).get("managedFields", []):
        owned = _paths(entry["fieldsV1"]) - changed - removed
        if entry["manager"] == manager:
            own |= owned
        elif owned:
            entries.append({**entry, "fieldsV1": _tree(owned)})
    return [*entries, _entry(manager, str(after.get("apiVersion", "")), time, own)]


def last_writer(manifest: Manifest) -> tuple[str, str]:
    """Manager and time (RFC 3339) of the last write; two empty texts when nobody says."""
    entries = (manifest.get("metadata") or {}).get("managedFields") or []
    newest: dict[str, Any] = max(entries, key=lambda entry: str(entry.get("time", "")), default={})
    return str(newest.get("manager", "")), str(newest.get("time", ""))


def _entry(manager: str, version: str, time: str, fields: _Fields) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": _tree(fields),
    }


def _leaves(manifest: Manifest) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}

    def walk(node: Any, path: tuple[str, ...]) -> None:
        if isinstance(node, dict) and node:
            for key, inner in node.items():
                walk(inner, (*path, key))
        else:
            found[path] = node

    for key, value in manifest.items():
        if key == "metadata":
            walk({name: inner for name, inner in value.items() if name not in _OF_THE_SERVER}, (key,))
        elif key not in {"apiVersion", "kind"}:
            walk(value, (key,))
    found.pop(("metadata",), None)
    return {
        path: value for path, value in found.items() if path not in {("metadata", "name"), ("metadata", "namespace")}
    }


def _tree(fields: _Fields) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in sorted(fields):
        node = tree
        for key in path:
            node = node.setdefault(f"f:{key}", {})
    return tree


def _paths(tree: dict[str, Any], path: tuple[str, ...] = ()) -> _Fields:
    if not tree:
        return frozenset({path}) if path else frozenset()
    return frozenset().union(*(_paths(inner, (*path, key.removeprefix("f:"))) for key, inner in tree.items()))
