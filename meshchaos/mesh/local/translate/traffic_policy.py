"""A DestinationRule's trafficPolicy as fields of an Envoy cluster (``networking/core/cluster_traffic_policy.go``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshchaos.mesh.local.translate.names import Json, duration, extension

UNLIMITED = 2**32 - 1
HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

Policy = Mapping[str, Any]


def connection_pool(policy: Policy) -> Json:
    """``connect_timeout``, circuit breakers, keep-alive. Unset and 0 mean unlimited, as in Istio."""
    pool = policy.get("connectionPool") or {}
    tcp, http = pool.get("tcp") or {}, pool.get("http") or {}
    thresholds: Json = {
        "max_connections": _limit(tcp.get("maxConnections")),
        "max_pending_requests": _limit(http.get("http1MaxPendingRequests")),
        "max_requests": _limit(http.get("http2MaxRequests")),
        "max_retries": _limit(http.get("maxRetries")),
        "track_remaining": True,
    }
    budget = policy.get("retryBudget")
    if budget:
        thresholds["retry_budget"] = {
            "budget_percent": {"value": (budget.get("percent") or {}).get("value", 20.0)},
            "min_retry_concurrency": budget.get("minRetryConcurrency") or 3,
        }
    fields: Json = {
        "connect_timeout": duration(tcp["connectTimeout"]) if tcp.get("connectTimeout") else "10s",
        "circuit_breakers": {"thresholds": [thresholds]},
    }
    keepalive = tcp.get("tcpKeepalive")
    if keepalive is not None:
        fields["upstream_connection_options"] = {"tcp_keepalive": _keepalive(keepalive)}
    return fields


def http_protocol_options(policy: Policy, protocol: str, *, inbound: bool = False) -> Json:
    """``typed_extension_protocol_options``, empty where Envoy's defaults (HTTP/1.1) will do."""
    pool = policy.get("connectionPool") or {}
    tcp, http = pool.get("tcp") or {}, pool.get("http") or {}
    common: Json = {}
    idle = http.get("idleTimeout") or tcp.get("idleTimeout")
    if idle:
        common["idle_timeout"] = duration(idle)
    if http.get("maxRequestsPerConnection"):
        common["max_requests_per_connection"] = http["maxRequestsPerConnection"]
    if tcp.get("maxConnectionDuration"):
        common["max_connection_duration"] = duration(tcp["maxConnectionDuration"])
    codes = (policy.get("outlierDetection") or {}).get("outlierDetectionHttpErrorCodes") if not inbound else None
    http2 = speaks_http2(policy, protocol, inbound=inbound)
    client_protocol = bool(http.get("useClientProtocol")) or (protocol == "auto" and not http2)
    if not (common or codes or http2 or client_protocol):
        return {}
    options: Json = {}
    if common:
        options["common_http_protocol_options"] = common
    if client_protocol:
        options["use_downstream_protocol_config"] = {"http_protocol_options": {}, "http2_protocol_options": {}}
    elif http2:
        streams = http.get("maxConcurrentStreams")
        http2_options = {"max_concurrent_streams": streams} if streams else {}
        options["explicit_http_config"] = {"http2_protocol_options": http2_options}
    else:
        options["explicit_http_config"] = {"http_protocol_options": {}}
    if codes:
        options["outlier_detection"] = {"error_matcher": _error_matcher(codes)}
    return {HTTP_PROTOCOL_OPTIONS: extension("upstreams.http.v3.HttpProtocolOptions", **options)}


def speaks_http2(policy: Policy, protocol: str, *, inbound: bool = False) -> bool:
    """Whether a cluster speaks HTTP/2 for sure."""
    http = (policy.get("connectionPool") or {}).get("http") or {}
    if protocol in {"http2", "grpc"}:
        return True
    return not inbound and not http.get("useClientProtocol") and http.get("h2UpgradePolicy") == "UPGRADE"


