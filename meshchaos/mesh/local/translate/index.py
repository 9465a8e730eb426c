"""The world, looked up: computed once for each world, shared by the translation of all its proxies.

An ``Index`` made from the one before keeps what cannot have changed, down to the identity of resources, so that a
changed object costs what it touches and not the mesh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from meshchaos.mesh.istio.destination_rules import effective, host_of
from meshchaos.mesh.istio.hosts import is_wildcard, matches, most_specific
from meshchaos.mesh.istio.mesh_config import authorizers
from meshchaos.mesh.istio.order import age, namespace_of, oldest_first
from meshchaos.mesh.istio.peer_authentication import Mode, mode, namespace_mode
from meshchaos.mesh.istio.policies import governing
from meshchaos.mesh.istio.ports import target_port
from meshchaos.mesh.istio.service_entries import entry_services, services_of_entry
from meshchaos.mesh.istio.services import Service, ServicePort, services, workloads_of
from meshchaos.mesh.istio.telemetry import AccessLogging, access_logging
from meshchaos.mesh.istio.telemetry import Mode as Side
from meshchaos.mesh.istio.virtual_services import MESH, bound, hosts_of
from meshchaos.mesh.local.translate.names import Json
from meshchaos.mesh.local.world import LocalReplica, World
from meshchaos.mesh.objects import Manifest

NONE: tuple[Manifest, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A Service's port on a replica: ``number`` is the container's."""

    service: Service
    port: ServicePort
    number: int


