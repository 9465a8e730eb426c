"""What several of Istio's kinds have in common."""

from __future__ import annotations

from typing import Any

from meshchaos.mesh.local.objects.schema import integer, listing, mapping, record, text, unsupported
from meshchaos.mesh.local.objects.values import dns_label, label_key, label_value

ISTIO_NETWORKING = ("networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3")

ISTIO_SECURITY = ("security.istio.io/v1", "security.istio.io/v1beta1")

PORT_SELECTOR = record({"number": integer(1, 65535)}, required=("number",))

LABELS = mapping(text(label_value, empty=True), key=label_key)

_TARGETS = "is for gateways of the Gateway API and waypoints, which the local mesh does not have; write selector"
NO_TARGETS = {"targetRef": unsupported(_TARGETS), "targetRefs": unsupported(_TARGETS)}

SELECTOR = record({"matchLabels": LABELS})
"""Istio's WorkloadSelector of security and telemetry; without labels it is the same as none."""


def _visibility(value: Any) -> str | None:
    return None if value in {".", "*"} else dns_label(value)


def _public_alone(entries: Any) -> str | None:
    if len(set(entries)) < len(entries):
        return "names a namespace twice"
    return "* already means every namespace; nothing may stand beside it" if "*" in entries and entries[1:] else None


EXPORT_TO = listing(text(_visibility), rules=(_public_alone,))
"""``.`` (its own namespace), ``*`` or namespaces."""
