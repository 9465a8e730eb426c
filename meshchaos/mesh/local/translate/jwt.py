"""RequestAuthentications as Envoy's JWT filter (``pilot/pkg/security/authn/policy_applier.go``).

A request without a token passes; one with a token that no rule accepts is answered 401. The claims of an accepted one
are left in the filter's metadata, where AuthorizationPolicy looks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshchaos.mesh.istio.request_authentication import KIND, NO_KEYS, jwt_rules, key_source
from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.translate.names import Json, extension
from meshchaos.mesh.local.translate.rbac import JWT_FILTER, JWT_PAYLOAD
from meshchaos.mesh.local.world import LocalReplica

_SPACE_DELIMITED = frozenset({"permission", "scope"})
"""Claims that are lists in one text, always."""


def authentication(index: Index, replica: LocalReplica) -> list[Json]:
    """The filter of a proxy's tokens; none where no policy selects it."""
    rules = jwt_rules(index.of_kind(KIND), replica.namespace, replica.labels)
    if not rules:
        return []
    providers = {f"origins-{number}": _provider(index, rule, replica) for number, rule in enumerate(rules)}
    config = extension(
        "filters.http.jwt_authn.v3.JwtAuthentication",
        providers=providers,
        rules=[{"match": {"prefix": "/"}, "requires": _requirement(list(providers))}],
        bypass_cors_preflight=True,
    )
    return [{"name": JWT_FILTER, "typed_config": config}]


def _requirement(names: list[str]) -> Json:
    """Each issuer's token right or not there. With several, also any one right alone: issuers may share a place for
    their tokens, where the others' checks fail.
    """
    each = [_any({"provider_name": name}, {"allow_missing": {}}) for name in names]
    if len(each) == 1:
        return each[0]
    return _any(*({"provider_name": name} for name in names), {"requires_all": {"requirements": each}})


def _any(*requirements: Json) -> Json:
    return {"requires_any": {"requirements": list(requirements)}}


def _provider(index: Index, rule: Mapping[str, Any], replica: LocalReplica) -> Json:
    source = key_source(rule)
    keys = index.world.played.get(str(rule.get("issuer")))
    if keys is None:
        keys = rule["jwks"] if source is None else index.world.keys.get(source, NO_KEYS)
    fields: Json = {
        "local_jwks": {"inline_string": keys},
        "payload_in_metadata": JWT_PAYLOAD,
        "normalize_payload_in_metadata": {
            "space_delimited_claims": sorted(_SPACE_DELIMITED | set(rule.get("spaceDelimitedClaims") or ()))
        },
    }
    for ours, envoys in (
        ("issuer", "issuer"),
        ("audiences", "audiences"),
        ("forwardOriginalToken", "forward"),
        ("outputPayloadToHeader", "forward_payload_header"),
        ("fromParams", "from_params"),
        ("fromCookies", "from_cookies"),
    ):
        if rule.get(ours):
            fields[envoys] = rule[ours]
    if rule.get("fromHeaders"):
        fields["from_headers"] = [
            {"name": one["name"], **({"value_prefix": one["prefix"]} if one.get("prefix") else {})}
            for one in rule["fromHeaders"]
        ]
    if rule.get("outputClaimToHeaders"):
        fields["claim_to_headers"] = [
            {"header_name": one["header"], "claim_name": one["claim"]} for one in rule["outputClaimToHeaders"]
        ]
    if replica.gateway:
        fields["clear_route_cache"] = True
    return fields
