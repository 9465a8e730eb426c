"""Access logs as Telemetry objects ask for them (``pilot/pkg/model/telemetry.go``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from meshchaos.mesh.istio.order import namespace_of, oldest_first
from meshchaos.mesh.objects import Manifest, selects

Mode = Literal["CLIENT", "SERVER"]
ROOT_NAMESPACE = "istio-system"


@dataclass(frozen=True, slots=True)
class AccessLogging:
    """A proxy's access log is on; ``expression``: only requests for which this CEL expression holds, all for None."""

    expression: str | None = None


def access_logging(
    objects: Iterable[Manifest],
    namespace: str,
    labels: Mapping[str, str],
    side: Mode,
    root_namespace: str = ROOT_NAMESPACE,
) -> AccessLogging | None:
    """What the provider ``envoy`` logs on one side of a workload; None: nothing, which is what Istio does unasked.

    The mesh's Telemetry, the namespace's and the workload's (the oldest of each) apply in this order. An element
    without providers is about those of the element before it; of the filters beside a provider the last one counts.
    """
    elements = [
        element
        for spec in _applicable(objects, namespace, labels, root_namespace)
        for element in spec.get("accessLogging") or ()
    ]
    expression: str | None = None
    providers: tuple[str, ...] = ()
    logs = False
    for element in elements:
        providers = _names(element) or providers
        if not _concerns(element, side):
            continue
        if _names(element):
            expression = (element.get("filter") or {}).get("expression") or None
        if providers:
            logs = not element.get("disabled")
    return AccessLogging(expression) if logs else None


def _applicable(
    objects: Iterable[Manifest], namespace: str, labels: Mapping[str, str], root_namespace: str
) -> list[Mapping[str, Any]]:
    ordered = oldest_first(objects, "Telemetry")
    places = dict.fromkeys((root_namespace, namespace))
    wide = [
        next((one for one in ordered if namespace_of(one) == place and not _selector(one)), None) for place in places
    ]
    own = (one for one in ordered if namespace_of(one) == namespace)
    narrow = next((one for one in own if (chosen := _selector(one)) and selects(chosen, labels)), None)
    return [one.get("spec") or {} for one in (*wide, narrow) if one is not None]


def _selector(telemetry: Manifest) -> Mapping[str, str]:
    return ((telemetry.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}


def _names(element: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(one["name"]) for one in element.get("providers") or ())


def _concerns(element: Mapping[str, Any], side: Mode) -> bool:
    mode = (element.get("match") or {}).get("mode") or "CLIENT_AND_SERVER"
    return mode in (side, "CLIENT_AND_SERVER")
