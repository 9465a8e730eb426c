"""VirtualService: all of ``http``."""

from __future__ import annotations

from typing import Any

from meshchaos.mesh.local.objects.kinds.kind import Kind
from meshchaos.mesh.local.objects.kinds.shared import EXPORT_TO, ISTIO_NETWORKING, PORT_SELECTOR
from meshchaos.mesh.local.objects.schema import (
    Check,
    Path,
    Predicate,
    Problem,
    at_least_one,
    at_most_one,
    boolean,
    exactly_one,
    integer,
    listing,
    mapping,
    number,
    record,
    text,
    unsupported,
    word,
)
from meshchaos.mesh.local.objects.values import (
    base64_text,
    dns_label,
    duration,
    gateway_name,
    grpc_status,
    header_changed,
    header_name,
    header_set_on_request,
    header_value,
    host,
    http_status,
    label_key,
    label_value,
    not_any_host,
    percent,
    regex,
    retry_on,
    whole_seconds,
)

PERCENT = record({"value": number(percent)})


def string_match(*, present: bool = False, empty_prefix: bool = False, star: bool = False) -> Check:
    """Istio's StringMatch. ``present``: an empty mapping asks only that it is there.
    ``star``: so does the regex ``*``.
    """

    def expression(value: Any) -> str | None:
        return None if star and value == "*" else regex(value)

    fields = {"exact": text(empty=True), "prefix": text(empty=empty_prefix), "regex": text(expression)}
    rule = at_most_one if present else exactly_one
    return record(fields, rules=(rule("exact", "prefix", "regex"),))


MATCH = record(
    {
        "name": text(),
        "uri": string_match(empty_prefix=True),
        "scheme": string_match(),
        "method": string_match(),
        "authority": string_match(),
        "headers": mapping(string_match(present=True, star=True), key=header_name),
        "withoutHeaders": mapping(string_match(present=True, star=True), key=header_name),
        "queryParams": mapping(string_match(present=True)),
        "port": integer(1, 65535),
        "sourceLabels": mapping(text(label_value, empty=True), key=label_key),
        "sourceNamespace": text(dns_label),
        "gateways": listing(text(gateway_name)),
        "ignoreUriCase": boolean,
        "statPrefix": text(),
    }
)


def _operations(changed: Predicate) -> Check:
    values = mapping(text(header_value, empty=True), key=changed)
    return record({"set": values, "add": values, "remove": listing(text(header_changed))})


HEADERS = record({"request": _operations(header_set_on_request), "response": _operations(header_changed)})

DESTINATION = record(
    {"host": text(not_any_host, host), "subset": text(dns_label), "port": PORT_SELECTOR}, required=("host",)
)

WEIGHTED = record(
    {"destination": DESTINATION, "weight": integer(0, 2**31 - 1), "headers": HEADERS}, required=("destination",)
)


def _some_weight(routes: Any) -> str | None:
    if len(routes) > 1 and not any(route.get("weight", 0) for route in routes):
        return "the weights of several destinations must not all be 0"
    return None


RETRIES = record(
    {
        "attempts": integer(0, 2**31 - 1),
        "perTryTimeout": text(duration),
        "retryOn": text(retry_on, empty=True),
        "retryRemoteLocalities": boolean,
        "retryIgnorePreviousHosts": boolean,
        "backoff": text(duration),
    },
    rules=(
        lambda retries: (
            "attempts is 0 (no retries), so nothing else may be given; note that attempts left out is 0"
            if not retries.get("attempts") and {"perTryTimeout", "retryOn", "retryRemoteLocalities"} & retries.keys()
            else None
        ),
    ),
)

FAULT = record(
    {
        "delay": record(
            {
                "fixedDelay": text(duration),
                "percentage": PERCENT,
                "percent": integer(0, 100),
                "exponentialDelay": unsupported("is not supported by Istio; write fixedDelay"),
            },
            required=("fixedDelay",),
        ),
        "abort": record(
            {
                "httpStatus": integer(200, 599),
                "grpcStatus": text(grpc_status),
                "http2Error": unsupported("is not supported by Istio; write httpStatus or grpcStatus"),
                "percentage": PERCENT,
            },
            rules=(exactly_one("httpStatus", "grpcStatus"),),
        ),
    },
    rules=(at_least_one("delay", "abort"),),
)

REWRITE = record(
    {
        "uri": text(),
        "authority": text(),
        "uriRegexRewrite": record({"match": text(regex), "rewrite": text()}, required=("match", "rewrite")),
    },
    rules=(at_most_one("uri", "uriRegexRewrite"), at_least_one("uri", "uriRegexRewrite", "authority")),
)