class Index:
    """Lookups in one world. ``before``: the index of an earlier world of the same mesh."""

    def __init__(self, world: World, before: Index | None = None) -> None:
        self.world = world
        kinds: dict[str, list[Manifest]] = {}
        for item in world.objects:
            kinds.setdefault(str(item.get("kind")), []).append(item)
        self._kinds = {kind: tuple(items) for kind, items in kinds.items()}
        kept = before if before is not None and self._same(before, "Service") else None
        same_entries = kept is not None and self._same(kept, "ServiceEntry")
        self.services: tuple[Service, ...] = kept.services if kept else tuple(services(self.of_kind("Service")))
        """Kubernetes' own; ``services_of`` a namespace are those of ServiceEntries, too."""
        self.by_host: Mapping[str, Service] = (
            kept.by_host if kept else {service.host: service for service in self.services}
        )
        self._seen: dict[str, Mapping[str, Service]] = kept._seen if kept and same_entries else {}
        self._members: dict[tuple[str, str], tuple[LocalReplica, ...]] = {}
        self._targets: dict[tuple[str, str], tuple[Target, ...]] = {}
        same_replicas = kept is not None and kept.world.replicas == world.replicas and self._same(kept, "Pod")
        if kept and same_replicas and same_entries:
            self._members, self._targets = kept._members, kept._targets
        self.identities: Mapping[str, tuple[str, ...]] = (
            kept.identities
            if kept and same_replicas
            else {host: self._identities_of(service) for host, service in self.by_host.items()}
        )
        # Finished resources, kept as long as all that they are made from is the same. Single clusters and virtual
        # hosts carry what they were made from, and outlive the sets that they are in.
        addresses = kept is not None and kept.world.service_addresses == world.service_addresses
        rules = kept is not None and self._same(kept, "DestinationRule")
        demands = kept is not None and self._same(kept, "PeerAuthentication")
        members = rules and demands and same_entries and kept is not None and kept.identities == self.identities
        routes = rules and addresses and same_entries and kept is not None and self._same(kept, "VirtualService")
        self._rules: dict[Any, Manifest | None] = kept._rules if kept and rules and same_entries else {}
        self._former_rules: Mapping[Any, Manifest | None] = kept._rules if kept else {}
        self.single_clusters: dict[Any, Any] = kept.single_clusters if kept else {}
        self.clusters: dict[Any, dict[str, Json]] = kept.clusters if kept and members else {}
        places = same_replicas and demands
        self.endpoints: dict[Any, Json] = kept.endpoints if kept and places else {}
        sets = places and rules and same_entries
        self.endpoint_sets: dict[Any, dict[str, Json]] = kept.endpoint_sets if kept and sets else {}
        self._namespace_modes: dict[str, Mode] = kept._namespace_modes if kept and demands else {}
        self.virtual_hosts: dict[Any, Any] = kept.virtual_hosts if kept and addresses else {}
        self.routes: dict[Any, Any] = kept.routes if kept and routes else {}
        self._owners: dict[str, _Owners] = kept._owners if kept and routes else {}

    def services_of(self, namespace: str) -> Mapping[str, Service]:
        """All services that a client of a namespace sees, by host: Kubernetes' first, each kind oldest first."""
        found = self._seen.get(namespace)
        if found is None:
            entries = entry_services(self.of_kind("ServiceEntry"), namespace, self.by_host)
            found = {**self.by_host, **{service.host: service for service in entries}}
            self._seen[namespace] = found
        return found

    def of_kind(self, kind: str) -> tuple[Manifest, ...]:
        """The objects of one kind, in the world's order."""
        return self._kinds.get(kind, NONE)

    def _same(self, other: Index, kind: str) -> bool:
        # Equality of tuples looks at identity first: cheap for objects that are the same.
        return self.of_kind(kind) == other.of_kind(kind)

    @cached_property
    def _pods(self) -> Mapping[tuple[str, str], Manifest]:
        return {(namespace_of(pod), str(pod["metadata"]["name"])): pod for pod in self.of_kind("Pod")}

    def pod_spec(self, replica: LocalReplica) -> Mapping[str, Any] | None:
        pod = self._pods.get((replica.namespace, replica.name))
        return None if pod is None else pod.get("spec")

    def members(self, service: Service) -> tuple[LocalReplica, ...]:
        """The replicas that a Service selects, serving or not, by address."""
        key = (service.host, service.namespace)
        found = self._members.get(key)
        if found is None:
            chosen = workloads_of(service, self.world.replicas)
            found = self._members[key] = tuple(sorted(chosen, key=lambda one: (one.address, one.name)))
        return found

    def identities_of(self, service: Service) -> tuple[str, ...]:
        """The names that servers of a service may have."""
        if not service.entry:
            return self.identities[service.host]
        named = {one.identity for one in service.endpoints if one.identity}
        return tuple(sorted({*self._identities_of(service), *named, *service.identities}))

    def _identities_of(self, service: Service) -> tuple[str, ...]:
        return tuple(sorted({replica.identity for replica in self.members(service)}))

    @cached_property
    def _chosen_by_entries(self) -> tuple[Service, ...]:
        """Services of ServiceEntries with a workloadSelector, whoever sees them."""
        made = (
            one
            for item in oldest_first(self.of_kind("ServiceEntry"), "ServiceEntry")
            for one in services_of_entry(item)
        )
        return tuple(one for one in made if one.selector)

    def targets(self, replica: LocalReplica) -> tuple[Target, ...]:
        """The ports of a replica that Services lead to, one for each container port: the oldest Service's."""
        key = (replica.namespace, replica.name)
        found = self._targets.get(key)
        if found is None:
            by_number: dict[int, Target] = {}
            for service in (*self.services, *self._chosen_by_entries):
                if not workloads_of(service, (replica,)):
                    continue
                for port in service.ports:
                    number = self.target_port(port, replica)
                    if number is not None and port.protocol != "udp":
                        by_number.setdefault(number, Target(service, port, number))
            found = self._targets[key] = tuple(by_number[number] for number in sorted(by_number))
        return found

    def target_port(self, port: ServicePort, replica: LocalReplica) -> int | None:
        target = port.spec.get("targetPort")
        named = isinstance(target, str) and not target.isdigit()
        return target_port(port.spec, self.pod_spec(replica) if named else None)

    def mode(self, replica: LocalReplica, number: int) -> Mode:
        """What a replica demands at a container port."""
        return mode(self.of_kind("PeerAuthentication"), replica.namespace, replica.labels, number)

    def namespace_mode(self, namespace: str) -> Mode:
        """What a namespace's workloads demand that have no policy of their own."""
        if namespace not in self._namespace_modes:
            self._namespace_modes[namespace] = namespace_mode(self.of_kind("PeerAuthentication"), namespace)
        return self._namespace_modes[namespace]

    def access_logging(self, replica: LocalReplica, side: Side) -> AccessLogging | None:
        """What the user wants logged of what a replica sends (``CLIENT``) or receives (``SERVER``)."""
        return access_logging(self.of_kind("Telemetry"), replica.namespace, replica.labels, side)

    def governing(self, kind: str, replica: LocalReplica) -> list[Manifest]:
        """The security policies of a kind that select a replica."""
        return governing(self.of_kind(kind), kind, replica.namespace, replica.labels)

    @cached_property
    def authorizers(self) -> Mapping[str, Mapping[str, Any]]:
        """MeshConfig's external authorizers by name."""
        return authorizers(self.of_kind("ConfigMap"))

    def rule(self, host: str, replica: LocalReplica) -> Manifest | None:
        """The effective DestinationRule of a client for a host."""
        candidates = [rule for pattern, rule in self._rule_hosts if matches(pattern, host)]
        if not candidates:
            return None
        key = (host, self.rule_class(replica))
        if key not in self._rules:
            service = self.services_of(replica.namespace).get(host)
            found = effective(
                candidates,
                host,
                replica.namespace,
                replica.labels,
                service_namespace=service.namespace if service else replica.namespace,
            )
            former = self._former_rules.get(key)
            self._rules[key] = former if former == found else found
        return self._rules[key]

    @cached_property
    def _rule_hosts(self) -> tuple[tuple[str, Manifest], ...]:
        return tuple((host_of(rule), rule) for rule in self.of_kind("DestinationRule"))

    def rule_class(self, replica: LocalReplica) -> tuple[Any, ...]:
        """Equal for clients that the DestinationRules treat alike."""
        wanted = ((key, replica.labels.get(key)) for key in self._selector_labels.get(replica.namespace, ()))
        return (replica.namespace, *wanted)

    def client_class(self, replica: LocalReplica) -> tuple[Any, ...]:
        """Equal for clients whose outbound routes are the same."""
        wanted = ((key, replica.labels.get(key)) for key in self._source_labels)
        return (self.rule_class(replica), *wanted)

    @cached_property
    def _selector_labels(self) -> Mapping[str, tuple[str, ...]]:
        """Namespace -> the labels that its DestinationRules look at in their clients."""
        keys: dict[str, set[str]] = {}
        for rule in self.of_kind("DestinationRule"):
            chosen = (rule["spec"].get("workloadSelector") or {}).get("matchLabels") or {}
            keys.setdefault(namespace_of(rule), set()).update(chosen)
        return {namespace: tuple(sorted(names)) for namespace, names in keys.items()}

    @cached_property
    def _source_labels(self) -> tuple[str, ...]:
        keys: set[str] = set()
        for item in self.of_kind("VirtualService"):
            for route in item["spec"].get("http") or ():
                for match in route.get("match") or ():
                    keys.update(match.get("sourceLabels") or ())
        return tuple(sorted(keys))

    def owners(self, namespace: str) -> _Owners:
        """Which VirtualServices rule what for the sidecars of a namespace."""
        found = self._owners.get(namespace)
        if found is None:
            found = self._owners[namespace] = _owners(bound(self.of_kind("VirtualService"), MESH, namespace))
        return found

    def envoy_filters(self, namespace: str, root_namespace: str) -> list[Manifest]:
        """Those that a proxy of the namespace may meet: by priority, the root namespace's first, the oldest first."""
        seen = [item for item in self.of_kind("EnvoyFilter") if namespace_of(item) in (namespace, root_namespace)]
        return sorted(
            seen,
            key=lambda item: (int(item["spec"].get("priority") or 0), namespace_of(item) != root_namespace, age(item)),
        )


@dataclass(frozen=True, slots=True)
class _Owners:
    """``exact``: host -> the VirtualServices that name it, in Istio's order. ``wild``: pattern -> the first."""

    ordered: tuple[Manifest, ...]
    exact: Mapping[str, tuple[Manifest, ...]]
    wild: Mapping[str, Manifest]

    def of(self, host: str) -> tuple[Manifest, ...]:
        """Those to try in turn for a host: the first that has a route for the client rules it alone."""
        named = self.exact.get(host)
        if named:
            return named
        best = most_specific(host, self.wild)
        return () if best is None else (self.wild[best],)


def _owners(ordered: list[Manifest]) -> _Owners:
    exact: dict[str, tuple[Manifest, ...]] = {}
    wild: dict[str, Manifest] = {}
    for item in ordered:
        for host in hosts_of(item):
            if is_wildcard(host):
                wild.setdefault(host, item)
            else:
                exact[host] = (*exact.get(host, ()), item)
    return _Owners(tuple(ordered), exact, wild)
