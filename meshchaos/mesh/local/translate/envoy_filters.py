"""EnvoyFilters that MERGE into HTTP_ROUTE at SIDECAR_INBOUND (``networking/core/envoyfilter/rc_patch.go``).

Others are refused when the object is stored.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from meshchaos.mesh.istio.order import namespace_of
from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.translate.names import Json
from meshchaos.mesh.local.world import ROOT_NAMESPACE, LocalReplica
from meshchaos.mesh.objects import Manifest, selects

_MAPS = frozenset({"typed_per_filter_config", "filter_metadata", "typed_filter_metadata"})
"""Fields whose keys are names, not fields: protobuf's merge replaces a whole value under a name."""

_ACTIONS = ("route", "redirect", "direct_response", "filter_action", "non_forwarding_action")
"""Members of a oneof: setting one drops the others."""

_ACTION_OF_MATCH = {"ROUTE": "route", "REDIRECT": "redirect", "DIRECT_RESPONSE": "direct_response"}


def inbound_patches(index: Index, replica: LocalReplica) -> list[Mapping[str, Any]]:
    """The patches for the inbound routes of a replica, in the order they apply."""
    patches: list[Mapping[str, Any]] = []
    for item in index.envoy_filters(replica.namespace, ROOT_NAMESPACE):
        if not concerns(item, replica):
            continue
        for patch in item["spec"].get("configPatches") or ():
            context = (patch.get("match") or {}).get("context") or "ANY"
            if patch.get("applyTo") == "HTTP_ROUTE" and context in {"SIDECAR_INBOUND", "ANY"}:
                patches.append(patch)
    return patches


def concerns(envoy_filter: Manifest, replica: LocalReplica) -> bool:
    """Whether an EnvoyFilter selects this replica: one of the root namespace selects in all namespaces."""
    if namespace_of(envoy_filter) not in (replica.namespace, ROOT_NAMESPACE):
        return False
    selector = envoy_filter["spec"].get("workloadSelector") or {}
    return selects(selector.get("labels"), replica.labels)


def patched(route: Json, patches: list[Mapping[str, Any]], *, configuration: str, port: int, virtual_host: str) -> Json:
    """The route with all patches that match it merged in; the same object when none does."""
    for patch in patches:
        match = (patch.get("match") or {}).get("routeConfiguration")
        if _matches(match, configuration, port, virtual_host, route):
            value = patch["patch"].get("value") or {}
            route = merge(route, value)
    return route


def _matches(match: Mapping[str, Any] | None, configuration: str, port: int, virtual_host: str, route: Json) -> bool:
    if match is None:
        return True
    if match.get("name") not in (None, "", configuration):
        return False
    if match.get("portNumber") not in (None, 0, port):
        return False
    host = match.get("vhost")
    if host is None:
        return True
    if host.get("name") not in (None, "", virtual_host):
        return False
    if host.get("domainName") not in (None, "", "*"):
        return False
    wanted = host.get("route") or {}
    if wanted.get("name") not in (None, "", route.get("name")):
        return False
    action = wanted.get("action") or "ANY"
    return action == "ANY" or _ACTION_OF_MATCH.get(action, "") in route


def merge(base: Json, value: Mapping[str, Any]) -> Json:
    """Protobuf's merge in JSON: messages field by field, maps by key, lists appended, the rest replaced. ``value``
    may spell its fields in camelCase, as protobuf's JSON allows.
    """
    out = dict(base)
    for key, new in value.items():
        name = _snake(key)
        old = out.get(name)
        if name in _ACTIONS:
            for other in _ACTIONS:
                if other != name:
                    out.pop(other, None)
        if name in _MAPS:
            out[name] = {**(old or {}), **copy.deepcopy(new)}
        elif isinstance(old, dict) and isinstance(new, dict):
            out[name] = merge(old, new)
        elif isinstance(old, list) and isinstance(new, list):
            out[name] = [*old, *copy.deepcopy(new)]
        else:
            out[name] = merge({}, new) if isinstance(new, dict) else copy.deepcopy(new)
    return out


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda letter: "_" + letter[1].lower(), key)