def outlier_detection(policy: Policy) -> Json:
    """``outlier_detection`` and the panic threshold; empty without one. What is left out is Envoy's default."""
    outlier = policy.get("outlierDetection")
    if outlier is None:
        return {}
    fields: Json = {"enforcing_success_rate": 0}
    errors = outlier.get("consecutive5xxErrors")
    if errors is not None:
        fields["consecutive_5xx"] = errors
        fields["enforcing_consecutive_5xx"] = 100 if errors else 0
    gateway = outlier.get("consecutiveGatewayErrors")
    if gateway is not None:
        fields["consecutive_gateway_failure"] = gateway
        fields["enforcing_consecutive_gateway_failure"] = 100 if gateway else 0
    if outlier.get("interval"):
        fields["interval"] = duration(outlier["interval"])
    if outlier.get("baseEjectionTime"):
        fields["base_ejection_time"] = duration(outlier["baseEjectionTime"])
    if outlier.get("maxEjectionPercent"):
        fields["max_ejection_percent"] = outlier["maxEjectionPercent"]
    if outlier.get("splitExternalLocalOriginErrors"):
        fields["split_external_local_origin_errors"] = True
        fields["enforcing_local_origin_success_rate"] = 0
        local = outlier.get("consecutiveLocalOriginFailures")
        if local:
            fields["consecutive_local_origin_failure"] = local
            fields["enforcing_consecutive_local_origin_failure"] = 100
    panic = {"value": outlier.get("minHealthPercent") or 0}
    return {"outlier_detection": fields, "common_lb_config": {"healthy_panic_threshold": panic}}


def load_balancer(policy: Policy) -> Json:
    """``lb_policy`` and its settings: LEAST_REQUEST unless the rule says otherwise."""
    balancer = policy.get("loadBalancer") or {}
    consistent = balancer.get("consistentHash")
    if consistent is not None:
        return _consistent_hash(consistent)
    simple = balancer.get("simple") or "LEAST_REQUEST"
    if simple in {"RANDOM"}:
        return {"lb_policy": "RANDOM"}
    name = "round_robin_lb_config" if simple == "ROUND_ROBIN" else "least_request_lb_config"
    fields: Json = {"lb_policy": "ROUND_ROBIN" if simple == "ROUND_ROBIN" else "LEAST_REQUEST"}
    warmup = balancer.get("warmup")
    old = balancer.get("warmupDurationSecs")
    if warmup:
        fields[name] = {
            "slow_start_config": {
                "slow_start_window": duration(warmup["duration"]),
                # The value is fixed; the key is required by Envoy.
                "aggression": {"default_value": warmup.get("aggression", 1.0), "runtime_key": "("},
                "min_weight_percent": {"value": warmup.get("minimumPercent", 10.0)},
            }
        }
    elif old:
        fields[name] = {"slow_start_config": {"slow_start_window": duration(old)}}
    return fields


def _consistent_hash(consistent: Mapping[str, Any]) -> Json:
    maglev, ring = consistent.get("maglev"), consistent.get("ringHash")
    if maglev is not None:
        size = maglev.get("tableSize")
        return {"lb_policy": "MAGLEV", **({"maglev_lb_config": {"table_size": size}} if size else {})}
    if ring is not None:
        size = ring.get("minimumRingSize")
        return {"lb_policy": "RING_HASH", **({"ring_hash_lb_config": {"minimum_ring_size": size}} if size else {})}
    size = consistent.get("minimumRingSize") or 1024
    return {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": size}}


def _limit(value: Any) -> int:
    return int(value) if value and int(value) > 0 else UNLIMITED


def _keepalive(keepalive: Mapping[str, Any]) -> Json:
    fields: Json = {}
    if keepalive.get("probes"):
        fields["keepalive_probes"] = keepalive["probes"]
    for ours, envoys in (("time", "keepalive_time"), ("interval", "keepalive_interval")):
        if keepalive.get(ours):
            fields[envoys] = int(float(duration(keepalive[ours]).removesuffix("s")))
    return fields


def _error_matcher(codes: list[int]) -> Json:
    rules = [
        {"http_response_headers_match": {"headers": [{"name": ":status", "string_match": {"exact": str(code)}}]}}
        for code in codes
    ]
    return rules[0] if len(rules) == 1 else {"or_match": {"rules": rules}}
