"""Admission: whether the local mesh takes an object, as an API server and Istio's webhook together would say.

What is not understood is refused by name, never dropped: a field that did nothing would make a test lie.
"""

from __future__ import annotations

from typing import Any, Final

from meshchaos.errors import Refused
from meshchaos.mesh.local.objects.kinds import REFUSED, REGISTRY, Kind
from meshchaos.mesh.local.objects.kinds.deployment import ANNOTATIONS, LABELS
from meshchaos.mesh.local.objects.schema import (
    Check,
    Path,
    Problem,
    anything,
    as_json,
    did_you_mean,
    kind_of,
    record,
    text,
    unsupported,
)
from meshchaos.mesh.local.objects.values import dns_label
from meshchaos.mesh.objects import CLUSTER_SCOPED, Manifest, ref_of

ISTIO_HARMLESS: Final = frozenset(
    {
        "inject.istio.io/templates",
        "install.operator.istio.io/owning-resource",
        "istio.io/dataplane-mode",
        "istio.io/rev",
        "operator.istio.io/component",
        "operator.istio.io/managed",
        "operator.istio.io/version",
        "prometheus.istio.io/merge-metrics",
        "proxy.istio.io/overrides",
        "security.istio.io/tlsMode",
        "service.istio.io/canonical-name",
        "service.istio.io/canonical-revision",
        "sidecar.istio.io/componentLogLevel",
        "sidecar.istio.io/inject",
        "sidecar.istio.io/logLevel",
        "sidecar.istio.io/proxyCPU",
        "sidecar.istio.io/proxyCPULimit",
        "sidecar.istio.io/proxyImage",
        "sidecar.istio.io/proxyImageType",
        "sidecar.istio.io/proxyMemory",
        "sidecar.istio.io/proxyMemoryLimit",
        "sidecar.istio.io/statsInclusionPrefixes",
        "sidecar.istio.io/statsInclusionRegexps",
        "sidecar.istio.io/statsInclusionSuffixes",
        "sidecar.istio.io/status",
    }
)
"""Labels and annotations of Istio's that the local mesh obeys, or that change nothing in it."""

_MARKS_OF: Final = frozenset({("AuthorizationPolicy", "istio.io/dry-run")})
"""Marks that one kind alone may carry; what they hold is for the kind to check."""

_SERVERS = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "ownerReferences")

_METADATA = {
    "name": text(),
    "namespace": text(dns_label),
    "labels": LABELS,
    "annotations": ANNOTATIONS,
    "generateName": unsupported("is not supported by the local mesh; write name"),
    "finalizers": unsupported(),
    **dict.fromkeys(_SERVERS, anything),
}


def problems(manifest: Any) -> list[Problem]:
    """Everything that is wrong with an object, in the order of its fields; empty when the local mesh takes it."""
    return _examined(manifest)[1]


def check(manifest: Any) -> None:
    """Raises Refused, one line a problem: ``VirtualService a.b: spec.http[0].retrys: unknown field; ...``."""
    _taken(manifest)


def admit(manifest: Manifest) -> Manifest:
    """A copy as the API server would store it: namespace and defaults filled in. Raises Refused."""
    stored = _taken(manifest)
    kind = REGISTRY[stored["kind"]]
    metadata = stored["metadata"]
    metadata.pop("creationTimestamp", None)
    if kind.name in CLUSTER_SCOPED:
        metadata.pop("namespace", None)
    else:
        metadata.setdefault("namespace", "default")
    if kind.defaults is not None:
        kind.defaults(stored)
    return stored


def _taken(manifest: Any) -> Manifest:
    body, found = _examined(manifest)
    if found:
        raise Refused("\n".join(f"{title(manifest)}: {problem}" for problem in found))
    return body


def _examined(manifest: Any) -> tuple[Manifest, list[Problem]]:
    """A copy of the object in the API server's form, and what is wrong with it."""
    if not isinstance(manifest, dict):
        return {}, [Problem((), f"must be an object of Kubernetes or Istio, is {kind_of(manifest)}")]
    kind, wrong = _kind(manifest)
    if kind is None:
        return {}, [Problem((), wrong)]
    body: Manifest = as_json(manifest, nulls=not kind.typed)
    found: list[Problem] = []
    _SCHEMAS[kind.name](body, (), found)
    if kind.whole is not None and not found:
        kind.whole(body, (), found)
    found.extend(_istio_marks(body))
    if kind.name == "Pod" and not found and not body["metadata"].get("ownerReferences"):
        found.append(Problem((), "Pods come from Deployments in the local mesh; write it as a Deployment"))
    return body, found


def title(manifest: Any) -> str:
    """``Kind name.namespace`` for messages, whatever the object looks like."""
    if not isinstance(manifest, dict) or not isinstance(manifest.get("metadata", {}), dict):
        return "object"
    kind = str(manifest.get("kind") or "object")
    return str(ref_of(manifest)) if (manifest.get("metadata") or {}).get("name") else kind


def _kind(manifest: dict[str, Any]) -> tuple[Kind | None, str]:
    name, version = manifest.get("kind"), manifest.get("apiVersion")
    if not isinstance(name, str) or not isinstance(version, str):
        return None, "apiVersion and kind are required"
    if name == "Gateway" and version.startswith("gateway.networking.k8s.io/"):
        return None, "the Gateway API is not supported by the local mesh yet; write Istio's own Gateway"
    if name in REFUSED:
        return None, f"kind {name} {REFUSED[name]}"
    kind = REGISTRY.get(name)
    if kind is None:
        return None, f"kind {name} is not supported by the local mesh{did_you_mean(name, REGISTRY)}"
    if version not in kind.versions:
        return None, f"apiVersion {version} is not supported for {name}; write {kind.versions[0]}"
    return kind, ""


def _schema(kind: Kind) -> Check:
    metadata = record({**_METADATA, "name": text(kind.naming)}, required=("name",))
    fields = {"apiVersion": anything, "kind": anything, "metadata": metadata, "status": anything, **kind.body}
    return record(fields, required=("metadata", *kind.required))


_SCHEMAS: Final = {kind.name: _schema(kind) for kind in REGISTRY.values()}


def _istio_marks(manifest: dict[str, Any]) -> list[Problem]:
    """Labels and annotations that tell Istio to do something that the local mesh would not do."""
    found: list[Problem] = []
    spec = manifest.get("spec")
    template = spec.get("template") if isinstance(spec, dict) and manifest["kind"] == "Deployment" else None
    places: list[tuple[Any, Path]] = [(manifest.get("metadata"), ("metadata",))]
    if isinstance(template, dict):
        places.append((template.get("metadata"), ("spec", "template", "metadata")))
    for metadata, path in places:
        for part in ("labels", "annotations"):
            marks = metadata.get(part) if isinstance(metadata, dict) else None
            for key, value in marks.items() if isinstance(marks, dict) else ():
                wrong = None if (manifest["kind"], key) in _MARKS_OF else _mark(str(key), value)
                if wrong:
                    found.append(Problem((*path, part, str(key)), wrong))
    return found


def _mark(key: str, value: Any) -> str | None:
    domain = key.partition("/")[0]
    if key == "istio.io/dataplane-mode" and value != "none":
        return "ambient mode is not supported by the local mesh"
    if (domain == "istio.io" or domain.endswith(".istio.io")) and "/" in key and key not in ISTIO_HARMLESS:
        return f"not supported by the local mesh{did_you_mean(key, ISTIO_HARMLESS)}"
    return None
