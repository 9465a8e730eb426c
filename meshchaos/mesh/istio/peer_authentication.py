"""Mutual TLS as a server demands it (``pilot/pkg/model/authentication.go``, ``pilot/pkg/security/authn``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from meshchaos.mesh.istio.order import namespace_of, oldest_first
from meshchaos.mesh.objects import Manifest, selects

Mode = Literal["STRICT", "PERMISSIVE", "DISABLE"]
ROOT_NAMESPACE = "istio-system"


def mode(
    objects: Iterable[Manifest],
    namespace: str,
    labels: Mapping[str, str],
    target_port: int,
    root_namespace: str = ROOT_NAMESPACE,
) -> Mode:
    """The mode of one port of a workload: the port's, else the workload's, the namespace's, the mesh's, PERMISSIVE.

    The oldest PeerAuthentication wins at each scope; UNSET inherits. ``portLevelMtls`` counts container ports and is
    read only in a policy with a selector.
    """
    mesh: Manifest | None = None
    of_namespace: Manifest | None = None
    of_workload: Manifest | None = None
    for policy in oldest_first(objects, "PeerAuthentication"):
        place = namespace_of(policy)
        chosen = ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels")
        if not chosen:
            if place == root_namespace:
                mesh = mesh or policy
            if place == namespace and place != root_namespace:
                of_namespace = of_namespace or policy
        elif place == namespace and selects(chosen, labels):
            of_workload = of_workload or policy
    result: Mode = "PERMISSIVE"
    for item in (mesh, of_namespace, of_workload):
        result = _said((item or {}).get("spec")) or result
    levels = ((of_workload or {}).get("spec") or {}).get("portLevelMtls") or {}
    return _said({"mtls": levels.get(str(target_port)) or levels.get(target_port)}) or result


def _said(spec: Mapping[str, object] | None) -> Mode | None:
    block = (spec or {}).get("mtls")
    said = block.get("mode") if isinstance(block, Mapping) else None
    return said if said in ("STRICT", "PERMISSIVE", "DISABLE") else None
