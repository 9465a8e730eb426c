"""The kinds of objects that the local mesh takes, one module for a big one.

To add a kind: a module with ``KINDS`` in this folder, and its name in ``_MODULES``.
"""

from __future__ import annotations

from typing import Final

from meshchaos.mesh.local.objects.kinds import (
    authorization_policy,
    core,
    deployment,
    destination_rule,
    envoy_filter,
    gateway,
    peer_authentication,
    request_authentication,
    service_entry,
    telemetry,
    virtual_service,
)
from meshchaos.mesh.local.objects.kinds.kind import Kind

_MODULES = (
    authorization_policy,
    core,
    deployment,
    destination_rule,
    envoy_filter,
    gateway,
    peer_authentication,
    request_authentication,
    service_entry,
    telemetry,
    virtual_service,
)

REGISTRY: Final[dict[str, Kind]] = {kind.name: kind for module in _MODULES for kind in module.KINDS}

_YET: Final = "is not supported by the local mesh yet"
_AS_ENDPOINT: Final = "is not supported by the local mesh; write it as an endpoint of a ServiceEntry"
_AS_DEPLOYMENT: Final = "is not supported by the local mesh; write it as a Deployment"

REFUSED: Final[dict[str, str]] = {
    **dict.fromkeys(("WorkloadEntry", "WorkloadGroup"), _AS_ENDPOINT),
    "Sidecar": _YET,
    **dict.fromkeys(("ProxyConfig", "WasmPlugin", "Ingress", "NetworkPolicy"), "is not supported by the local mesh"),
    **dict.fromkeys(("HTTPRoute", "GRPCRoute", "GatewayClass", "ReferenceGrant"), _YET),
    **dict.fromkeys(("StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"), _AS_DEPLOYMENT),
    **dict.fromkeys(("Job", "CronJob"), "is not supported by the local mesh: programs that end are no workloads of it"),
    "HorizontalPodAutoscaler": "is not supported by the local mesh: replicas stay what the Deployment says",
    "Secret": "is not taken by the local mesh, which keeps no secrets; leave it out of its manifests",
    "Endpoints": "is not supported by the local mesh: endpoints are the Pods that a Service selects",
    "EndpointSlice": "is not supported by the local mesh: endpoints are the Pods that a Service selects",
    "Kustomization": "is not read; build it first (kubectl kustomize FOLDER) and name the result",
    "CustomResourceDefinition": "is not supported by the local mesh",
}
"""Kinds that exist and are refused, and why."""

__all__ = ["REFUSED", "REGISTRY", "Kind"]
