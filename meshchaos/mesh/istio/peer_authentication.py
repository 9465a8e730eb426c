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
    read only in a policy with a selector; one of the root namespace with a selector does nothing.
    """
    ordered = oldest_first(objects, "PeerAuthentication")
    of_workload = next(
        (
            policy
            for policy in ordered
            if namespace_of(policy) == namespace != root_namespace
            if (chosen := _selector(policy)) and selects(chosen, labels)
        ),
        None,
    )
    spec = (of_workload or {}).get("spec") or {}
    levels = spec.get("portLevelMtls") or {}
    return (
        _said({"mtls": levels.get(str(target_port)) or levels.get(target_port)})
        or _said(spec)
        or namespace_mode(ordered, namespace, root_namespace)
    )


def namespace_mode(objects: Iterable[Manifest], namespace: str, root_namespace: str = ROOT_NAMESPACE) -> Mode:
    """What a namespace demands of its workloads that have no policy of their own: its own, the mesh's, PERMISSIVE.

    A client goes by this, too: with DISABLE its clusters of the namespace's services know no TLS at all, whatever
    their workloads say (``PushContext.BestEffortInferServiceMTLSMode``).
    """
    ordered = oldest_first(objects, "PeerAuthentication")
    for place in (namespace, root_namespace):
        found = next((one for one in ordered if namespace_of(one) == place and not _selector(one)), None)
        said = _said((found or {}).get("spec"))
        if said is not None:
            return said
    return "PERMISSIVE"


def _selector(policy: Manifest) -> Mapping[str, str]:
    return ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}


def _said(spec: Mapping[str, object] | None) -> Mode | None:
    block = (spec or {}).get("mtls")
    said = block.get("mode") if isinstance(block, Mapping) else None
    return said if said in ("STRICT", "PERMISSIVE", "DISABLE") else None
