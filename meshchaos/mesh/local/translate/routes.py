"""A VirtualService's http routes as Envoy's (``networking/core/route/route.go``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshchaos.mesh.istio.destination_rules import traffic_policy
from meshchaos.mesh.istio.hosts import fqdn
from meshchaos.mesh.istio.order import namespace_of
from meshchaos.mesh.istio.services import Service, ServicePort
from meshchaos.mesh.istio.virtual_services import source_matches
from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.translate.matches import is_catch_all, route_match
from meshchaos.mesh.local.translate.names import (
    DEFAULT_ROUTE,
    HTTP_FILTER_ALPN,
    HTTP_FILTER_CORS,
    HTTP_FILTER_FAULT,
    Json,
    duration,
    extension,
    metadata,
    outbound_cluster,
)
from meshchaos.mesh.local.translate.retries import retry_policy
from meshchaos.mesh.local.translate.route_actions import (
    cors_policy,
    direct_response,
    hash_policy,
    header_changes,
    http_fault,
    mirror_fraction,
    redirect,
)
from meshchaos.mesh.local.translate.traffic_policy import speaks_http2
from meshchaos.mesh.local.world import LocalReplica
from meshchaos.mesh.objects import Manifest

HTTP1_ALPN = "istio-http/1.1,istio,http/1.1"
HTTP2_ALPN = "istio-h2,istio,h2"


@dataclass(frozen=True, slots=True)
class Client:
    """Whose routes these are. ``port`` is the one requests come in on: a Service's, or the Gateway server's.
    ``gateways``: the names it acts as, ``mesh`` for a sidecar.
    """

    replica: LocalReplica
    port: int
    gateways: frozenset[str]


def alpn(protocols: str) -> Json:
    """What a request announces in the TLS handshake, so that the server takes it for HTTP: Istio's own filter."""
    return extension(
        "filters.http.set_filter_state.v3.Config",
        on_request_headers=[
            {
                "object_key": "envoy.network.application_protocols",
                "format_string": {"text_format_source": {"inline_string": protocols}},
                "shared_with_upstream": "ONCE",
            }
        ],
    )


def default_route(index: Index, client: Client, service: Service, port: ServicePort) -> Json:
    """The route of a Service that no VirtualService rules."""
    action: Json = {
        "cluster": outbound_cluster(port.number, "", service.host),
        "timeout": "0s",
        "retry_policy": retry_policy(None),
    }
    policy = traffic_policy(index.rule(service.host, client.replica), port.number)
    hashing = hash_policy((policy.get("loadBalancer") or {}).get("consistentHash") or {})
    if hashing:
        action["hash_policy"] = [hashing]
    route: Json = {"name": DEFAULT_ROUTE, "match": {"prefix": "/"}, "route": action}
    if speaks_http2(policy, port.protocol):
        action["max_grpc_timeout"] = "0s"
        route["typed_per_filter_config"] = {HTTP_FILTER_ALPN: alpn(HTTP2_ALPN)}
    return route


def routes(index: Index, client: Client, virtual_service: Manifest) -> list[Json]:
    """The routes that this client gets of a VirtualService, in order; none: it has nothing for this client here."""
    out: list[Json] = []
    for rule in virtual_service["spec"].get("http") or ():
        matches = rule.get("match") or [None]
        for match in matches:
            if not _concerns(match, client, virtual_service):
                continue
            route = _route(index, client, virtual_service, rule, match)
            out.append(route)
            if is_catch_all(route["match"]):
                return out
        if matches == [None]:
            return out
    return out


def _concerns(match: Mapping[str, Any] | None, client: Client, virtual_service: Manifest) -> bool:
    if match and match.get("port") and int(match["port"]) != client.port:
        return False
    replica = client.replica
    owner = namespace_of(virtual_service)
    return source_matches(match, replica.labels, replica.namespace, client.gateways, owner)


def _route(
    index: Index, client: Client, owner: Manifest, rule: Mapping[str, Any], match: Mapping[str, Any] | None
) -> Json:
    name = str(rule.get("name") or "")
    if match and match.get("name"):
        name = f"{name}.{match['name']}"
    out: Json = {"match": route_match(match), "metadata": metadata(owner=owner)}
    if name:
        out["name"] = name
    if match and match.get("statPrefix"):
        out["stat_prefix"] = match["statPrefix"]
    changes, authority = header_changes(rule.get("headers"))
    out.update(changes)
    filters: Json = {}
    if rule.get("redirect"):
        out["redirect"] = redirect(rule["redirect"], client.port)
    elif rule.get("directResponse"):
        out["direct_response"] = direct_response(rule["directResponse"])
    else:
        out["route"], http2 = _action(index, client, owner, rule, out, authority=authority)
        if http2:
            filters[HTTP_FILTER_ALPN] = alpn(HTTP2_ALPN)
    if rule.get("fault"):
        filters[HTTP_FILTER_FAULT] = http_fault(rule["fault"])
    if rule.get("corsPolicy"):
        filters[HTTP_FILTER_CORS] = cors_policy(rule["corsPolicy"])
    if filters:
        out["typed_per_filter_config"] = filters
    return out


