"""Controllers that put an object back to what they think it should be, seen by the marks they leave; and how each is
told to let go for a while.
"""

from __future__ import annotations

from typing import Final

from meshchaos.mesh.objects import Manifest, annotations_of, labels_of, ref_of

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

_FLUX: Final = {
    "kustomize.toolkit.fluxcd.io": "kustomization",
    "helm.toolkit.fluxcd.io": "helmrelease",
}
_WAYS_OUT: Final = {
    "Argo CD": "let its Application ignore that (spec.ignoreDifferences), or turn its automated sync off meanwhile",
    "Flux": "annotate the object with kustomize.toolkit.fluxcd.io/reconcile: disabled, or suspend what brought it",
    "Flagger": "set spec.suspend: true in its Canary meanwhile",
    "Argo Rollouts": "pause its Rollout meanwhile (spec.paused: true)",
    "Config Sync": "annotate the object with client.lifecycle.config.k8s.io/mutation: ignore",
    "Fleet": "pause its GitRepo meanwhile (spec.paused: true)",
}


def will_undo(manifest: Manifest) -> str | None:
    """Who would take an edit of this object back in mid-phase, and what to do about it; None where nobody shows."""
    controller = reconciler(manifest)
    if controller is None:
        return None
    return f"{controller} owns {ref_of(manifest)} and will put it back in mid-phase: {way_out(controller, manifest)}"


def way_out(controller: str, manifest: Manifest) -> str:
    """How a controller is told to leave an object alone for a while."""
    labels = labels_of(manifest)
    for group, kind in _FLUX.items() if controller == "Flux" else ():
        name, namespace = labels.get(f"{group}/name"), labels.get(f"{group}/namespace")
        if name:
            return f"flux suspend {kind} {name}{f' -n {namespace}' if namespace else ''}, and resume it afterwards"
    return _WAYS_OUT[controller]


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
