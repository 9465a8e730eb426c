"""One rule of an AuthorizationPolicy as a policy of Envoy's RBAC (``pilot/pkg/security/authz/model``).

A rule is alternatives of sources and of operations; ``when`` belongs to each of them. On a connection whose content
nobody reads, an attribute of HTTP takes a rule out of an ALLOW policy, and is itself left out of any other: both make
the policy more severe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from meshchaos.mesh.local.translate import string_matchers as match
from meshchaos.mesh.local.translate.names import Json
from meshchaos.mesh.local.world import bind_port

Action = Literal["ALLOW", "DENY", "LOG"]
Side = Literal["permission", "principal"]

JWT_FILTER = "envoy.filters.http.jwt_authn"
JWT_PAYLOAD = "payload"
"""Where the JWT filter leaves the claims of a token that it accepted."""

MATCH_NEVER: Json = {"permissions": [{"not_rule": {"any": True}}], "principals": [{"not_id": {"any": True}}]}
"""What a policy without rules is."""


@dataclass(frozen=True, slots=True)
class _Attribute:
    """``make`` turns one value into a matcher, or all of them where ``joined``. ``http``: known of requests only."""

    side: Side
    make: Callable[[Any], Json]
    http: bool = False
    joined: bool = False


@dataclass(frozen=True, slots=True)
class _Condition:
    attribute: _Attribute
    values: Sequence[str]
    not_values: Sequence[str]


def policy(rule: Mapping[str, Any], *, namespace: str, action: Action, tcp: bool) -> Json | None:
    """The policy of one rule; None for one that means nothing on a TCP connection. ``namespace``: the object's own."""
    shared: dict[Side, list[_Condition]] = {"permission": [], "principal": []}
    for when in rule.get("when") or ():
        attribute = _of_condition(when["key"], namespace)
        shared[attribute.side].append(_Condition(attribute, when.get("values") or (), when.get("notValues") or ()))
    sources = [_fields(one["source"], _source(namespace)) for one in rule.get("from") or ()] or [[]]
    operations = [_fields(one["operation"], _OPERATION) for one in rule.get("to") or ()] or [[]]
    conjunctions = {
        "permission": [[*one, *shared["permission"]] for one in operations],
        "principal": [[*one, *shared["principal"]] for one in sources],
    }
    everything = [condition for sets in conjunctions.values() for one in sets for condition in one]
    if tcp and action == "ALLOW" and any(condition.attribute.http for condition in everything):
        return None
    return {
        "permissions": [_permission(one, tcp) for one in conjunctions["permission"]],
        "principals": [_principal(one, tcp) for one in conjunctions["principal"]],
    }


def _fields(spec: Mapping[str, Any], known: Mapping[str, _Attribute]) -> list[_Condition]:
    found = []
    for name, attribute in known.items():
        values, not_values = spec.get(name) or (), spec.get(f"not{name[0].upper()}{name[1:]}") or ()
        if values or not_values:
            found.append(_Condition(attribute, values, not_values))
    return found


def _permission(conditions: Iterable[_Condition], tcp: bool) -> Json:
    rules = _all(conditions, tcp, lambda some: {"or_rules": {"rules": some}}, lambda rule: {"not_rule": rule})
    return {"and_rules": {"rules": rules or [{"any": True}]}}


def _principal(conditions: Iterable[_Condition], tcp: bool) -> Json:
    ids = _all(conditions, tcp, lambda some: {"or_ids": {"ids": some}}, lambda rule: {"not_id": rule})
    return {"and_ids": {"ids": ids or [{"any": True}]}}


def _all(
    conditions: Iterable[_Condition],
    tcp: bool,
    either: Callable[[list[Json]], Json],
    negated: Callable[[Json], Json],
) -> list[Json]:
    found: list[Json] = []
    for condition in conditions:
        attribute = condition.attribute
        if tcp and attribute.http:
            continue
        for values, wrap in ((condition.values, None), (condition.not_values, negated)):
            if values:
                made = attribute.make(values) if attribute.joined else either([attribute.make(one) for one in values])
                found.append(wrap(made) if wrap else made)
    return found


def _authenticated(matcher: Json) -> Json:
    return {"authenticated": {"principal_name": matcher}}


def _identity(value: str) -> Json:
    return _authenticated(match.string(value, prefix="spiffe://"))


def _namespace(value: str) -> Json:
    name = ".*".join(match.quoted(part) for part in value.split("*"))
    return _authenticated(match.regex(f".*/ns/{name}/.*"))


def _service_account(namespace: str) -> Callable[[str], Json]:
    def make(value: str) -> Json:
        place, slash, name = value.rpartition("/")
        place = match.quoted(place if slash else namespace)
        return _authenticated(match.regex(f"spiffe://.+/ns/{place}/(.+/|)sa/{match.quoted(name)}(/.+)?"))

    return make


def _trust_domain(value: str) -> Json:
    if value == "*":
        return _authenticated({"prefix": "spiffe://"})
    if "*" not in value:
        return _authenticated({"prefix": f"spiffe://{value}/"})
    before, _, after = value.partition("*")
    return _authenticated(match.regex(f"spiffe://{match.quoted(before)}[^/]*{match.quoted(after)}/.*"))


