"""Deployments to Pods: what the Deployment and ReplicaSet controllers and Istio's injector do between them; pure."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from meshchaos.mesh.istio.injection import ROLE, STATUS, Role, injected, is_gateway
from meshchaos.mesh.objects import Manifest, Ref, ref_of

HASH_LABEL: Final = "pod-template-hash"
_SAFE: Final = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' alphabet for generated names: no vowels, nothing that looks like something else."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do to the Pods. ``create`` in order, ready for the store; ``remove`` those too many or out of date."""

    create: tuple[Manifest, ...]
    remove: tuple[Ref, ...]


def reconcile(objects: Iterable[Manifest], used: Collection[str] = (), *, inject_all: bool = False) -> Plan:
    """What makes the Pods what the Deployments ask for.

    ``objects`` is the whole store, oldest first. ``used``: names of Pods that ever were, so that a new one is never
    taken for one that died; the same history gives the same names. A Pod of an older template goes, as after a
    finished rollout; of too many the youngest go first.
    """
    everything = list(objects)
    namespaces = {m["metadata"]["name"]: m for m in everything if m["kind"] == "Namespace"}
    gateways = [m for m in everything if m["kind"] == "Gateway"]
    deployments = {ref_of(m): m for m in everything if m["kind"] == "Deployment"}
    pods: dict[Ref, list[Manifest]] = {ref: [] for ref in deployments}
    remove: list[Ref] = []
    for pod in (m for m in everything if m["kind"] == "Pod"):
        owner = owner_of(pod)
        current = deployments.get(owner) if owner is not None else None
        if owner is not None and current is not None and _owning_hash(pod) == template_hash(current):
            pods[owner].append(pod)
        else:
            remove.append(ref_of(pod))
    taken = {*used, *(m["metadata"]["name"] for m in everything if m["kind"] == "Pod")}
    create: list[Manifest] = []
    for ref, deployment in deployments.items():
        wanted = int(deployment["spec"].get("replicas", 1))
        remove.extend(ref_of(pod) for pod in pods[ref][wanted:])
        role = _role(deployment["spec"]["template"], namespaces.get(ref.namespace), gateways, inject_all)
        for _ in range(wanted - len(pods[ref])):
            pod = _pod(deployment, role, taken)
            taken.add(pod["metadata"]["name"])
            create.append(pod)
    return Plan(tuple(create), tuple(remove))


def owner_of(pod: Manifest) -> Ref | None:
    """The Deployment that a Pod belongs to; None for one that is nobody's."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("kind") == "ReplicaSet":
            return Ref("Deployment", pod["metadata"]["namespace"], str(owner["name"]).rpartition("-")[0])
    return None


def template_hash(deployment: Manifest) -> str:
    """Ten characters that change with the Pod template and with nothing else."""
    return _short(json.dumps(deployment["spec"]["template"], sort_keys=True), 10)


def _pod(deployment: Manifest, role: Role, taken: Collection[str]) -> Manifest:
    metadata, template = deployment["metadata"], deployment["spec"]["template"]
    replica_set = f"{metadata['name']}-{template_hash(deployment)}"
    labels = {**(template.get("metadata", {}).get("labels") or {}), HASH_LABEL: template_hash(deployment)}
    annotations = {**(template.get("metadata", {}).get("annotations") or {}), ROLE: role}
    if role == "sidecar":
        annotations.setdefault(STATUS, "injected")
        for key, value in _injected_labels(labels, metadata["name"]).items():
            labels.setdefault(key, value)
    spec: dict[str, Any] = copy.deepcopy(template["spec"])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": _name(replica_set, metadata["namespace"], taken),
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": replica_set, "controller": True}
            ],
        },
        "spec": spec,
    }


def _injected_labels(labels: dict[str, str], workload: str) -> dict[str, str]:
    """What Istio's injector puts on a Pod unless it is there: its canonical service, and that it speaks mutual TLS."""
    names, versions = ("app.kubernetes.io/name", "app"), ("app.kubernetes.io/version", "version")
    return {
        "security.istio.io/tlsMode": "istio",
        "service.istio.io/canonical-name": next((labels[key] for key in names if labels.get(key)), workload),
        "service.istio.io/canonical-revision": next((labels[key] for key in versions if labels.get(key)), "latest"),
    }


def _name(replica_set: str, namespace: str, taken: Collection[str]) -> str:
    count = 0
    while (name := f"{replica_set}-{_short(f'{namespace}/{replica_set}/{count}', 5)}") in taken:
        count += 1
    return name


def _role(template: Manifest, namespace: Manifest | None, gateways: list[Manifest], inject_all: bool) -> Role:
    if is_gateway(template, gateways):
        return "gateway"
    return "sidecar" if injected(namespace, template, inject_all) else "plain"


def _owning_hash(pod: Manifest) -> str:
    """From the owner, not from the label: labels may be edited."""
    return str(pod["metadata"]["ownerReferences"][0]["name"]).rpartition("-")[2]


def _short(text: str, length: int) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    characters = []
    for _ in range(length):
        number, remainder = divmod(number, len(_SAFE))
        characters.append(_SAFE[remainder])
    return "".join(characters)
