"""Kubernetes-shaped objects as plain data: what a manifest is, how one is named.

A ``Manifest`` is the JSON form of an object (``apiVersion``, ``kind``, ``metadata``, ``spec``).
It is treated as immutable: whoever changes one works on ``copy.deepcopy``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]

CLUSTER_SCOPED = frozenset({"Namespace"})


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Names one object. ``kind`` without its group: no two kinds that we touch share a name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}.{self.namespace}" if self.namespace else f"{self.kind} {self.name}"


def ref_of(manifest: Mapping[str, Any]) -> Ref:
    """The reference of a manifest; a namespaced one without a namespace is in ``default``."""
    kind = str(manifest.get("kind", ""))
    metadata = manifest.get("metadata") or {}
    namespace = "" if kind in CLUSTER_SCOPED else str(metadata.get("namespace") or "default")
    return Ref(kind, namespace, str(metadata.get("name", "")))


def labels_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """``metadata.labels``, empty where there are none."""
    return dict((manifest.get("metadata") or {}).get("labels") or {})


def annotations_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """``metadata.annotations``, empty where there are none."""
    return dict((manifest.get("metadata") or {}).get("annotations") or {})


def selects(selector: Mapping[str, str] | None, labels: Mapping[str, str]) -> bool:
    """Whether an equality selector matches; an empty or missing one matches everything."""
    return all(labels.get(key) == value for key, value in (selector or {}).items())