def _redirect_code(value: Any, path: Path, problems: list[Problem]) -> None:
    if value not in {301, 302, 303, 307, 308}:
        problems.append(Problem(path, "must be 301, 302, 303, 307 or 308: Envoy knows no other redirect"))


REDIRECT = record(
    {
        "uri": text(),
        "prefixRewrite": text(),
        "authority": text(),
        "port": integer(1, 65535),
        "derivePort": word("FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"),
        "scheme": word("http", "https"),
        "redirectCode": _redirect_code,
    },
    rules=(
        at_most_one("uri", "prefixRewrite"),
        at_most_one("port", "derivePort"),
        at_least_one("uri", "prefixRewrite", "authority", "port", "derivePort", "scheme"),
    ),
)


def _one_megabyte(body: Any) -> str | None:
    return "must be under 1 MB" if len(body) > 2**20 else None


DIRECT_RESPONSE = record(
    {
        "status": number(http_status),
        "body": record(
            {"string": text(_one_megabyte, empty=True), "bytes": text(_one_megabyte, base64_text)},
            rules=(exactly_one("string", "bytes"),),
        ),
    },
    required=("status",),
)

_CORS_NAME = text(lambda name: None if name == "*" else header_name(name))
CORS = record(
    {
        "allowOrigins": listing(string_match()),
        "allowOrigin": listing(text()),
        "allowMethods": listing(
            word("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*")
        ),
        "allowHeaders": listing(_CORS_NAME),
        "exposeHeaders": listing(_CORS_NAME),
        "maxAge": text(whole_seconds),
        "allowCredentials": boolean,
        "unmatchedPreflights": word("UNSPECIFIED", "FORWARD", "IGNORE"),
    }
)


def _one_action(http: Any) -> str | None:
    """As Istio's webhook: a route, a redirect or a direct response, and what may stand beside it."""
    action = next((name for name in ("redirect", "directResponse") if name in http), None)
    if action is None:
        return None if http.get("route") else "needs route, redirect or directResponse"
    beside = sorted({"route", "fault", "rewrite", "redirect", "directResponse"} & http.keys() - {action})
    return f"{beside[0]} may not be given together with {action}" if beside else None


def _authority_once(http: Any) -> str | None:
    request = http.get("headers", {}).get("request", {})
    names = [
        name for part in ("set", "add") for name in request.get(part, ()) if name.lower() in {"host", ":authority"}
    ]
    times = len(names) + ("authority" in http.get("rewrite", {}))
    return "the authority may be set once only" if times > 1 else None


def _prefix_rewritten(http: Any) -> str | None:
    if "prefixRewrite" not in http.get("redirect", {}):
        return None
    others = [match for match in http.get("match", ()) if "prefix" not in match.get("uri", {"prefix": ""})]
    return "redirect.prefixRewrite needs uri matches by prefix" if others else None


HTTP = record(
    {
        "name": text(),
        "match": listing(MATCH),
        "route": listing(WEIGHTED, rules=(_some_weight,)),
        "timeout": text(duration),
        "retries": RETRIES,
        "fault": FAULT,
        "rewrite": REWRITE,
        "redirect": REDIRECT,
        "directResponse": DIRECT_RESPONSE,
        "mirror": DESTINATION,
        "mirrors": listing(record({"destination": DESTINATION, "percentage": PERCENT}, required=("destination",))),
        "mirrorPercentage": PERCENT,
        "mirrorPercent": integer(0, 100),
        "corsPolicy": CORS,
        "headers": HEADERS,
        "delegate": unsupported("delegation is not supported by the local mesh"),
    },
    rules=(_one_action, at_most_one("mirror", "mirrors"), _authority_once, _prefix_rewritten),
)


def _hosts(spec: Any) -> str | None:
    hosts, gateways = spec["hosts"], spec.get("gateways", ["mesh"])
    if "*" in hosts and all(name == "mesh" for name in gateways):
        return "the host * is only for gateways; name the hosts"
    for position, one in enumerate(hosts):
        for other in hosts[position + 1 :]:
            if _covers(one, other) or _covers(other, one):
                return f"the hosts {one} and {other} overlap"
    return None


def _covers(one: str, other: str) -> bool:
    return one == other or (one.startswith("*") and other.endswith(one[1:]))


SPEC = record(
    {
        "hosts": listing(text(host), nonempty=True),
        "gateways": listing(text(gateway_name)),
        "http": listing(HTTP, nonempty=True),
        "tcp": unsupported("TCP routes are not supported by the local mesh yet"),
        "tls": unsupported("TLS routes are not supported by the local mesh yet"),
        "exportTo": EXPORT_TO,
    },
    required=("hosts", "http"),
    rules=(_hosts,),
)

KINDS = (Kind("VirtualService", ISTIO_NETWORKING, {"spec": SPEC}),)