def _request_principals(values: Sequence[str]) -> Json:
    """``<issuer>/<subject>``, split at the last slash: an issuer may be a URL."""
    found = [
        {"and_ids": {"ids": [_claim("iss", issuer), _claim("sub", subject)]}} for issuer, subject in map(_split, values)
    ]
    return found[0] if len(found) == 1 else {"or_ids": {"ids": found}}


def _split(value: str) -> tuple[Json, Json]:
    anything = match.regex(".+")
    issuer, slash, subject = value.rpartition("/")
    if value == "*":
        return anything, anything
    if value.startswith("*"):
        if not slash:
            return anything, {"suffix": value[1:]}
        return (anything if issuer == "*" else {"suffix": issuer[1:]}), {"exact": subject}
    if value.endswith("*"):
        if not slash:
            return {"prefix": value[:-1]}, anything
        return {"exact": issuer}, (anything if subject == "*" else {"prefix": subject[:-1]})
    return {"exact": issuer if slash else value}, {"exact": subject if slash else ""}


def _claim(name: str, matcher: Json) -> Json:
    path = [{"key": JWT_PAYLOAD}, {"key": name}]
    return {"metadata": {"filter": JWT_FILTER, "path": path, "value": {"string_match": matcher}}}


def _claims(*names: str) -> Callable[[Sequence[str]], Json]:
    """A claim that is one of the values, or a list with one of them in it."""

    def make(values: Sequence[str]) -> Json:
        matchers = [{"string_match": match.string(value)} for value in values]
        one = matchers[0] if len(matchers) == 1 else {"or_match": {"value_matchers": matchers}}
        path = [{"key": JWT_PAYLOAD}, *({"key": name} for name in names)]
        either = {"or_match": {"value_matchers": [{"list_match": {"one_of": one}}, one]}}
        return {"metadata": {"filter": JWT_FILTER, "path": path, "value": either}}

    return make


def _header(name: str, *, ignore_case: bool = False) -> Callable[[str], Json]:
    return lambda value: {"header": match.header(name, value, ignore_case=ignore_case)}


def _path(value: str) -> Json:
    if "{*}" not in value and "{**}" not in value:
        return {"url_path": {"path": match.string(value)}}
    template = value.replace("{*}", "*").replace("{**}", "**")
    config = {
        "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
        "path_template": template,
    }
    return {"uri_template": {"name": "uri-template", "typed_config": config}}


_SOURCE_IP = _Attribute("principal", lambda value: {"direct_remote_ip": match.cidr(value)})
_REMOTE_IP = _Attribute("principal", lambda value: {"remote_ip": match.cidr(value)})
_NAMESPACE = _Attribute("principal", _namespace)
_TRUST_DOMAIN = _Attribute("principal", _trust_domain)
_IDENTITY = _Attribute("principal", _identity)
_REQUEST_PRINCIPAL = _Attribute("principal", _request_principals, http=True, joined=True)
# A privileged port is bound elsewhere: names keep the user's, what Envoy compares is what was called.
_PORT = _Attribute("permission", lambda value: {"destination_port": bind_port(int(value))})

_OPERATION: Mapping[str, _Attribute] = {
    "hosts": _Attribute("permission", _header(":authority", ignore_case=True), http=True),
    "methods": _Attribute("permission", _header(":method"), http=True),
    "paths": _Attribute("permission", _path, http=True),
    "ports": _PORT,
}

_BY_KEY: Mapping[str, _Attribute] = {
    "destination.ip": _Attribute("permission", lambda value: {"destination_ip": match.cidr(value)}),
    "destination.port": _PORT,
    "connection.sni": _Attribute("permission", lambda value: {"requested_server_name": match.string(value)}),
    "source.ip": _SOURCE_IP,
    "remote.ip": _REMOTE_IP,
    "source.namespace": _NAMESPACE,
    "source.trustDomain": _TRUST_DOMAIN,
    "source.principal": _IDENTITY,
    "request.auth.principal": _REQUEST_PRINCIPAL,
    "request.auth.audiences": _Attribute("principal", _claims("aud"), http=True, joined=True),
    "request.auth.presenter": _Attribute("principal", _claims("azp"), http=True, joined=True),
}


def _source(namespace: str) -> Mapping[str, _Attribute]:
    return {
        "principals": _IDENTITY,
        "requestPrincipals": _REQUEST_PRINCIPAL,
        "serviceAccounts": _Attribute("principal", _service_account(namespace)),
        "trustDomains": _TRUST_DOMAIN,
        "namespaces": _NAMESPACE,
        "remoteIpBlocks": _REMOTE_IP,
        "ipBlocks": _SOURCE_IP,
    }


def _of_condition(key: str, namespace: str) -> _Attribute:
    """The attribute of a ``when`` key; unknown ones are refused when the object is stored."""
    if key == "source.serviceAccount":
        return _Attribute("principal", _service_account(namespace))
    if key.startswith("request.headers["):
        return _Attribute("principal", _header(key[len("request.headers[") : -1]), http=True)
    if key.startswith("request.auth.claims["):
        names = key[len("request.auth.claims[") : -1].split("][")
        return _Attribute("principal", _claims(*names), http=True, joined=True)
    return _BY_KEY[key]
