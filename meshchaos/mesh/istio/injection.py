"""Which Pods get a proxy, by Istio's own rules (webhook selectors and ``pkg/kube/inject``), and which are gateways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from meshchaos.mesh.objects import Manifest, annotations_of, labels_of, selects

Role = Literal["plain", "sidecar", "gateway"]

INJECT: Final = "sidecar.istio.io/inject"
STATUS: Final = "sidecar.istio.io/status"
TEMPLATES: Final = "inject.istio.io/templates"
ROLE: Final = "meshchaos.dev/proxy"
"""Annotation on a Pod of the local mesh: what proxy it was given when it was made."""

PROXY_CONTAINER: Final = "istio-proxy"
_NEVER: Final = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})
_YES: Final = frozenset({"y", "yes", "true", "on"})


def injected(namespace: Mapping[str, Any] | None, template: Mapping[str, Any], inject_all: bool = False) -> bool:
    """Whether Pods of ``template`` in ``namespace`` (its manifest) run with a sidecar.

    - A manifest that ``istioctl kube-inject`` has been over has one, whatever the labels.
    - ``istio-injection`` of the namespace goes before ``istio.io/rev``; any revision counts as the one that is here.
    - In an enabled namespace the Pod's label ``sidecar.istio.io/inject`` (else its annotation) may say no; in one with
      neither label, only the *label* may say yes. An annotation alone never does: the webhook does not see it.
    - ``inject_all`` treats every namespace as enabled; a Pod that says no is still left out.
    """
    spec, metadata = template.get("spec") or {}, template.get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if STATUS in annotations or _proxy_container(spec) is not None:
        return True
    name = str(((namespace or {}).get("metadata") or {}).get("name", ""))
    if spec.get("hostNetwork") or name in _NEVER:
        return False
    label = labels.get(INJECT)
    if label == "false":
        return False  # the webhook's own selector
    says = str(label if label is not None else annotations.get(INJECT, "")).lower()
    return _asked(labels_of(namespace or {}), labels, inject_all) and (says == "" or says in _YES)


def _asked(namespace: Mapping[str, str], pod: Mapping[str, str], inject_all: bool) -> bool:
    """Whether one of the webhook's four selectors lets the Pod through to the injector."""
    if inject_all:
        return True
    if "istio-injection" in namespace:
        return namespace["istio-injection"] == "enabled"
    return "istio.io/rev" in namespace or "istio.io/rev" in pod or pod.get(INJECT) == "true"


def is_gateway(template: Mapping[str, Any], gateways: Iterable[Manifest]) -> bool:
    """Whether Pods of ``template`` are gateways: made from the injector's gateway template, a bare proxy that runs as a
    router, or selected by a Gateway.
    """
    labels = (template.get("metadata") or {}).get("labels") or {}
    if "gateway" in annotations_of(template).get(TEMPLATES, "").split(","):
        return True
    proxy = _proxy_container(template.get("spec") or {})
    if proxy is not None and "router" in (proxy.get("args") or ()):
        return True
    selectors = [(gateway.get("spec") or {}).get("selector") for gateway in gateways]
    return any(selector and selects(selector, labels) for selector in selectors)


def role_of(pod: Manifest) -> Role:
    """What proxy a Pod of the local mesh runs with; decided when it was made, as injection is."""
    found = annotations_of(pod).get(ROLE)
    return "gateway" if found == "gateway" else "sidecar" if found == "sidecar" else "plain"


def template_labels(deployment: Manifest) -> dict[str, str]:
    """The labels of a Deployment's Pods."""
    return labels_of(deployment["spec"]["template"])


def _proxy_container(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return next((container for container in containers if container.get("name") == PROXY_CONTAINER), None)
