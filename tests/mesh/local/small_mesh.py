"""A mesh as small as can be, for tests that start it for real: ``web`` calls ``api``, both with a sidecar."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from meshchaos.mesh.local.objects import builtin
from meshchaos.mesh.local.spec import MeshSpec, ProgramSpec, StubSpec
from meshchaos.mesh.objects import Manifest

NAMESPACE = "shop"


def service(name: str) -> list[Manifest]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}
    container = {"name": name, "image": "x", "ports": [{"containerPort": 8080}]}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"serviceAccountName": name, "containers": [container]},
                },
            },
        },
    ]


def manifests(names: Sequence[str] = ("web", "api")) -> list[Manifest]:
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"istio-injection": "enabled"}},
    }
    objects = [namespace, *(part for name in names for part in service(name))]
    return [*builtin.additions(objects), *objects]


def small(
    logs: Path, names: Sequence[str] = ("web", "api"), workloads: dict[str, StubSpec | ProgramSpec] | None = None
) -> MeshSpec:
    return MeshSpec(
        mesh="small",
        config=str(logs.parent / "meshchaos.yaml"),
        folder=str(logs.parent),
        logs=str(logs),
        manifests=tuple(manifests(names)),
        workloads=workloads if workloads is not None else {"web": StubSpec(calls=({"url": "http://api/"},))},
    )


def fault(name: str, status: int = 503, app: str = "api") -> Manifest:
    """An abort of everything at the inbound side of ``app``."""
    value = {
        "typed_per_filter_config": {
            "envoy.filters.http.fault": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
                "abort": {"http_status": status, "percentage": {"numerator": 100}},
            }
        }
    }
    patch = {
        "applyTo": "HTTP_ROUTE",
        "match": {"context": "SIDECAR_INBOUND"},
        "patch": {"operation": "MERGE", "value": value},
    }
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"workloadSelector": {"labels": {"app": app}}, "configPatches": [patch]},
    }


def until(check: Callable[[], Any], what: str, within: float = 20.0) -> Any:
    """Waits for a condition; what it gave."""
    end = time.monotonic() + within
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, f"not within {within:g} s: {what}"
        time.sleep(0.01)


def below(pid: int) -> set[int]:
    """The process and everything below it that lives."""
    from meshchaos.mesh.local.linux import children_of

    return {pid, *children_of({pid})}


def living(pids: set[int]) -> set[int]:
    """Those that still run; zombies do not."""
    found = set()
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        except OSError:
            continue
        if text[text.rfind(")") + 2] not in "ZX":
            found.add(pid)
    return found - {os.getpid()}
