"""What kube-proxy is to a cluster: Services at virtual addresses, for clients that have no sidecar; pure.

One Envoy that only passes connections on, to any ready endpoint, in plaintext: no routes, no retries, no identity. It
is started when somebody needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshchaos.mesh.local import translate
from meshchaos.mesh.local.world import LocalReplica, ProxyResources, bind_port, config_source

NAME = "plain-side"
_TYPE = "type.googleapis.com/envoy."


def plain_side(address: str, directory: str, logs: str) -> LocalReplica:
    """The plain side's own place; no Pod of the store."""
    return LocalReplica(
        name=NAME,
        namespace="",
        workload=NAME,
        address=address,
        labels={},
        service_account="",
        sidecar=False,
        gateway=False,
        serving=True,
        applications={},
        service_ports={},
        directory=directory,
        admin=f"{directory}/admin.sock",
        logs=logs,
        xds=f"{directory}/xds.sock",
    )


def plain_resources(index: translate.Index, replica: LocalReplica) -> ProxyResources:
    """A listener, a cluster and its endpoints for each TCP port of each Service."""
    listeners: dict[str, Mapping[str, Any]] = {}
    clusters: dict[str, Mapping[str, Any]] = {}
    endpoints: dict[str, Mapping[str, Any]] = {}
    assignments = translate.endpoints(index, replica)
    for service in index.services:
        address = index.world.service_addresses.get(service.host)
        for port in service.ports:
            name = f"outbound|{port.number}||{service.host}"
            if address is None or name not in assignments:
                continue
            listeners[name] = _listener(name, address, bind_port(port.number))
            clusters[name] = {
                "@type": f"{_TYPE}config.cluster.v3.Cluster",
                "name": name,
                "type": "EDS",
                "eds_cluster_config": {"eds_config": config_source()},
                "connect_timeout": "10s",
            }
            endpoints[name] = assignments[name]
    return ProxyResources(translate.bootstrap(replica), listeners, clusters, endpoints, {})


def _listener(name: str, address: str, port: int) -> dict[str, Any]:
    proxy = {
        "@type": f"{_TYPE}extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name,
        "cluster": name,
    }
    return {
        "@type": f"{_TYPE}config.listener.v3.Listener",
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}],
    }
