"""External authorizers of MeshConfig's extensionProviders (``pilot/pkg/security/authz/builder/extauthz.go``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.translate.names import Json, duration, extension, outbound_cluster

PREFIX = "istio-ext-authz"
"""How names of CUSTOM policies begin; by it the filter knows that one matched."""
STAT_PREFIX = "istio_ext_authz_"
_POLICY_KEY = f"{STAT_PREFIX}shadow_effective_policy_id"
_FOR_EVER = "600s"
"""Istio's timeout where none is given."""


def check(index: Index, provider: str, namespace: str, *, tcp: bool) -> Json | None:
    """The filter that asks ``provider`` for a proxy of ``namespace``; None where MeshConfig or the mesh does not have
    it. Empty: it is an HTTP authorizer, which says nothing of TCP.
    """
    found = index.authorizers.get(provider)
    if found is None:
        return None
    http, grpc = found.get("envoyExtAuthzHttp"), found.get("envoyExtAuthzGrpc")
    spec: Mapping[str, Any] = http or grpc or {}
    host = spec["service"].rpartition("/")[2]
    service = index.services_of(namespace).get(host)
    if service is None or service.port(int(spec["port"])) is None:
        return None
    cluster = outbound_cluster(int(spec["port"]), "", host)
    timeout = duration(spec["timeout"]) if spec.get("timeout") else _FOR_EVER
    if http is not None:
        return {} if tcp else _http(provider, _asked_by_http(http, host, cluster, timeout), http)
    asking = {"envoy_grpc": {"cluster_name": cluster, "authority": host}, "timeout": timeout}
    if not tcp:
        return _http(provider, {"grpc_service": asking}, spec)
    fields: Json = {
        "stat_prefix": "tcp.",
        "transport_api_version": "V3",
        "grpc_service": asking,
        "filter_enabled_metadata": _matched("envoy.filters.network.rbac", provider),
        **({"failure_mode_allow": True} if spec.get("failOpen") else {}),
    }
    config = extension("filters.network.ext_authz.v3.ExtAuthz", **fields)
    return {"name": "envoy.filters.network.ext_authz", "typed_config": config}


def _http(provider: str, service: Json, spec: Mapping[str, Any]) -> Json:
    fields: Json = {
        **service,
        "transport_api_version": "V3",
        "filter_enabled_metadata": _matched("envoy.filters.http.rbac", provider),
    }
    if spec.get("failOpen"):
        fields["failure_mode_allow"] = True
    if spec.get("statusOnError"):
        fields["status_on_error"] = {"code": int(spec["statusOnError"])}
    body = spec.get("includeRequestBodyInCheck")
    if body is not None:
        fields["with_request_body"] = {
            "max_request_bytes": body.get("maxRequestBytes", 0),
            "allow_partial_message": bool(body.get("allowPartialMessage")),
            "pack_as_bytes": bool(body.get("packAsBytes")),
        }
    headers = spec.get("includeRequestHeadersInCheck") or spec.get("includeHeadersInCheck")
    if headers:
        fields["allowed_headers"] = _headers(headers)
    config = extension("filters.http.ext_authz.v3.ExtAuthz", **fields)
    return {"name": "envoy.filters.http.ext_authz", "typed_config": config}


def _asked_by_http(spec: Mapping[str, Any], host: str, cluster: str, timeout: str) -> Json:
    service: Json = {"server_uri": {"uri": f"http://{host}", "cluster": cluster, "timeout": timeout}}
    if spec.get("pathPrefix"):
        service["path_prefix"] = spec["pathPrefix"]
    added = spec.get("includeAdditionalHeadersInCheck")
    if added:
        service["authorization_request"] = {
            "headers_to_add": [{"key": name, "value": value} for name, value in sorted(added.items())]
        }
    passed_on = {
        "allowed_upstream_headers": spec.get("headersToUpstreamOnAllow"),
        "allowed_client_headers": spec.get("headersToDownstreamOnDeny"),
        "allowed_client_headers_on_success": spec.get("headersToDownstreamOnAllow"),
    }
    answer = {name: _headers(headers) for name, headers in passed_on.items() if headers}
    if answer:
        service["authorization_response"] = answer
    return {"http_service": service}


def _headers(patterns: Sequence[str]) -> Json:
    def matcher(pattern: str) -> Json:
        if pattern.startswith("*"):
            return {"suffix": pattern[1:]}
        return {"prefix": pattern[:-1]} if pattern.endswith("*") else {"exact": pattern}

    return {"patterns": [{**matcher(pattern), "ignore_case": True} for pattern in patterns]}


def _matched(filter_name: str, provider: str) -> Json:
    """That the RBAC filter in front, which only takes note, found a policy of this authorizer."""
    value = {"string_match": {"prefix": f"{PREFIX}-{provider}"}}
    return {"filter": filter_name, "path": [{"key": _POLICY_KEY}], "value": value}
