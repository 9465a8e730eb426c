"""The Job whose Pod puts a run's changes back when the runner and its machine are gone, as manifests; pure.

The run's own Lease owns it: it is there for as long as there is something to put back, and goes when the Lease does,
whoever drops that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from meshchaos.mesh.apply import OWNER_ANNOTATION
from meshchaos.mesh.changes import Change, Create
from meshchaos.mesh.edits import OWN_PREFIX
from meshchaos.mesh.istio.injection import INJECT
from meshchaos.mesh.kubernetes.caller_pod import hardened
from meshchaos.mesh.kubernetes.kinds import Kinds
from meshchaos.mesh.kubernetes.spec import HealerSpec
from meshchaos.mesh.kubernetes.views import HEALER
from meshchaos.mesh.objects import CLUSTER_SCOPED, Manifest

READY_FILE: Final = "/tmp/ready"
"""In the Pod, once its rights were reviewed and it watches the Lease."""
_READY: Final = 90
"""Looks, one a second, until a Pod that is not ready is started again."""

Rights = dict[str, dict[tuple[str, str], set[str]]]
"""Namespace -> (group, resource) -> verbs."""


def rights(kinds: Kinds, namespaces: Sequence[str], changes: Iterable[Change], calling: Iterable[str] = ()) -> Rights:
    """What putting these changes back takes, and seeing in the proxies that they are gone. ``namespaces``: the mesh's,
    its home first; ``calling``: where Pods call for the run.
    """
    found: Rights = {}

    def allow(namespace: str, kind: str, *verbs: str) -> None:
        found.setdefault(namespace, {}).setdefault(kinds.resource(kind), set()).update(verbs)

    home, touched = namespaces[0], {namespaces[0]}
    for change in changes:
        if change.ref.kind not in CLUSTER_SCOPED:
            allow(change.ref.namespace, change.ref.kind, "get", "delete" if isinstance(change, Create) else "update")
            touched.add(change.ref.namespace)
    for place in calling:
        allow(place, "ConfigMap", "get", "delete")
    allow(home, "ConfigMap", "list", "delete")
    for place in dict.fromkeys((*namespaces, *sorted(touched))):
        allow(place, "Lease", "get", *(("update", "delete") if place in touched else ()))
    for place in namespaces:
        allow(place, "Pod", "list")
        found[place].setdefault(("", "pods/portforward"), set()).update(("get", "create"))
    return found


def name_of(run_id: str) -> str:
    return f"{OWN_PREFIX}{run_id}-healer"


def job(run_id: str, healer: HealerSpec, form: Mapping[str, Any], lease: Manifest) -> Manifest:
    """``form``: what the Pod is told, no secret in it; ``lease``: the run's, in the mesh's home."""
    labels = {"app.kubernetes.io/name": "meshchaos-healer", HEALER: run_id, INJECT: "false"}
    namespace = str(lease["metadata"]["namespace"])
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name_of(run_id),
            "namespace": namespace,
            "labels": labels,
            "annotations": {OWNER_ANNOTATION: run_id},
            "ownerReferences": [
                {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "name": lease["metadata"]["name"],
                    "uid": lease["metadata"]["uid"],
                }
            ],
        },
        "spec": {
            "backoffLimit": 20,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": healer.service_account,
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 1,
                    "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [_container(healer.image, form)],
                    "volumes": [{"name": "meshchaos", "emptyDir": {}}],
                },
            },
        },
    }


def _container(image: str, form: Mapping[str, Any]) -> dict[str, Any]:
    look = f"open({READY_FILE!r}).close()"
    return {
        **hardened(image, ["python", "-m", "meshchaos.mesh.kubernetes.healer", json.dumps(form, default=str)]),
        "name": "healer",
        "resources": {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        # Ready as soon as this succeeds once: there is nothing that it serves.
        "startupProbe": {"exec": {"command": ["python", "-c", look]}, "periodSeconds": 1, "failureThreshold": _READY},
    }
