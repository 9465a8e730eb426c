"""Where a change shows in a proxy's own configuration (``config_dump``); pure.

Only what is active is looked at: listeners that drain keep their old routes for 45 seconds. A ``Sign`` is asked of each
proxy: True, it runs the change; False, it does not; None, it is not concerned. What has a name of ours is looked for by
it. Where a field of an owner's is changed, a proxy shows it by running other resources of that object than before the
write: Istio marks routes and clusters with the object that they come from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshchaos.mesh.changes import Change, EditObject
from meshchaos.mesh.edits import InsertNamed
from meshchaos.mesh.istio.hosts import fqdn
from meshchaos.mesh.istio.virtual_services import MESH
from meshchaos.mesh.kubernetes.dumps import Dump, Json, Section, clusters, inline_hosts, listeners, routes, within
from meshchaos.mesh.objects import Manifest, Ref, selects
from meshchaos.mesh.seam import Replica

_CONFIG: Final = {"VirtualService": "virtual-service", "DestinationRule": "destination-rule"}
"""Kinds whose resources Istio marks, by the name in the mark."""
_INBOUND: Final = frozenset({"PeerAuthentication", "RequestAuthentication", "AuthorizationPolicy"})


@dataclass(frozen=True, slots=True)
class Target:
    """A proxy: its replica, and whether it is a gateway."""

    replica: Replica
    gateway: bool


class Sign:
    """What shows one change. ``section``: the part of the dump that ``shows`` needs."""

    section: Section = "dynamic_listeners"

    def concerns(self, target: Target) -> bool:
        """Whether the proxy may be concerned, by what it is."""
        raise NotImplementedError

    def shows(self, dump: Dump) -> bool | None:
        """See the module."""
        raise NotImplementedError


@dataclass(frozen=True)
class Route(Sign):
    """A named route of a VirtualService; ``owner`` is None for one of ours, whose ``hosts`` say who is concerned."""

    name: str
    matches: Sequence[Json]
    gateways: Sequence[str]
    owner: Ref | None
    hosts: frozenset[str]
    section: Section = "dynamic_route_configs"

    def concerns(self, target: Target) -> bool:
        for match in self.matches or ({},):
            gateways = match.get("gateways") or self.gateways
            bound = any((one == MESH) != target.gateway for one in gateways)
            if bound and (target.gateway or selects(match.get("sourceLabels"), target.replica.labels)):
                return True
        return False

    def shows(self, dump: Dump) -> bool | None:
        concerned = False
        for host, route in routes(dump):
            name = str(route.get("name") or "")
            if name == self.name or name.startswith(f"{self.name}."):
                return True
            if self.owner is not None:
                concerned = concerned or _is_from(route, self.owner)
            else:
                concerned = concerned or not self.hosts.isdisjoint(host.get("domains") or ())
        return False if concerned else None


@dataclass(frozen=True)
class InboundRoute(Sign):
    """Fields of the inbound route of a virtual host: a fault at the server's side."""

    namespace: str
    labels: Json
    host: str
    value: Json

    def concerns(self, target: Target) -> bool:
        return _selected(target, self.namespace, self.labels)

    def shows(self, dump: Dump) -> bool | None:
        found = [
            within(self.value, route)
            for listener in listeners(dump)
            for host in inline_hosts(listener)
            if host.get("name") == self.host
            for route in host.get("routes") or ()
        ]
        return all(found) if found else None


@dataclass(frozen=True)
class Text(Sign):
    """A text of ours in the active listeners: a policy's name, a log's mark."""

    text: str
    namespace: str
    labels: Json
    gateways: bool | None = False
    """Whether it is about gateways; None: about both."""

    def concerns(self, target: Target) -> bool:
        if self.gateways is not None and target.gateway != self.gateways:
            return False
        return self.namespace in ("", target.replica.namespace) and selects(self.labels, target.replica.labels)

    def shows(self, dump: Dump) -> bool | None:
        return any(self.text in json.dumps(listener, separators=(",", ":")) for listener in listeners(dump))


@dataclass(frozen=True)
class Rule(Sign):
    """A DestinationRule of ours at the clusters of its host."""

    ref: Ref
    host: str
    labels: Json
    section: Section = "dynamic_active_clusters"

    def concerns(self, target: Target) -> bool:
        return not self.labels or _selected(target, self.ref.namespace, self.labels)

    def shows(self, dump: Dump) -> bool | None:
        own = [one for one in clusters(dump) if str(one.get("name")).endswith(f"|{self.host}")]
        return any(_is_from(one, self.ref) for one in own) if own else None


