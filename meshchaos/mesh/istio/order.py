"""Which of several objects comes first, and who may see it."""

from __future__ import annotations

from collections.abc import Iterable

from meshchaos.mesh.objects import Manifest


def age(manifest: Manifest) -> tuple[str, str, str]:
    """Istio's order: creationTimestamp (seconds), then name, then namespace (``model/config.go``)."""
    meta = manifest.get("metadata") or {}
    return (str(meta.get("creationTimestamp") or ""), str(meta.get("name")), str(meta.get("namespace")))


def oldest_first(objects: Iterable[Manifest], kind: str) -> list[Manifest]:
    """The objects of one kind, oldest first."""
    return sorted((item for item in objects if item.get("kind") == kind), key=age)


def namespace_of(manifest: Manifest) -> str:
    return str((manifest.get("metadata") or {}).get("namespace") or "default")


def export_to(manifest: Manifest) -> frozenset[str]:
    """The namespaces that see an object by its ``spec.exportTo``, ``.`` resolved; ``{"*"}``: all; empty: none."""
    own = namespace_of(manifest)
    listed = [str(item) for item in (manifest.get("spec") or {}).get("exportTo") or ["*"]]
    if "*" in listed:
        return frozenset({"*"})
    if "~" in listed:
        return frozenset()
    return frozenset(own if item == "." else item for item in listed)


def visible(manifest: Manifest, namespace: str) -> bool:
    """Whether a client of ``namespace`` sees the object."""
    exported = export_to(manifest)
    return "*" in exported or namespace in exported
