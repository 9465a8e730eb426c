"""The Pods from which a run calls in a cluster, as manifests; pure.

One with a workload's identity has its namespace, service account and labels, and so its sidecar and what policies and
routes say of it. It must not get any of its requests: a readiness gate that nobody opens keeps it out of endpoints. All
of a namespace are owned by one ConfigMap, as their controller, so that no ReplicaSet adopts them for their labels, and
they go when it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from meshchaos.errors import UserError
from meshchaos.mesh.changes import Create
from meshchaos.mesh.edits import OWN_PREFIX
from meshchaos.mesh.istio.injection import INJECT, STATUS
from meshchaos.mesh.kubernetes.views import CALLER
from meshchaos.mesh.objects import annotations_of, ref_of, selects
from meshchaos.mesh.seam import Snapshot, Workload

PORT: Final = 15990
"""On the Pod's loopback, beside those of Istio's own (15000 to 15090)."""
CONTAINER: Final = "meshchaos"
OUTSIDE: Final = "outside"
_GATE: Final = "meshchaos.dev/never"
_OF_ONE_POD: Final = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
    }
)
"""Labels that controllers put on and select by."""
_KEPT: Final = ("sidecar.istio.io/", "proxy.istio.io/", "traffic.sidecar.istio.io/", "inject.istio.io/")
"""Annotations that say how a sidecar is made."""
_USER: Final = 65532


def owner(run_id: str, namespace: str) -> Create:
    """What a namespace's callers belong to."""
    return Create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{OWN_PREFIX}{run_id}-callers", "namespace": namespace},
            "data": {"about": "owns the Pods from which this run calls; deleting it deletes them"},
        }
    )


def pod(run_id: str, at: str, image: str, owned_by: str, mesh: Snapshot) -> Create:
    """The Pod of a caller: ``<workload>.<namespace>``, or ``outside.<namespace>``, which has no sidecar. ``owned_by``:
    the uid of ``owner``.
    """
    name, _, namespace = at.rpartition(".")
    workload = None if name == OUTSIDE else workload_of(at, mesh)
    template = _template(workload, mesh) if workload is not None else {}
    spec = template.get("spec") or {}
    labels = {key: value for key, value in (workload.labels if workload else {}).items() if key not in _OF_ONE_POD}
    annotations = {key: value for key, value in annotations_of(template).items() if key.startswith(_KEPT)}
    annotations.pop(STATUS, None)  # of a manifest that kube-inject was over: the webhook would leave ours alone
    like_it = {key: spec[key] for key in ("imagePullSecrets", "nodeSelector", "tolerations") if spec.get(key)}
    return Create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{OWN_PREFIX}{run_id}-from-{name}"[:253],
                "namespace": namespace,
                "labels": {**labels, INJECT: "true" if workload is not None else "false"},
                "annotations": {**annotations, CALLER: name},
                "ownerReferences": [
                    {
                        "apiVersion": "v1",
                        "kind": "ConfigMap",
                        "name": ref_of(owner(run_id, namespace).manifest).name,
                        "uid": owned_by,
                        "controller": True,
                    }
                ],
            },
            "spec": {
                **like_it,
                "serviceAccountName": workload.service_account if workload is not None else "default",
                "automountServiceAccountToken": False,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "readinessGates": [{"conditionType": _GATE}],
                "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [_container(image)],
                "volumes": [{"name": "meshchaos", "emptyDir": {}}],
            },
        }
    )


def workload_of(at: str, mesh: Snapshot) -> Workload:
    """Of a caller's name. Raises UserError where it went since."""
    name, _, namespace = at.rpartition(".")
    for one in mesh.workloads:
        if (one.name, one.namespace) == (name, namespace):
            return one
    raise UserError(f"there is no workload {name} in namespace {namespace} any more")


def refusal(workload: Workload, mesh: Snapshot) -> str | None:
    """Why no Pod of ours may have a workload's labels; None: one may."""
    for service in mesh.of_kind("Service"):
        spec = service.get("spec") or {}
        mine = service["metadata"]["namespace"] == workload.namespace and spec.get("selector")
        if mine and spec.get("publishNotReadyAddresses") and selects(spec["selector"], workload.labels):
            return (
                f"{ref_of(service)} has publishNotReadyAddresses, so requests for {workload.name} would be sent to a "
                "Pod that only calls"
            )
    return None


def counted_by(at: str, mesh: Snapshot) -> Iterator[str]:
    """Who takes a caller's Pod for a replica of its workload; one line each."""
    if at.startswith(f"{OUTSIDE}."):
        return
    workload = workload_of(at, mesh)
    for one in mesh.of_kind("HorizontalPodAutoscaler"):
        target = (one.get("spec") or {}).get("scaleTargetRef") or {}
        place = one["metadata"]["namespace"]
        if (target.get("kind"), target.get("name"), place) == ("Deployment", workload.name, workload.namespace):
            yield f"{ref_of(one)} counts the Pod that calls as {workload.name} as a replica that is not ready"
    for one in mesh.of_kind("PodDisruptionBudget"):
        selector = ((one.get("spec") or {}).get("selector") or {}).get("matchLabels")
        if one["metadata"]["namespace"] == workload.namespace and selector and selects(selector, workload.labels):
            yield f"{ref_of(one)} counts the Pod that calls as {workload.name} as a replica that is not healthy"


def _template(workload: Workload, mesh: Snapshot) -> Mapping[str, Any]:
    for one in mesh.of_kind("Deployment"):
        ref = ref_of(one)
        if (ref.name, ref.namespace) == (workload.name, workload.namespace):
            found: Mapping[str, Any] = one["spec"]["template"]
            return found
    return {}


def _container(image: str) -> dict[str, Any]:
    """No limit of CPU: a generator that is held back measures itself."""
    return {
        **hardened(image, ["python", "-m", "meshchaos.run.agent", str(PORT), "/tmp"]),
        "name": CONTAINER,
        "resources": {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": "1Gi"}},
    }


def hardened(image: str, command: Sequence[str]) -> dict[str, Any]:
    """A container of ours, as the strictest Pod Security Standard wants it; the end of its log says why it ended."""
    return {
        "image": image,
        "command": list(command),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "PYTHONUNBUFFERED", "value": "1"}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "meshchaos", "mountPath": "/tmp"}],
    }
