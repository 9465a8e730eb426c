"""Deployment and Pod.

What a container is made of (image, command, environment, probes, resources, volumes, security) does nothing here: the
mesh definition says what runs in its place, and readiness is what the local mesh sees itself. Such fields are accepted
as they are. Fields that would change who gets traffic, from where or how are looked at, and refused where not built.
"""

from __future__ import annotations

from typing import Any

from meshchaos.mesh.local.objects.kinds.kind import Kind
from meshchaos.mesh.local.objects.schema import (
    Check,
    Path,
    Problem,
    anything,
    distinct,
    integer,
    listing,
    mapping,
    only,
    record,
    text,
    unsupported,
    word,
)
from meshchaos.mesh.local.objects.values import dns_label, label_key, label_value, object_name
from meshchaos.mesh.objects import Manifest, selects

LABELS = mapping(text(label_value, empty=True), key=label_key)
ANNOTATIONS = mapping(text(empty=True), key=label_key)


def _accepted(*names: str) -> dict[str, Check]:
    return dict.fromkeys(names, anything)


CONTAINER_PORT = record(
    {
        "containerPort": integer(1, 65535),
        "name": text(dns_label),
        "protocol": word("TCP", "UDP", "SCTP"),
        "hostPort": unsupported(),
        "hostIP": unsupported(),
    },
    required=("containerPort",),
)

CONTAINER = record(
    {
        "name": text(dns_label),
        "ports": listing(CONTAINER_PORT),
        **_accepted(
            *("image", "imagePullPolicy", "command", "args", "workingDir", "env", "envFrom", "resources", "lifecycle"),
            *("volumeMounts", "volumeDevices", "securityContext", "livenessProbe", "readinessProbe", "startupProbe"),
            *("stdin", "stdinOnce", "tty", "terminationMessagePath", "terminationMessagePolicy", "resizePolicy"),
            "restartPolicy",
        ),
    },
    required=("name",),
)

POD_FIELDS: dict[str, Check] = {
    "containers": listing(CONTAINER, nonempty=True, rules=(distinct("name"),)),
    "initContainers": listing(CONTAINER),
    "serviceAccountName": text(object_name, empty=True),
    "serviceAccount": text(object_name, empty=True),
    "restartPolicy": only("Always"),
    "hostNetwork": only(False, "Pods in the node's network have no sidecar and no address of their own: not supported"),
    "readinessGates": unsupported(),
    "hostAliases": unsupported(),
    "activeDeadlineSeconds": unsupported(),
    **_accepted(
        *("affinity", "automountServiceAccountToken", "dnsConfig", "dnsPolicy", "enableServiceLinks", "hostIPC"),
        *("hostPID", "hostUsers", "imagePullSecrets", "nodeName", "nodeSelector", "os", "overhead", "preemptionPolicy"),
        *("priority", "priorityClassName", "resources", "runtimeClassName", "schedulerName", "securityContext"),
        *("shareProcessNamespace", "terminationGracePeriodSeconds", "tolerations", "topologySpreadConstraints"),
        *("hostname", "subdomain", "volumes"),
    ),
}

TEMPLATE = record(
    {
        "metadata": record(
            {
                "labels": LABELS,
                "annotations": ANNOTATIONS,
                "name": text(),
                "namespace": text(),
                "creationTimestamp": anything,
            },
        ),
        "spec": record(POD_FIELDS, required=("containers",)),
    },
    required=("spec",),
)

REQUIREMENT = record(
    {
        "key": text(label_key),
        "operator": word("In", "NotIn", "Exists", "DoesNotExist"),
        "values": listing(text(label_value, empty=True)),
    },
    required=("key", "operator"),
)


def _selected(spec: Any) -> str | None:
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    selector = spec["selector"]
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        return "selector must not be empty"
    fits = selects(selector.get("matchLabels"), labels) and all(
        _fits(requirement, labels) for requirement in selector.get("matchExpressions", ())
    )
    return None if fits else "selector does not match template.metadata.labels"


def _fits(requirement: dict[str, Any], labels: dict[str, str]) -> bool:
    value, values = labels.get(requirement["key"]), requirement.get("values", ())
    match requirement["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None


DEPLOYMENT = record(
    {
        "replicas": integer(0, 1000),
        "selector": record({"matchLabels": LABELS, "matchExpressions": listing(REQUIREMENT)}),
        "template": TEMPLATE,
        "paused": only(False),
        # How a new template is rolled out; the local mesh changes all Pods at once.
        **_accepted("strategy", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"),
    },
    required=("selector", "template"),
    rules=(_selected,),
)


def deployment_defaults(manifest: Manifest) -> None:
    """``replicas`` 1, as Kubernetes has it; the older name of serviceAccountName is moved to it."""
    manifest["spec"].setdefault("replicas", 1)
    pod = manifest["spec"]["template"]["spec"]
    older = pod.pop("serviceAccount", "")
    pod["serviceAccountName"] = pod.get("serviceAccountName") or older or "default"


def _pod_spec(value: Any, path: Path, problems: list[Problem]) -> None:
    record(POD_FIELDS, required=("containers",))(value, path, problems)


KINDS = (
    Kind("Deployment", ("apps/v1",), {"spec": DEPLOYMENT}, defaults=deployment_defaults, typed=True),
    Kind("Pod", ("v1",), {"spec": _pod_spec}, typed=True),
)
