"""The effective DestinationRule of a client for a service (``model/push_context.go``, ``destination_rule.go``)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from meshchaos.mesh.istio.hosts import DOMAIN, fqdn, most_specific
from meshchaos.mesh.istio.order import age, export_to, namespace_of
from meshchaos.mesh.objects import Manifest, selects

ROOT_NAMESPACE = "istio-system"


def host_of(rule: Manifest, domain: str = DOMAIN) -> str:
    return fqdn(str((rule.get("spec") or {}).get("host") or ""), namespace_of(rule), domain)


def rules_for(
    objects: Iterable[Manifest],
    host: str,
    client_namespace: str,
    client_labels: Mapping[str, str],
    *,
    service_namespace: str,
    root_namespace: str = ROOT_NAMESPACE,
    domain: str = DOMAIN,
) -> list[Manifest]:
    """The rules that make up the effective one, in order of precedence; empty: none.

    Looked up in the client's namespace, then the service's, then the root namespace: the first that has a rule for
    the host (the most specific host there) decides alone. Rules with a ``workloadSelector`` act only in their own
    namespace and replace those without.
    """
    rules = sorted((item for item in objects if item.get("kind") == "DestinationRule"), key=_selector_then_age)
    places: list[list[Manifest]] = []
    if client_namespace != root_namespace:
        places.append([r for r in rules if namespace_of(r) == client_namespace and _for_own(r)])
    else:
        places.append([r for r in rules if namespace_of(r) == root_namespace and _private(r)])
    places.extend(
        [r for r in rules if namespace_of(r) == place and not _private(r)]
        for place in (service_namespace, root_namespace)
    )
    for place in places:
        best = most_specific(host, {host_of(rule, domain) for rule in place})
        found = [rule for rule in place if host_of(rule, domain) == best]
        if place is not places[0]:
            found = [rule for rule in found if export_to(rule) & {"*", client_namespace}]
        if found:
            return _for_workload(found, client_namespace, client_labels)
    return []


def effective(
    objects: Iterable[Manifest],
    host: str,
    client_namespace: str,
    client_labels: Mapping[str, str],
    *,
    service_namespace: str,
    root_namespace: str = ROOT_NAMESPACE,
    domain: str = DOMAIN,
) -> Manifest | None:
    """The rules merged as Istio does: the first one's, subsets of the others appended (a duplicate name dropped), the
    first top-level ``trafficPolicy`` found. None: no rule. A copy.
    """
    found = rules_for(
        objects,
        host,
        client_namespace,
        client_labels,
        service_namespace=service_namespace,
        root_namespace=root_namespace,
        domain=domain,
    )
    if not found:
        return None
    merged = copy.deepcopy(found[0])
    spec = merged.setdefault("spec", {})
    for rule in found[1:]:
        other = rule.get("spec") or {}
        known = {subset["name"] for subset in spec.get("subsets") or ()}
        extra = [copy.deepcopy(subset) for subset in other.get("subsets") or () if subset["name"] not in known]
        if extra:
            spec["subsets"] = [*(spec.get("subsets") or ()), *extra]
        if not spec.get("trafficPolicy") and other.get("trafficPolicy"):
            spec["trafficPolicy"] = copy.deepcopy(other["trafficPolicy"])
    return merged


def subset(rule: Manifest | None, name: str) -> Mapping[str, Any] | None:
    """The subset ``name`` of a rule."""
    for item in ((rule or {}).get("spec") or {}).get("subsets") or ():
        if item.get("name") == name:
            found: Mapping[str, Any] = item
            return found
    return None


def traffic_policy(rule: Manifest | None, port: int, subset_name: str | None = None) -> dict[str, Any]:
    """The policy of one cluster: the rule's for ``port``, overridden field by field by the subset's for ``port``.

    A port-level entry stands for connectionPool, outlierDetection, loadBalancer and tls altogether: what it leaves
    out is the default, not inherited (``util.MergeSubsetTrafficPolicy``).
    """
    if rule is None:
        return {}
    merged, _ = _at_port((rule.get("spec") or {}).get("trafficPolicy"), port)
    inner = (subset(rule, subset_name) or {}).get("trafficPolicy") if subset_name else None
    if inner:
        own, replaces = _at_port(inner, port)
        if replaces:
            merged = {key: value for key, value in merged.items() if key not in _PORT_LEVEL}
        merged.update(own)
    return merged


_PORT_LEVEL = frozenset({"connectionPool", "outlierDetection", "loadBalancer", "tls"})


def _at_port(policy: Mapping[str, Any] | None, port: int) -> tuple[dict[str, Any], bool]:
    """A trafficPolicy for one port, and whether it is a port-level entry."""
    for level in (policy or {}).get("portLevelSettings") or ():
        if (level.get("port") or {}).get("number") == port:
            return {key: value for key, value in level.items() if key != "port" and value is not None}, True
    kept = {key: value for key, value in (policy or {}).items() if key != "portLevelSettings" and value is not None}
    return kept, False


def _selector(rule: Manifest) -> dict[str, str] | None:
    selector = (rule.get("spec") or {}).get("workloadSelector")
    return None if selector is None else dict(selector.get("matchLabels") or {})


def _selector_then_age(rule: Manifest) -> tuple[bool, tuple[str, str, str]]:
    return (_selector(rule) is None, age(rule))


def _private(rule: Manifest) -> bool:
    return _selector(rule) is not None or export_to(rule) == {namespace_of(rule)}


def _for_own(rule: Manifest) -> bool:
    return _selector(rule) is not None or bool(export_to(rule) & {"*", namespace_of(rule)})


def _for_workload(rules: list[Manifest], namespace: str, labels: Mapping[str, str]) -> list[Manifest]:
    """Of rules for one host: those of the first selector that fits, else those without a selector."""
    for rule in rules:
        chosen = _selector(rule)
        if chosen is not None and namespace_of(rule) == namespace and selects(chosen, labels):
            return [other for other in rules if _selector(other) == chosen]
    return [rule for rule in rules if _selector(rule) is None]
