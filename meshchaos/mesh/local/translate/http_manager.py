"""The HTTP connection manager and its filters, in Istio's order (``networking/core/listener_builder.go``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from meshchaos.mesh.local.translate.access_log import access_log
from meshchaos.mesh.local.translate.names import (
    HTTP_FILTER_ALPN,
    HTTP_FILTER_CORS,
    HTTP_FILTER_FAULT,
    Json,
    extension,
    stat_name,
)
from meshchaos.mesh.local.translate.routes import HTTP1_ALPN, alpn
from meshchaos.mesh.local.world import LocalReplica, config_source, route_source

Role = Literal["inbound", "outbound", "gateway"]

_SERVER_NAME = "istio-envoy"


def connection_manager(
    replica: LocalReplica,
    role: Role,
    *,
    stat_prefix: str,
    routes: str,
    log_headers: Sequence[str],
    security: Sequence[Json] = (),
    proxy: bool = False,
) -> Json:
    """The network filter of an HTTP filter chain. ``routes``: name of its route configuration.

    ``security`` are the HTTP filters of RequestAuthentication and AuthorizationPolicy, which see a request first.
    ``proxy``: it is the explicit HTTP proxy, which takes CONNECT.
    """
    upgrades = [{"upgrade_type": "websocket"}, *([{"upgrade_type": "CONNECT"}] if proxy else [])]
    fields: Json = {
        "codec_type": "AUTO",
        "stat_prefix": stat_name(stat_prefix),
        "rds": {
            "config_source": route_source(replica, routes) if role == "inbound" else config_source(),
            "route_config_name": routes,
        },
        "http_filters": _filters(role, security),
        "access_log": access_log(
            f"{replica.logs or replica.directory}/access.log",
            "inbound" if role == "inbound" else "outbound",
            log_headers,
        ),
        "use_remote_address": role == "gateway",
        "normalize_path": True,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "stream_idle_timeout": "0s",
        "upgrade_configs": upgrades,
        "proxy_100_continue": True,
        # Evidence meets samples by x-request-id: nobody may rewrite it on the way.
        "preserve_external_request_id": True,
        "request_id_extension": {
            "typed_config": extension("request_id.uuid.v3.UuidRequestIdConfig", pack_trace_reason=False)
        },
        **_identity(role),
    }
    manager = extension("filters.network.http_connection_manager.v3.HttpConnectionManager", **fields)
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _identity(role: Role) -> Json:
    """How the proxy names itself and its client to the next one."""
    if role == "outbound":
        return {}
    shown: dict[str, Any] = {"subject": True, "dns": True, "uri": True}
    if role == "gateway":
        shown["cert"] = True
    return {
        "server_name": _SERVER_NAME,
        "forward_client_cert_details": "APPEND_FORWARD" if role == "inbound" else "SANITIZE_SET",
        "set_current_client_cert_details": shown,
    }


def _filters(role: Role, security: Sequence[Json]) -> list[Json]:
    return [
        *security,
        _filter("envoy.filters.http.grpc_stats", _GRPC_STATS),
        *([] if role == "inbound" else [_filter(HTTP_FILTER_ALPN, alpn(HTTP1_ALPN))]),
        _filter(HTTP_FILTER_FAULT, extension("filters.http.fault.v3.HTTPFault")),
        _filter(HTTP_FILTER_CORS, extension("filters.http.cors.v3.Cors")),
        _filter("envoy.filters.http.router", extension("filters.http.router.v3.Router")),
    ]


def _filter(name: str, config: Json) -> Json:
    return {"name": name, "typed_config": config}


_GRPC_STATS = extension("filters.http.grpc_stats.v3.FilterConfig", emit_filter_state=True, stats_for_all_methods=False)
