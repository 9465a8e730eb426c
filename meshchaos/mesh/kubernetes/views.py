"""Pods and Deployments in the words of the seam: replicas and workloads; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from meshchaos.mesh.istio.injection import PROXY_CONTAINER, injected, is_gateway
from meshchaos.mesh.objects import Manifest, annotations_of, labels_of
from meshchaos.mesh.seam import Replica, Workload

AMBIENT: Final = "ambient.istio.io/redirection"
"""Annotation of a Pod whose traffic ztunnel takes."""
CALLER: Final = "meshchaos.dev/caller"
"""Annotation of a Pod that calls for a run: the workload whose identity it has."""
HEALER: Final = "meshchaos.dev/healer"
"""Label of a Pod that heals a run if need be: the run."""
_HASH: Final = "pod-template-hash"


def replica_of(pod: Manifest) -> Replica:
    """A Pod as the seam shows it. Its proxy counts as a sidecar unless it runs as a router."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    containers = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return Replica(
        name=str(metadata["name"]),
        workload=workload_name(pod),
        namespace=str(metadata["namespace"]),
        address=str(status.get("podIP") or ""),
        labels=labels_of(pod),
        service_account=str(spec.get("serviceAccountName") or "default"),
        sidecar=has_proxy(pod) and not is_gateway(pod, ()),
        ready=_ready(pod),
        restarts=sum(int(one.get("restartCount") or 0) for one in containers),
        caller=bool(calls_as(pod)),
    )


def workload_name(pod: Manifest) -> str:
    """That as which it calls for a run; the Deployment's, by its ReplicaSet's name and the hash in it; else that of
    whatever owns the Pod, or its own.
    """
    if caller := calls_as(pod):
        return caller
    owners = (pod["metadata"].get("ownerReferences") or ()) if pod.get("metadata") else ()
    owner = next((one for one in owners if one.get("controller")), None)
    if owner is None:
        return str(pod["metadata"]["name"])
    suffix = f"-{labels_of(pod).get(_HASH, '')}"
    name = str(owner["name"])
    return name.removesuffix(suffix) if owner.get("kind") == "ReplicaSet" and len(suffix) > 1 else name


def workloads_of(
    pods: Sequence[Manifest],
    deployments: Iterable[Manifest],
    namespaces: Mapping[str, Manifest],
    gateways: Sequence[Manifest],
    named: Sequence[str],
) -> list[Workload]:
    """Every Deployment, also one that has no Pod now, and whatever else owns Pods; beyond the namespaces ``named`` only
    gateways. Completed Pods and those that end are none.
    """
    own: dict[tuple[str, str], list[Manifest]] = {}
    for pod in pods:
        own.setdefault((str(pod["metadata"]["namespace"]), workload_name(pod)), []).append(pod)
    templates: dict[tuple[str, str], Mapping[str, Any]] = {
        (str(one["metadata"]["namespace"]), str(one["metadata"]["name"])): one["spec"]["template"]
        for one in deployments
    }
    found = []
    for namespace, name in sorted({*templates, *own}):
        running = own.get((namespace, name), [])
        template = templates.get((namespace, name)) or running[0]
        gateway = is_gateway(running[0] if running else template, gateways)
        if namespace not in named and not gateway:
            continue
        replicas = tuple(replica_of(pod) for pod in running)
        found.append(
            Workload(
                name=name,
                namespace=namespace,
                labels=dict((template.get("metadata") or {}).get("labels") or {}),
                service_account=str((template.get("spec") or {}).get("serviceAccountName") or "default"),
                # What runs says it best: injection is decided when a Pod is made.
                sidecar=not gateway
                and (replicas[0].sidecar if replicas else injected(namespaces.get(namespace), template)),
                gateway=gateway,
                replicas=replicas,
            )
        )
    return found


def living(pod: Manifest) -> bool:
    """Whether it serves or is going to: not ended, not about to end."""
    phase = (pod.get("status") or {}).get("phase")
    return phase not in ("Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp")


def has_proxy(pod: Manifest) -> bool:
    """Whether a proxy of Istio's runs in it, as a container or as a native sidecar."""
    spec = pod.get("spec") or {}
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return any(one.get("name") == PROXY_CONTAINER for one in containers)


def in_ambient(pod: Manifest) -> bool:
    """Whether ztunnel takes its traffic."""
    return annotations_of(pod).get(AMBIENT) == "enabled"


def calls_as(pod: Manifest) -> str:
    """The workload as which a Pod of a run's own calls; empty for every other Pod."""
    return annotations_of(pod).get(CALLER, "")


def of_a_run(pod: Manifest) -> bool:
    """Whether a run made it: no workload of the mesh's."""
    return bool(calls_as(pod)) or HEALER in labels_of(pod)


def _ready(pod: Manifest) -> bool:
    """A caller is never ready, so that nobody is sent to it; its proxy answers when its containers are."""
    wanted = "ContainersReady" if calls_as(pod) else "Ready"
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == wanted and one.get("status") == "True" for one in conditions) and living(pod)