def _action(
    index: Index, client: Client, owner: Manifest, rule: Mapping[str, Any], out: Json, *, authority: str
) -> tuple[Json, bool]:
    """The route action, and whether all its destinations speak HTTP/2. Header changes of a lone destination go to
    the route, ``out``.
    """
    timeout = duration(rule["timeout"]) if rule.get("timeout") else "0s"
    action: Json = {"timeout": timeout}
    rewrite = rule.get("rewrite") or {}
    if rewrite.get("uriRegexRewrite"):
        regex = rewrite["uriRegexRewrite"]
        action["regex_rewrite"] = {"pattern": {"regex": regex["match"]}, "substitution": regex.get("rewrite", "")}
    elif rewrite.get("uri"):
        action["prefix_rewrite"] = rewrite["uri"]
    authority = rewrite.get("authority") or authority
    mirrors = _mirrors(index, client, owner, rule)
    if mirrors:
        action["request_mirror_policies"] = mirrors

    entries = list(rule.get("route") or ())
    single = len(entries) == 1
    weighted: list[Json] = []
    hashing: list[Json] = []
    hashed = False
    http2 = True
    for entry in entries:
        if not single and not entry.get("weight"):
            continue
        cluster, policy, protocol = destination(index, client, entry["destination"], namespace_of(owner))
        http2 = http2 and speaks_http2(policy, protocol)
        consistent = (policy.get("loadBalancer") or {}).get("consistentHash")
        by = hash_policy(consistent) if consistent else None
        if by:
            hashing.append(by)
        hashed = single and consistent is not None
        changes, own = header_changes(entry.get("headers"))
        if single:
            action["cluster"] = cluster
            for key, value in changes.items():
                out[key] = [*out.get(key, ()), *value]
            authority = authority or own
        else:
            weight: Json = {"name": cluster, "weight": int(entry["weight"]), **changes}
            if own:
                weight["host_rewrite_literal"] = own
            weighted.append(weight)
    if not single:
        action["weighted_clusters"] = {"clusters": weighted}
    if authority:
        action["host_rewrite_literal"] = authority
    if hashing:
        action["hash_policy"] = hashing
    policy_of_retries = retry_policy(rule.get("retries"), hashed=hashed)
    if policy_of_retries is not None:
        action["retry_policy"] = policy_of_retries
    if http2:
        # So that the grpc-timeout header is obeyed. Deprecated in Envoy, and Istio's choice all the same.
        action["max_grpc_timeout"] = timeout
    return action, http2


def _mirrors(index: Index, client: Client, owner: Manifest, rule: Mapping[str, Any]) -> list[Json]:
    wanted: list[tuple[Mapping[str, Any], Json | None]] = []
    if rule.get("mirror"):
        share = mirror_fraction(rule.get("mirrorPercentage"), rule.get("mirrorPercent"))
        wanted.append((rule["mirror"], share))
    for mirror in rule.get("mirrors") or ():
        wanted.append((mirror["destination"], mirror_fraction(mirror.get("percentage"))))
    return [
        {
            "cluster": destination(index, client, target, namespace_of(owner))[0],
            "runtime_fraction": share,
            "trace_sampled": False,
            "disable_shadow_host_suffix_append": True,
        }
        for target, share in wanted
        if share is not None
    ]


def destination(
    index: Index, client: Client, target: Mapping[str, Any], namespace: str
) -> tuple[str, Mapping[str, Any], str]:
    """The cluster of a destination, its traffic policy and protocol. One that does not exist has a name all the same:
    requests to it end with 503 and flag NC, as under Istio.
    """
    host = fqdn(str(target["host"]), namespace)
    service = index.services_of(client.replica.namespace).get(host)
    number = (target.get("port") or {}).get("number")
    if not number:
        number = service.ports[0].number if service and len(service.ports) == 1 else client.port
    subset = str(target.get("subset") or "")
    policy = traffic_policy(index.rule(host, client.replica), int(number), subset or None)
    port = service.port(int(number)) if service else None
    return outbound_cluster(int(number), subset, host), policy, port.protocol if port else "http"