@dataclass(frozen=True)
class Footprint(Sign):
    """What an object of somebody's makes of a proxy."""

    ref: Ref
    namespace: str
    labels: Json
    section: Section

    def concerns(self, target: Target) -> bool:
        if self.ref.kind in _CONFIG:
            return True
        return _selected(target, self.namespace, self.labels)

    def shows(self, dump: Dump) -> bool | None:
        raise NotImplementedError  # by its digest alone

    def digest(self, dump: Dump) -> str | None:
        """Of the resources that come from the object; None where there are none."""
        found: list[Any]
        if self.section == "dynamic_route_configs":
            found = [route for _, route in routes(dump) if _is_from(route, self.ref)]
        elif self.section == "dynamic_active_clusters":
            found = [cluster for cluster in clusters(dump) if _is_from(cluster, self.ref)]
        else:
            found = [one for one in listeners(dump) if one.get("name") == "virtualInbound"]
        if not found:
            return None
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def signs_of(change: Change, stored: Manifest | None, root_namespace: str, domain: str) -> list[Sign]:
    """What shows a change; empty where no proxy can (the API holds it, and that is all). ``stored``: the object."""
    if isinstance(change, EditObject):
        return _signs_of_edit(change, stored, root_namespace)
    manifest, ref = change.manifest, change.ref
    spec = manifest.get("spec") or {}
    if ref.kind == "EnvoyFilter":
        return _signs_of_filter(manifest, root_namespace)
    if ref.kind == "VirtualService":
        hosts = frozenset(fqdn(str(host), ref.namespace, domain) for host in spec.get("hosts") or ())
        gateways = [str(one) for one in spec.get("gateways") or (MESH,)]
        named = [
            Route(str(one["name"]), one.get("match") or (), gateways, None, hosts)
            for one in spec.get("http") or ()
            if one.get("name")
        ]
        return [*named[:1]]
    if ref.kind == "AuthorizationPolicy" and spec.get("rules"):
        namespace = "" if ref.namespace == root_namespace else ref.namespace
        return [Text(f"ns[{ref.namespace}]-policy[{ref.name}]-rule", namespace, _chosen(spec), gateways=None)]
    if ref.kind == "DestinationRule":
        labels = (spec.get("workloadSelector") or {}).get("matchLabels") or {}
        return [Rule(ref, fqdn(str(spec.get("host")), ref.namespace, domain), labels)]
    if ref.kind in _INBOUND:
        return [footprint(manifest, root_namespace)]
    return []


def footprint(manifest: Manifest, root_namespace: str) -> Footprint:
    """Of an object of one of the kinds that ``has_footprint`` names."""
    meta = manifest["metadata"]
    ref = Ref(str(manifest["kind"]), str(meta["namespace"]), str(meta["name"]))
    sections: dict[str, Section] = {
        "VirtualService": "dynamic_route_configs",
        "DestinationRule": "dynamic_active_clusters",
    }
    namespace = "" if ref.namespace == root_namespace else ref.namespace
    return Footprint(ref, namespace, _chosen(manifest.get("spec") or {}), sections.get(ref.kind, "dynamic_listeners"))


def has_footprint(kind: str) -> bool:
    """Whether proxies show an edit of such an object by other resources than before."""
    return kind in _CONFIG or kind in _INBOUND


def _is_from(resource: Json, ref: Ref) -> bool:
    """``metadata.filter_metadata.istio.config``: ``/apis/<group>/<version>/namespaces/<ns>/virtual-service/<name>``."""
    metadata = (resource.get("metadata") or {}).get("filter_metadata") or {}
    mark = str((metadata.get("istio") or {}).get("config") or "")
    return mark.endswith(f"/namespaces/{ref.namespace}/{_CONFIG.get(ref.kind, ref.kind)}/{ref.name}")


def _signs_of_edit(change: EditObject, stored: Manifest | None, root_namespace: str) -> list[Sign]:
    ref = change.ref
    if not has_footprint(ref.kind) and ref.kind != "VirtualService":
        return []
    spec = (stored or {}).get("spec") or {}
    gateways = [str(one) for one in spec.get("gateways") or (MESH,)]
    named: list[Sign] = [
        Route(edit.name, edit.element.get("match") or (), gateways, ref, frozenset())
        for edit in change.edits
        if isinstance(edit, InsertNamed) and edit.path == ("spec", "http")
    ]
    if len(named) == len(change.edits):
        return named
    manifest = stored or {"kind": ref.kind, "metadata": {"name": ref.name, "namespace": ref.namespace}}
    return [*named, footprint(manifest, root_namespace)]


def _signs_of_filter(manifest: Manifest, root_namespace: str) -> list[Sign]:
    spec, meta = manifest.get("spec") or {}, manifest["metadata"]
    labels = (spec.get("workloadSelector") or {}).get("labels") or {}
    namespace = "" if meta["namespace"] == root_namespace else str(meta["namespace"])
    signs: list[Sign] = []
    for patch in spec.get("configPatches") or ():
        match = patch.get("match") or {}
        host = ((match.get("routeConfiguration") or {}).get("vhost") or {}).get("name")
        if patch.get("applyTo") == "HTTP_ROUTE" and match.get("context") == "SIDECAR_INBOUND" and host:
            signs.append(InboundRoute(namespace, labels, str(host), (patch.get("patch") or {}).get("value") or {}))
        elif f'"{meta["name"]}"' in json.dumps(patch):
            gateway = match.get("context") == "GATEWAY"
            signs.append(Text(f'"{meta["name"]}"', namespace, labels, gateways=gateway))
    return signs


def _selected(target: Target, namespace: str, labels: Json) -> bool:
    replica = target.replica
    return not target.gateway and namespace in ("", replica.namespace) and selects(labels, replica.labels)


def _chosen(spec: Json) -> Json:
    return (spec.get("selector") or {}).get("matchLabels") or {}
