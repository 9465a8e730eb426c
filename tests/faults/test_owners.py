"""Who would take a fault back is seen by the marks that it leaves, and the way out is named."""

from __future__ import annotations

from typing import Any

import pytest

from meshchaos.faults.owners import will_undo


def marked(**metadata: Any) -> dict[str, Any]:
    return {"kind": "VirtualService", "metadata": {"name": "stars", "namespace": "shop", **metadata}}


@pytest.mark.parametrize(
    ("metadata", "who", "way_out"),
    [
        ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:x"}}, "Argo CD", "spec.ignoreDifferences"),
        ({"managedFields": [{"manager": "argocd-controller"}]}, "Argo CD", "spec.ignoreDifferences"),
        (
            {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "fs"}},
            "Flux",
            "flux suspend kustomization apps -n fs, and resume it afterwards",
        ),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "shop"}}, "Flux", "flux suspend helmrelease shop, and"),
        ({"managedFields": [{"manager": "kustomize-controller"}]}, "Flux", "reconcile: disabled"),
        ({"ownerReferences": [{"kind": "Canary", "name": "stars"}]}, "Flagger", "spec.suspend: true in its Canary"),
        ({"managedFields": [{"manager": "rollouts-controller"}]}, "Argo Rollouts", "spec.paused: true"),
        ({"annotations": {"configmanagement.gke.io/managed": "enabled"}}, "Config Sync", "mutation: ignore"),
        ({"labels": {"fleet.cattle.io/bundle-id": "shop"}}, "Fleet", "pause its GitRepo"),
    ],
)
def test_the_way_out_is_named(metadata: dict[str, Any], who: str, way_out: str) -> None:
    found = will_undo(marked(**metadata))
    assert found is not None
    assert found.startswith(f"{who} owns VirtualService stars.shop and will put it back in mid-phase: ")
    assert way_out in found


def test_whoever_writes_by_hand_is_no_controller() -> None:
    assert will_undo(marked(managedFields=[{"manager": "kubectl-edit"}], labels={"app": "stars"})) is None
