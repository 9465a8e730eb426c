"""The static part of a proxy's configuration: identity, admin socket, xDS, readiness. Needs a restart to change."""

from __future__ import annotations

from meshchaos.mesh.istio.hosts import DOMAIN
from meshchaos.mesh.local.translate.names import Json, extension, socket_address
from meshchaos.mesh.local.world import READY_PORT, XDS_CLUSTER, LocalReplica, config_source

_UNLIMITED = 2**32 - 1
_LOOPBACK = "127.0.0.1"


def node_id(replica: LocalReplica) -> str:
    """Istio's: ``sidecar~<ip>~<pod>.<namespace>~<namespace>.svc.cluster.local``."""
    kind = "router" if replica.gateway else "sidecar"
    domain = f"{replica.namespace}.svc.{DOMAIN}"
    return f"{kind}~{replica.address}~{replica.name}.{replica.namespace}~{domain}"


def bootstrap(replica: LocalReplica) -> Json:
    """Envoy's bootstrap of one proxy. Depends on the replica's place alone, never on the objects."""
    manager: Json = {}
    if replica.address != _LOOPBACK:
        # A replica's requests come from its own address, so that servers can tell clients apart.
        manager["upstream_bind_config"] = {"source_address": {"address": replica.address, "port_value": 0}}
    return {
        "node": {
            "id": node_id(replica),
            "cluster": f"{replica.labels.get('app') or replica.workload}.{replica.namespace}",
            "metadata": {
                "NAME": replica.name,
                "NAMESPACE": replica.namespace,
                "SERVICE_ACCOUNT": replica.service_account,
                "WORKLOAD_NAME": replica.workload,
            },
        },
        "admin": {"address": {"pipe": {"path": replica.admin}}},
        "dynamic_resources": {"lds_config": config_source(), "cds_config": config_source()},
        "cluster_manager": manager,
        "static_resources": {"clusters": [_xds_cluster(replica)], "listeners": [_ready_listener(replica)]},
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": extension("bootstrap.internal_listener.v3.InternalListener"),
            }
        ],
        # Histograms are merged at each flush; counters and gauges are always up to date.
        "stats_flush_interval": "1s",
        "layered_runtime": {
            "layers": [
                {
                    "name": "global config",
                    "static_layer": {
                        # Istio's: an expression that Istio takes must not be too long for us.
                        "re2.max_program_size.error_level": 32768,
                        "envoy.reloadable_features.http_reject_path_with_fragment": False,
                    },
                }
            ]
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": extension(
                        "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        max_active_downstream_connections=2**31 - 1,
                    ),
                }
            ]
        },
    }


def _xds_cluster(replica: LocalReplica) -> Json:
    thresholds = {"max_connections": _UNLIMITED, "max_pending_requests": _UNLIMITED, "max_requests": _UNLIMITED}
    endpoint = {"endpoint": {"address": {"pipe": {"path": replica.xds}}}}
    return {
        "name": XDS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": XDS_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
        # Each subscription holds a request open.
        "circuit_breakers": {"thresholds": [thresholds]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": extension(
                "upstreams.http.v3.HttpProtocolOptions",
                common_http_protocol_options={"idle_timeout": "0s"},
                explicit_http_config={"http_protocol_options": {}},
            )
        },
    }


def _ready_listener(replica: LocalReplica) -> Json:
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    manager = extension(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="agent",
        generate_request_id=False,
        route_config={"name": "ready", "virtual_hosts": [{"name": "ready", "domains": ["*"], "routes": [route]}]},
        http_filters=[
            {"name": "envoy.filters.http.router", "typed_config": extension("filters.http.router.v3.Router")}
        ],
    )
    return {
        "name": f"0.0.0.0_{READY_PORT}",
        "address": socket_address(replica.address, READY_PORT),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
        "ignore_global_conn_limit": True,
    }
