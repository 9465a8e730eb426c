"""Kubernetes' own small kinds: Namespace, ServiceAccount, Service, and those that do nothing to traffic."""

from __future__ import annotations

from typing import Any

from meshchaos.mesh.local.objects.kinds.kind import Kind
from meshchaos.mesh.local.objects.kinds.mesh_config import mesh_config
from meshchaos.mesh.local.objects.schema import (
    Check,
    Path,
    Problem,
    anything,
    boolean,
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
from meshchaos.mesh.local.objects.values import dns_label, label_key, label_value
from meshchaos.mesh.objects import Manifest

NO_HEADLESS = "headless Services (clusterIP: None) are not supported by the local mesh; leave clusterIP out"


def port_number_or_name(value: Any, path: Path, problems: list[Problem]) -> None:
    """``targetPort``: a port, or the name of a container's port."""
    check: Check = text(dns_label) if isinstance(value, str) else integer(1, 65535)
    check(value, path, problems)


def cluster_ip(value: Any, path: Path, problems: list[Problem]) -> None:
    """An address is accepted and not used (the local mesh gives its own); ``None`` is refused."""
    text(lambda ip: NO_HEADLESS if ip == "None" else None, empty=True)(value, path, problems)


def ports_have_names(ports: Any) -> str | None:
    """As Kubernetes asks: names where there are several."""
    return "with several ports each needs a name" if len(ports) > 1 and not all("name" in p for p in ports) else None


SERVICE_PORT = record(
    {
        "name": text(dns_label, empty=True),
        "port": integer(1, 65535),
        "targetPort": port_number_or_name,
        "protocol": only("TCP", "only TCP is supported by the local mesh"),
        "appProtocol": text(),
        "nodePort": integer(0, 65535),
    },
    required=("port",),
)

SERVICE = record(
    {
        "selector": mapping(text(label_value, empty=True), key=label_key, nonempty=True),
        "ports": listing(SERVICE_PORT, nonempty=True, rules=(ports_have_names, distinct("name"), distinct("port"))),
        "type": word("ClusterIP", "NodePort", "LoadBalancer"),
        "clusterIP": cluster_ip,
        "clusterIPs": listing(cluster_ip),
        "externalName": unsupported("ExternalName Services are not supported by the local mesh"),
        "externalIPs": unsupported(),
        "sessionAffinity": only("None", "session affinity is not supported by the local mesh"),
        "publishNotReadyAddresses": only(False),
        "internalTrafficPolicy": only("Cluster"),
        "trafficDistribution": unsupported(),
        "loadBalancerSourceRanges": unsupported(),
        "ipFamilies": only(["IPv4"], "the local mesh is IPv4 only"),
        "ipFamilyPolicy": word("SingleStack", "PreferDualStack"),
        # How the world outside reaches a node or a load balancer: nothing that is inside the local mesh.
        "externalTrafficPolicy": word("Cluster", "Local"),
        "healthCheckNodePort": anything,
        "allocateLoadBalancerNodePorts": boolean,
        "loadBalancerClass": anything,
        "loadBalancerIP": anything,
    },
    required=("selector", "ports"),
)


def service_defaults(manifest: Manifest) -> None:
    """``type``, and each port's ``protocol`` and ``targetPort``."""
    spec = manifest["spec"]
    spec.setdefault("type", "ClusterIP")
    for port in spec["ports"]:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])


def external_name(value: Any, path: Path, problems: list[Problem]) -> None:
    """A Service's spec; says ExternalName first, where everything else would be beside the point."""
    if isinstance(value, dict) and value.get("type") == "ExternalName":
        problems.append(Problem((*path, "type"), "ExternalName Services are not supported by the local mesh"))
    else:
        SERVICE(value, path, problems)


def _inert(name: str, version: str, *fields: str, whole: Check | None = None) -> Kind:
    return Kind(name, (version,), dict.fromkeys(fields, anything), required=(), typed=True, whole=whole)


KINDS = (
    Kind("Namespace", ("v1",), {"spec": anything}, required=(), naming=dns_label, typed=True),
    Kind(
        "ServiceAccount",
        ("v1",),
        dict.fromkeys(("secrets", "imagePullSecrets", "automountServiceAccountToken"), anything),
        required=(),
        typed=True,
    ),
    Kind("Service", ("v1",), {"spec": external_name}, defaults=service_defaults, naming=dns_label, typed=True),
    # They reach only containers, the scheduler or users of the API server, none of which exist here.
    _inert("ConfigMap", "v1", "data", "binaryData", "immutable", whole=mesh_config),
    _inert("PersistentVolumeClaim", "v1", "spec"),
    _inert("PodDisruptionBudget", "policy/v1", "spec"),
    _inert("Role", "rbac.authorization.k8s.io/v1", "rules"),
    _inert("RoleBinding", "rbac.authorization.k8s.io/v1", "roleRef", "subjects"),
)
