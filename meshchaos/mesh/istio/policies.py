"""Which policies of a kind govern a workload (``pilot/pkg/model/policyattachment.go``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshchaos.mesh.istio.order import namespace_of, oldest_first
from meshchaos.mesh.objects import Manifest, selects

ROOT_NAMESPACE = "istio-system"


def governing(
    objects: Iterable[Manifest],
    kind: str,
    namespace: str,
    labels: Mapping[str, str],
    root_namespace: str = ROOT_NAMESPACE,
) -> list[Manifest]:
    """The policies of a kind that select a workload: the root namespace's first, each namespace's oldest first.

    A policy of the root namespace selects in all namespaces; without a selector it is everybody's.
    """
    ordered = [one for one in oldest_first(objects, kind) if selects(_selector(one), labels)]
    places = dict.fromkeys((root_namespace, namespace))
    return [one for place in places for one in ordered if namespace_of(one) == place]


def _selector(policy: Manifest) -> Mapping[str, str] | None:
    return ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels")
