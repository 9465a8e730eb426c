"""The local mesh at one moment, as the translation sees it: objects, replicas, addresses; frozen data.

Made by the supervisor (which owns addresses, ports and processes), read by ``translate``, which turns it
into each proxy's Envoy resources without any I/O. Two equal worlds give equal resources, to the byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshchaos.mesh.objects import Manifest

OUTBOUND_PORT = 15001
"""The explicit HTTP proxy of a sidecar, on its replica's address (Istio's virtualOutbound)."""
INBOUND_PORT = 15006
READY_PORT = 15021
"""Answered by the worker thread itself: a response proves that it runs and has taken earlier updates."""
METRICS_PORT = 15020
METRICS_PATH = "/stats/prometheus"
"""Where a replica's metrics are, on its address, as with Istio's sidecars."""
SERVICE_PORTS_FROM = 16000
"""Listeners of a client for single service ports, for programs that know no HTTP proxy."""

XDS_CLUSTER = "xds"
"""The static cluster of each bootstrap that leads to the supervisor's xDS server (``LocalReplica.xds``)."""

ROOT_NAMESPACE = "istio-system"
DOMAIN = "cluster.local"
TRUST_DOMAIN = "cluster.local"


def config_source() -> dict[str, Any]:
    """Where a proxy gets each of its resources (LDS, CDS, EDS, RDS, SDS): Envoy's REST xDS, held open as a long poll.

    Not from files (but ``route_source``): Envoy makes one inotify instance for each watched subscription (13 for a
    small sidecar), and the kernel's default is 128 for a user. The next poll of a subscription carries the version it
    now runs, so acceptance and refusal need no guessing.
    """
    return {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": [XDS_CLUSTER],
            # Envoy polls anew 5 to 10 ms after an answer. Not sooner: a poll carries all of Envoy's extensions (77 kB,
            # milliseconds of its main thread), just when a change is being watched to go live.
            "refresh_delay": "0.005s",
            "request_timeout": "86400s",
        },
    }


def route_source(replica: LocalReplica, name: str) -> dict[str, Any]:
    """Where a sidecar gets the route configuration ``name`` of its inbound side: a watched file where the machine has
    inotify instances to spare, else as ``config_source``. A file needs no new poll between two changes (M: half).
    """
    if not replica.routes:
        return config_source()
    path = route_file(replica.routes, name)
    return {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
        "path_config_source": {"path": path, "watched_directory": {"path": replica.routes}},
    }


def route_file(folder: str, name: str) -> str:
    """The file of an inbound route configuration (``inbound|9080||``) in ``LocalReplica.routes``."""
    return f"{folder}/{name.replace('|', '_')}.json"


def bind_port(port: int) -> int:
    """The port really bound for a port of the user's: privileged ones are moved up by 10000, so that no root is
    needed. Endpoints and filter chains use this one; names keep the user's.
    """
    return port + 10_000 if port < 1024 else port


RESTART_AFTER = 3.0
"""Seconds until a killed replica comes back."""


@dataclass(frozen=True, slots=True)
class LocalReplica:
    """One Pod of the store with its place on this machine.

    ``applications``: container port -> ``host:port`` where the program of this replica listens (a gateway has none).
    ``service_ports``: ``<fqdn>:<service port>`` -> port on ``address`` of this client's own listener for it.
    ``directory``: the proxy's private folder (absolute, short, gone with the mesh). ``logs``: the folder for
    ``access.log``, ``envoy.log``, ``app.log``, which stays. ``admin``: path of the admin socket. ``xds``: path of the
    supervisor's xDS socket. ``routes``: folder of inbound route configurations by file, empty for none. ``serving``:
    whether it is an endpoint now (ready, not killed). ``expired``: its certificate is past its end, by a mark of its
    Pod.
    """

    name: str
    namespace: str
    workload: str
    address: str
    labels: Mapping[str, str]
    service_account: str
    sidecar: bool
    gateway: bool
    serving: bool
    applications: Mapping[int, str]
    service_ports: Mapping[str, int]
    directory: str
    admin: str
    logs: str = ""
    xds: str = ""
    routes: str = ""
    restarts: int = 0
    """How often its program or proxy was started again in place."""
    expired: bool = False

    @property
    def identity(self) -> str:
        return f"spiffe://{TRUST_DOMAIN}/ns/{self.namespace}/sa/{self.service_account}"


@dataclass(frozen=True, slots=True)
class World:
    """``objects``: every stored object, validated, Services, Pods and Namespaces among them. ``log_headers``: request
    headers the access logs carry, lower case, sorted. ``service_addresses``: ``<fqdn>`` -> virtual address on which
    the plain side (clients without a sidecar) reaches a Service, at ``bind_port(service port)``. ``keys``: source of a
    token issuer's keys (``request_authentication.key_source``) -> the JSON Web Key Set that was fetched there.
    ``played``: issuer -> the JSON Web Key Set of one that the mesh plays, wherever a policy says that its keys are.
    """

    objects: tuple[Manifest, ...]
    replicas: tuple[LocalReplica, ...]
    service_addresses: Mapping[str, str] = field(default_factory=dict)
    log_headers: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    played: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProxyResources:
    """What one Envoy gets, by resource name: v3 xDS resources as JSON with ``@type``.

    ``secrets`` are not here: certificates are the supervisor's. ``bootstrap`` is the static part, whose change would
    need a restart and therefore never depends on ``World.objects``.
    """

    bootstrap: Mapping[str, Any]
    listeners: Mapping[str, Mapping[str, Any]]
    clusters: Mapping[str, Mapping[str, Any]]
    endpoints: Mapping[str, Mapping[str, Any]]
    routes: Mapping[str, Mapping[str, Any]]
