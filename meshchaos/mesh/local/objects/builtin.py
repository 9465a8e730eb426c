"""What every cluster with Istio has and no application's manifests bring: namespaces, and the gateways themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from meshchaos.mesh.istio.injection import TEMPLATES, template_labels
from meshchaos.mesh.local.objects.validate import admit
from meshchaos.mesh.local.world import ROOT_NAMESPACE
from meshchaos.mesh.objects import Manifest, Ref, ref_of, selects

_INSTALLED: Final[tuple[tuple[str, str, Mapping[str, str]], ...]] = (
    ("istio-ingressgateway", ROOT_NAMESPACE, {"app": "istio-ingressgateway", "istio": "ingressgateway"}),
    ("istio-egressgateway", ROOT_NAMESPACE, {"app": "istio-egressgateway", "istio": "egressgateway"}),
    ("istio-ingress", "istio-ingress", {"app": "istio-ingress", "istio": "ingress"}),
)
"""Name, namespace and labels of the gateways that Istio's installers make: ``istioctl install``, then Helm's."""


def additions(objects: Iterable[Manifest]) -> list[Manifest]:
    """What is to be added to the manifests: the namespaces ``default`` and ``istio-system``, and each of Istio's own
    gateways that a Gateway selects when no Deployment of the manifests has its labels. None twice.
    """
    given = list(objects)
    there = {ref_of(manifest) for manifest in given}
    made = [_namespace("default"), _namespace(ROOT_NAMESPACE)]
    for selector in _unserved(given):
        for name, namespace, labels in _INSTALLED:
            if selector and selects(selector, labels):
                made += [_namespace(namespace), *gateway(name, namespace, labels)]
                break
    fresh: dict[Ref, Manifest] = {}
    for manifest in made:
        ref = ref_of(manifest)
        if ref not in there:
            fresh.setdefault(ref, manifest)
    return list(fresh.values())


def gateway(name: str, namespace: str, labels: Mapping[str, str]) -> list[Manifest]:
    """A gateway as Istio installs it: ServiceAccount, Service (80 to 8080, 443 to 8443), Deployment of one replica."""
    account = f"{name}-service-account"
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
    ports = [
        {"name": "http2", "port": 80, "targetPort": 8080},
        {"name": "https", "port": 443, "targetPort": 8443},
    ]
    container = {
        "name": "istio-proxy",
        "image": "auto",
        "ports": [{"containerPort": port["targetPort"]} for port in ports],
    }
    template = {
        "metadata": {"labels": dict(labels), "annotations": {TEMPLATES: "gateway"}},
        "spec": {"serviceAccountName": account, "containers": [container]},
    }
    raw: list[Manifest] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": namespace}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"type": "LoadBalancer", "selector": dict(labels), "ports": ports},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"replicas": 1, "selector": {"matchLabels": dict(labels)}, "template": template},
        },
    ]
    return [admit(manifest) for manifest in raw]


def _namespace(name: str) -> Manifest:
    return admit({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def _unserved(objects: Iterable[Manifest]) -> list[Mapping[str, str]]:
    given = list(objects)
    pods = [template_labels(manifest) for manifest in given if manifest["kind"] == "Deployment"]
    selectors = [manifest["spec"].get("selector") or {} for manifest in given if manifest["kind"] == "Gateway"]
    return [selector for selector in selectors if not any(selects(selector, labels) for labels in pods)]
