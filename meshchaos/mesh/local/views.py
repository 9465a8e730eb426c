"""The local world in the words of the seam: replicas, workloads, namespaces; pure."""

from __future__ import annotations

from meshchaos.mesh.istio.injection import injected, is_gateway
from meshchaos.mesh.local.world import ROOT_NAMESPACE, LocalReplica, World
from meshchaos.mesh.seam import Replica, Workload


def replica_of(local: LocalReplica) -> Replica:
    """A replica as the seam shows it."""
    return Replica(
        name=local.name,
        workload=local.workload,
        namespace=local.namespace,
        address=local.address,
        labels=dict(local.labels),
        service_account=local.service_account,
        sidecar=local.sidecar,
        ready=local.serving,
        restarts=local.restarts,
    )


def workloads_of(world: World) -> list[Workload]:
    """Every Deployment with its replicas, also one that has none now."""
    namespaces = {m["metadata"]["name"]: m for m in world.objects if m["kind"] == "Namespace"}
    gateways = [m for m in world.objects if m["kind"] == "Gateway"]
    found = []
    for manifest in world.objects:
        if manifest["kind"] != "Deployment":
            continue
        name, namespace = str(manifest["metadata"]["name"]), str(manifest["metadata"]["namespace"])
        template = manifest["spec"]["template"]
        own = [r for r in world.replicas if r.workload == name and r.namespace == namespace]
        gateway = is_gateway(template, gateways)
        found.append(
            Workload(
                name=name,
                namespace=namespace,
                labels=dict((template.get("metadata") or {}).get("labels") or {}),
                service_account=str(template["spec"].get("serviceAccountName") or "default"),
                # What runs says it best: injection is decided when a Pod is made.
                sidecar=own[0].sidecar if own else not gateway and injected(namespaces.get(namespace), template),
                gateway=gateway,
                replicas=tuple(replica_of(replica) for replica in own),
            )
        )
    return found


def namespaces_of(world: World) -> list[str]:
    """Namespaces with workloads, in the order of the manifests; Istio's own and empty ones after them."""
    busy = [str(m["metadata"]["namespace"]) for m in world.objects if m["kind"] == "Deployment"]
    named = [str(m["metadata"]["name"]) for m in world.objects if m["kind"] == "Namespace"]
    first = [name for name in busy if name != ROOT_NAMESPACE]
    return list(dict.fromkeys([*first, *named]))
