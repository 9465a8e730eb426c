"""Controllers that put an object back to what they think it should be, seen by the marks they leave."""

from __future__ import annotations

from meshchaos.mesh.objects import Manifest, annotations_of, labels_of

_MARKS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "configmanagement.gke.io/managed": "Config Sync",
    "objectset.rio.cattle.io/owner-name": "Fleet",
    "fleet.cattle.io/bundle-id": "Fleet",
}
_OWNER_KINDS = {"Canary": "Flagger", "Rollout": "Argo Rollouts"}
_MANAGERS = {
    "flagger": "Flagger",
    "rollouts-controller": "Argo Rollouts",
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
}


def reconciler(manifest: Manifest) -> str | None:
    """The rollout or GitOps controller that owns an object and would undo our edit; None where none shows."""
    meta = manifest.get("metadata") or {}
    for owner in meta.get("ownerReferences") or ():
        if owner.get("kind") in _OWNER_KINDS:
            return _OWNER_KINDS[owner["kind"]]
    marks = {**labels_of(manifest), **annotations_of(manifest)}
    for key, name in _MARKS.items():
        if key in marks:
            return name
    for entry in meta.get("managedFields") or ():
        if entry.get("manager") in _MANAGERS:
            return _MANAGERS[entry["manager"]]
    return None
