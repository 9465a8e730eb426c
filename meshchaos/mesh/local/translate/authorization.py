"""AuthorizationPolicies as Envoy's filters (``pilot/pkg/security/authz/builder``).

A filter for each action, in the order in which they decide: CUSTOM (an authorizer outside), then AUDIT, DENY, ALLOW.
A policy is named ``ns[x]-policy[y]-rule[i]``, which a denied request's response code details repeat.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from meshchaos.mesh.istio.order import namespace_of
from meshchaos.mesh.local.translate import ext_authz, rbac
from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.translate.names import Json, extension
from meshchaos.mesh.local.world import LocalReplica
from meshchaos.mesh.objects import Manifest, annotations_of

HTTP_FILTER = "envoy.filters.http.rbac"
NETWORK_FILTER = "envoy.filters.network.rbac"
DRY_RUN = "istio.io/dry-run"

_ACTIONS: tuple[tuple[str, rbac.Action], ...] = (("AUDIT", "LOG"), ("DENY", "DENY"), ("ALLOW", "ALLOW"))
_SHADOW = {"ALLOW": "istio_dry_run_allow_", "DENY": "istio_dry_run_deny_"}
_BAD_PROVIDER = "-deny-due-to-bad-CUSTOM-action"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})


def custom(index: Index, replica: LocalReplica, *, tcp: bool) -> list[Json]:
    """The filters of CUSTOM policies: which requests are asked about (RBAC that only takes note), and the asking.

    Policies of an authorizer that MeshConfig does not define, or of several authorizers at once (Istio's default),
    deny what they match.
    """
    by_provider: dict[str, list[Manifest]] = {}
    for one in _of_action(index, replica, "CUSTOM"):
        by_provider.setdefault(one["spec"]["provider"]["name"], []).append(one)
    filters: list[Json] = []
    for provider, policies in sorted(by_provider.items()):
        rules = _rules(policies, "DENY", tcp, prefix=f"{ext_authz.PREFIX}-{provider}-")
        asking = ext_authz.check(index, provider, replica.namespace, tcp=tcp) if len(by_provider) == 1 else None
        if asking is None:
            bad = {name + _BAD_PROVIDER: policy for name, policy in rules["policies"].items()}
            filters.append(_filter(tcp, rules={**rules, "policies": bad}))
        elif asking:
            shadow = {"shadow_rules": rules, "shadow_rules_stat_prefix": ext_authz.STAT_PREFIX}
            filters += [_filter(tcp, **shadow), asking]
    return filters


def local(index: Index, replica: LocalReplica, *, tcp: bool) -> list[Json]:
    """The filters of AUDIT, DENY and ALLOW policies, as far as there are any."""
    filters = []
    for name, action in _ACTIONS:
        policies = _of_action(index, replica, name)
        fields: Json = {}
        enforced = [one for one in policies if not _dry_run(one)]
        tried = [one for one in policies if _dry_run(one)]
        if enforced:
            fields["rules"] = _rules(enforced, action, tcp)
        if tried:
            fields["shadow_rules"] = _rules(tried, action, tcp)
        if fields:
            # Istio writes the prefix of ALLOW where nothing is tried.
            prefix = _SHADOW[name if tried else "ALLOW"]
            filters.append(_filter(tcp, **fields, shadow_rules_stat_prefix=prefix))
    return filters


def _of_action(index: Index, replica: LocalReplica, action: str) -> list[Manifest]:
    found = index.governing("AuthorizationPolicy", replica)
    return [one for one in found if ((one.get("spec") or {}).get("action") or "ALLOW") == action]


def _rules(policies: Iterable[Manifest], action: rbac.Action, tcp: bool, prefix: str = "") -> Json:
    found: Json = {}
    for item in policies:
        namespace = namespace_of(item)
        name = f"{prefix}ns[{namespace}]-policy[{item['metadata']['name']}]-rule"
        rules: Sequence[Json] = (item.get("spec") or {}).get("rules") or ()
        if not rules:
            found[f"{name}[0]"] = rbac.MATCH_NEVER
        for number, rule in enumerate(rules):
            made = rbac.policy(rule, namespace=namespace, action=action, tcp=tcp)
            if made is not None:
                found[f"{name}[{number}]"] = made
    return {"action": action, "policies": found}


def _filter(tcp: bool, **fields: Any) -> Json:
    if tcp:
        config = extension("filters.network.rbac.v3.RBAC", stat_prefix="tcp.", **fields)
        return {"name": NETWORK_FILTER, "typed_config": config}
    return {"name": HTTP_FILTER, "typed_config": extension("filters.http.rbac.v3.RBAC", **fields)}


def _dry_run(policy: Manifest) -> bool:
    return annotations_of(policy).get(DRY_RUN) in _TRUE
