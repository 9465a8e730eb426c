"""AuthorizationPolicy: all of it but ``targetRefs``, by the rules of Istio's webhook."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from meshchaos.mesh.local.objects.kinds.kind import Kind
from meshchaos.mesh.local.objects.kinds.shared import ISTIO_SECURITY, NO_TARGETS, SELECTOR
from meshchaos.mesh.local.objects.schema import (
    Path,
    Predicate,
    Problem,
    did_you_mean,
    listing,
    record,
    text,
    word,
)
from meshchaos.mesh.objects import Manifest, annotations_of

DRY_RUN = "istio.io/dry-run"
_BOOLEANS = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})
_LITERAL = re.compile(r"[a-zA-Z0-9-._~%!$&'()+,;:@=]+")
_NAMED = re.compile(r"request\.headers\[[^\[\]]+\]|request\.auth\.claims(\[[^\[\]]+\])+")


def address(value: Any) -> str | None:
    """An address, or a block of them."""
    try:
        ipaddress.ip_interface(value)
    except ValueError:
        return f"{value!r} is not an address or a block of addresses such as 10.0.0.0/8"
    return None


def port(value: Any) -> str | None:
    """A port; AuthorizationPolicy has them as texts."""
    fine = value.isdigit() and value.isascii() and int(value) <= 65535
    return None if fine else f"{value!r} is not a port from 0 to 65535"


def path_pattern(value: Any) -> str | None:
    """A path: exact, ``/a*``, ``*/a``, ``*``, or a template of whole segments ``{*}`` and, at the end, ``{**}``."""
    template = "{*}" in value or "{**}" in value
    ended = False
    for segment in value.strip("/").split("/"):
        if segment in {"{*}", "{**}"}:
            if ended:
                return f"{value!r}: {{**}} must be the last operator"
            ended = segment == "{**}"
        elif "{" in segment or "}" in segment:
            return f"{value!r}: {{ and }} stand only in a segment {{*}} or {{**}} of its own"
        elif template and not _LITERAL.fullmatch(segment):
            return f"{value!r}: {segment!r} cannot stand in a template of a path"
    return None


def service_account(value: Any) -> str | None:
    """``account`` or ``namespace/account``."""
    parts = value.split("/")
    if "*" in value:
        return "takes no wildcards"
    fine = 1 <= len(parts) <= 2 and all(parts) and len(value) <= 320
    return None if fine else f"{value!r} must be an account or namespace/account"


def trust_domain(value: Any) -> str | None:
    """With at most one ``*``, first or last."""
    inside = "*" in value.strip("*") or value.count("*") > 1
    return f"{value!r} is not a trust domain" if inside or "/" in value else None


def _sixteen(values: Any) -> str | None:
    return "takes at most 16" if len(values) > 16 else None


def _pairs(**rules: Predicate | None) -> dict[str, Any]:
    """Each field and its ``not`` form."""
    found = {}
    for name, rule in rules.items():
        check = listing(text(rule) if rule else text(), rules=(_sixteen,) if rule is service_account else ())
        found[name] = found[f"not{name[0].upper()}{name[1:]}"] = check
    return found


_SOURCE = _pairs(
    principals=None,
    requestPrincipals=None,
    namespaces=None,
    serviceAccounts=service_account,
    trustDomains=trust_domain,
    ipBlocks=address,
    remoteIpBlocks=address,
)
_OPERATION = _pairs(hosts=None, ports=port, methods=None, paths=path_pattern)


def _accounts_alone(source: Any) -> str | None:
    others = [name for name in ("principals", "notPrincipals", "namespaces", "notNamespaces") if source.get(name)]
    if others and (source.get("serviceAccounts") or source.get("notServiceAccounts")):
        return f"serviceAccounts may not be given together with {others[0]}"
    return None


def _says_something(spec: Any) -> str | None:
    return None if any(spec.values()) else "must not be empty"


_VALUES: dict[str, Predicate | None] = {
    "source.ip": address,
    "remote.ip": address,
    "source.namespace": None,
    "source.principal": None,
    "source.serviceAccount": service_account,
    "source.trustDomain": trust_domain,
    "request.auth.principal": None,
    "request.auth.audiences": None,
    "request.auth.presenter": None,
    "destination.ip": address,
    "destination.port": port,
    "connection.sni": None,
}
_SHOWN = (*_VALUES, "request.headers[name]", "request.auth.claims[name]")


def _key(value: Any) -> str | None:
    if value in _VALUES or _NAMED.fullmatch(value):
        return None
    if value.startswith("experimental.envoy.filters."):
        return f"{value!r} is not supported by the local mesh: no filter of its proxies leaves such metadata"
    return f"{value!r} is not an attribute of Istio's{did_you_mean(value, _SHOWN)}"


def _values_fit(condition: Any) -> str | None:
    rule = _VALUES.get(condition["key"])
    values = [*(condition.get("values") or ()), *(condition.get("notValues") or ())]
    if not values:
        return "needs values or notValues"
    return next((wrong for value in values if rule and (wrong := rule(value))), None)


CONDITION = record(
    {"key": text(_key), "values": listing(text()), "notValues": listing(text())},
    required=("key",),
    rules=(_values_fit,),
)

RULE = record(
    {
        "from": listing(
            record({"source": record(_SOURCE, rules=(_says_something, _accounts_alone))}, required=("source",)),
            nonempty=True,
        ),
        "to": listing(
            record({"operation": record(_OPERATION, rules=(_says_something,))}, required=("operation",)), nonempty=True
        ),
        "when": listing(CONDITION),
    }
)

_NOT_WITH_CUSTOM = frozenset({"principals", "requestPrincipals", "namespaces", "serviceAccounts", "trustDomains"})
_KEYS_NOT_WITH_CUSTOM = ("source.namespace", "source.serviceAccount", "source.trustDomain", "source.principal")


def _action(spec: Any) -> str | None:
    action = spec.get("action", "ALLOW")
    if action in {"DENY", "CUSTOM"} and "rules" not in spec:
        return f"{action} without rules never matches; write rules: [{{}}] for every request"
    if action != "CUSTOM":
        return "provider is for the action CUSTOM only" if "provider" in spec else None
    if "provider" not in spec:
        return "CUSTOM needs provider.name, one of MeshConfig's extensionProviders"
    for rule in spec["rules"]:
        for one in rule.get("from", ()):
            for name in one["source"]:
                plain = name[3].lower() + name[4:] if name.startswith("not") else name
                if plain in _NOT_WITH_CUSTOM:
                    return f"{name} is not supported by Istio with the action CUSTOM"
        for when in rule.get("when", ()):
            if when["key"] in _KEYS_NOT_WITH_CUSTOM or when["key"].startswith("request.auth."):
                return f"{when['key']} is not supported by Istio with the action CUSTOM"
    return None


SPEC = record(
    {
        "selector": SELECTOR,
        "action": word("ALLOW", "DENY", "AUDIT", "CUSTOM"),
        "provider": record({"name": text()}, required=("name",)),
        "rules": listing(RULE),
        **NO_TARGETS,
    },
    rules=(_action,),
)


def dry_run(manifest: Manifest, path: Path, problems: list[Problem]) -> None:
    """The annotation that makes a policy only count what it would do."""
    value = annotations_of(manifest).get(DRY_RUN)
    if value is None:
        return
    place = (*path, "metadata", "annotations", DRY_RUN)
    action = (manifest.get("spec") or {}).get("action", "ALLOW")
    if action not in {"ALLOW", "DENY"}:
        problems.append(Problem(place, f"is supported by Istio for ALLOW and DENY only, not for {action}"))
    elif value not in _BOOLEANS:
        problems.append(Problem(place, f"must be 'true' or 'false', is {value!r}"))


KINDS = (Kind("AuthorizationPolicy", ISTIO_SECURITY, {"spec": SPEC}, required=(), whole=dry_run),)
