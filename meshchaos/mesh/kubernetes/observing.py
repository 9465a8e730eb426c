"""The access log that a run adds to proxies, by EnvoyFilters; pure.

Stock Istio logs nothing, and a Telemetry object only turns on the mesh's own format, which knows neither attempts nor
the hosts they went to nor the peer's identity. So a filter merges one more access logger, in our format, to standard
output, where the API server serves it. Every line carries the filter's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from meshchaos.mesh.changes import Create
from meshchaos.mesh.edits import OWN_PREFIX
from meshchaos.mesh.log_format import FORMAT
from meshchaos.mesh.objects import Manifest
from meshchaos.mesh.seam import Workload

MANAGER: Final = "envoy.filters.network.http_connection_manager"
_TYPES: Final = "type.googleapis.com/envoy.extensions"
MARK: Final = "meshchaos"


def log_name(run_id: str) -> str:
    """Of the filters of one run; in every line under ``MARK``."""
    return f"{OWN_PREFIX}{run_id}-log"


def mark(run_id: str) -> bytes:
    """What is in the run's lines and in no others."""
    return f'"{MARK}":"{log_name(run_id)}"'.encode()


def log_filters(
    run_id: str, workloads: Iterable[Workload], headers: Sequence[str], root_namespace: str
) -> list[Create]:
    """One filter for all sidecars of each namespace, and one for each gateway; ``headers`` are logged, too.

    A filter in the root namespace acts in all of them, so there only gateways get one, chosen by their labels.
    """
    found: dict[tuple[str, str], Create] = {}
    name = log_name(run_id)
    for workload in workloads:
        if workload.gateway:
            key = (workload.namespace, workload.name)
            selector = {"workloadSelector": {"labels": _identity(workload)}}
            patches = [_patch("GATEWAY", "outbound", name, headers)]
            found.setdefault(key, _create(f"{name}-{workload.name}"[:253], workload.namespace, selector, patches))
        elif workload.sidecar and workload.namespace != root_namespace:
            contexts = (("SIDECAR_INBOUND", "inbound"), ("SIDECAR_OUTBOUND", "outbound"))
            patches = [_patch(context, side, name, headers) for context, side in contexts]
            found.setdefault((workload.namespace, ""), _create(name, workload.namespace, {}, patches))
    return list(found.values())


def _identity(workload: Workload) -> dict[str, str]:
    """The labels of a gateway's Pods that are its own, not those of one version of its template."""
    kept = {key: value for key, value in workload.labels.items() if key in ("app", "istio", "istio.io/gateway-name")}
    return kept or dict(workload.labels)


def _create(name: str, namespace: str, selector: Mapping[str, Any], patches: list[dict[str, Any]]) -> Create:
    manifest: Manifest = {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**selector, "configPatches": patches},
    }
    return Create(manifest)


def _patch(context: str, side: str, name: str, headers: Sequence[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {MARK: name, "side": side, **FORMAT}
    if side == "inbound":
        fields["path"] = "%REQ(:PATH)%"  # as in the local mesh: the server goes by the path itself
    if headers:
        fields["headers"] = {header: f"%REQ({header})%" for header in headers}
    logger = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_TYPES}.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/stdout",
            "log_format": {"json_format": fields},
        },
    }
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "access_log": [logger],
        # A gateway gives requests from outside ids of its own, and ours could not be followed through it.
        **({"preserve_external_request_id": True} if context == "GATEWAY" else {}),
    }
    return {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": context, "listener": {"filterChain": {"filter": {"name": MANAGER}}}},
        "patch": {"operation": "MERGE", "value": {"typed_config": manager}},
    }
