"""What single values of Kubernetes and Istio objects may be: the rules of the API servers' own checks.

Each ``Predicate`` says what is wrong with a value, or None. The rules are those of Istio's validating webhook
(istio/istio, pkg/config/validation) and of Kubernetes' names; what passes there and is then refused by Envoy is refused
here, too.
"""

from __future__ import annotations

import base64
import http
import re
from decimal import Decimal
from typing import Any, Final

from meshchaos.experiment.scalars import GRPC_STATUSES
from meshchaos.mesh.local.objects import re2
from meshchaos.mesh.local.objects.schema import Predicate, did_you_mean

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_QUALIFIED: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_WILD: Final = re.compile(r"\*|(\*|\*-)?[a-z0-9-]{1,63}", re.IGNORECASE)
_HOST_LABEL: Final = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_ADDRESS: Final = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_HEADER: Final = re.compile(r"[-!#$%&'*+.^_`|~A-Za-z0-9]+")
_HEADER_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_MILLISECOND: Final = 10**6
_SECOND: Final = 10**9
_LONGEST: Final = 10 * 365 * 86400 * _SECOND
"""Envoy takes somewhat more, differently much in different places."""

RETRY_ON: Final = frozenset(
    {
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "envoy-ratelimited",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    }
)
"""Envoy's x-envoy-retry-on and x-envoy-retry-grpc-on policies, as far as Istio takes them."""


def nanoseconds(value: str) -> int | None:
    """A duration in Go's notation (``1h30m``, ``1.5s``, ``250ms``, ``0``), None when it is not one."""
    sign = -1 if value.startswith("-") else 1
    body = value[1:] if value[:1] in {"+", "-"} else value
    if body == "0":
        return 0
    parts = list(_PART.finditer(body))
    if not parts or "".join(part.group() for part in parts) != body:
        return None
    return sign * int(sum(Decimal(part[1]) * _UNITS[part[2]] for part in parts))


def duration(value: Any) -> str | None:
    """At least 1 ms, in whole milliseconds."""
    length = nanoseconds(value)
    if length is None:
        return f"{value!r} is not a duration; write a number with its unit, such as 250ms, 2s or 1m30s"
    if length < _MILLISECOND:
        return "must be at least 1ms"
    if length > _LONGEST:
        return "is longer than 10 years"
    return "must be in whole milliseconds" if length % _MILLISECOND else None


def duration_or_zero(value: Any) -> str | None:
    """As ``duration``, and ``0s``, which stands for none."""
    return None if nanoseconds(value) == 0 else duration(value)


def whole_seconds(value: Any) -> str | None:
    """As ``duration``, in whole seconds."""
    length = nanoseconds(value)
    return duration(value) or ("must be in whole seconds" if length is not None and length % _SECOND else None)


def percent(value: Any) -> str | None:
    """0, or 0.0001 to 100: finer shares cannot be told to Envoy."""
    return None if value == 0 or 0.0001 <= value <= 100 else f"must be 0, or from 0.0001 to 100, is {value}"


def dns_label(value: Any) -> str | None:
    """A DNS-1123 label: namespaces, subsets, most names."""
    if _LABEL.fullmatch(value):
        return None
    return (
        f"{value!r} must be lower-case letters, digits and -, beginning and ending with a letter or digit, at most 63"
    )


def object_name(value: Any) -> str | None:
    """A DNS-1123 subdomain: names of objects."""
    if len(value) <= 253 and all(_LABEL.fullmatch(part) for part in value.split(".")):
        return None
    return f"{value!r} must be lower-case letters, digits, - and dots, beginning and ending with a letter or digit"


def label_key(value: Any) -> str | None:
    """``[prefix/]name``."""
    if not isinstance(value, str):
        return "a key must be a text; put it in quotes"
    prefix, slash, name = value.rpartition("/")
    fine = _QUALIFIED.fullmatch(name) and (not slash or object_name(prefix) is None)
    return None if fine else f"{value!r} is not a valid key"


def label_value(value: Any) -> str | None:
    """At most 63 of letters, digits, ``-``, ``_``, ``.``; may be empty."""
    return None if not value or _QUALIFIED.fullmatch(value) else f"{value!r} is not a valid label value"


def host(value: Any) -> str | None:
    """A host as VirtualService, DestinationRule and Gateway name them: a name, short or full, with an optional ``*``
    or ``*.`` in front, or an IPv4 address.
    """
    if value == "*" or _ADDRESS.fullmatch(value):
        return None
    first, *rest = value.removesuffix(".").split(".")
    fine = len(value) <= 255 and _WILD.fullmatch(first) and all(_HOST_LABEL.fullmatch(part) for part in rest)
    if fine and (first == "*" or first.startswith("*-") or _HOST_LABEL.fullmatch(first)):
        return None
    return f"{value!r} is not a host name"


def not_any_host(value: Any) -> str | None:
    """``*`` is no destination."""
    return "must name a host, not *" if value == "*" else None


def gateway_host(value: Any) -> str | None:
    """``[namespace/]host`` of a Gateway's server; the namespace may be ``.`` or ``*``."""
    namespace, slash, name = value.rpartition("/")
    if slash and namespace not in {".", "*"} and dns_label(namespace):
        return f"{namespace!r} is not a namespace"
    return host(name)


def gateway_name(value: Any) -> str | None:
    """``name``, ``namespace/name`` or ``mesh``."""
    parts = value.split("/")
    if len(parts) > 2:
        return f"{value!r} must be a gateway's name or namespace/name"
    return next((wrong for part in parts if (wrong := object_name(part))), None)


def regex(value: Any) -> str | None:
    """A regular expression in RE2's language."""
    return re2.wrong(value)


def header_name(value: Any) -> str | None:
    """A header's name as something to be matched; pseudo-headers too."""
    if value in {":method", ":scheme", ":authority", ":path", ":status"}:
        return None
    if value.startswith("@request.auth.claims"):
        return "routing by JWT claims is not supported by the local mesh"
    return None if _HEADER.fullmatch(value) else f"{value!r} is not a header name"


def header_set_on_request(value: Any) -> str | None:
    """A header that may be set or added on requests: any, and the authority."""
    if value.casefold() in {":authority", "host"}:
        return None
    return header_changed(value)


def header_changed(value: Any) -> str | None:
    """A header that may be removed, or changed on responses."""
    if not value or value.startswith(":") or value.casefold() == "host":
        return f"the header {value!r} cannot be changed"
    return None if _HEADER.fullmatch(value) else f"{value!r} is not a header name"


def header_value(value: Any) -> str | None:
    """A value that Envoy formats: ``%`` begins an operator, ``%%`` is a percent sign."""
    if not _HEADER_VALUE.fullmatch(value):
        return "holds a control character"
    fine = re.fullmatch(r"([^%]|%%|%[A-Z_0-9]+(\([^)]*\))?(:\d+)?%)*", value)
    return None if fine else "a % sign must be written %%"


def http_status(value: Any) -> str | None:
    """Envoy's range of status codes for answers of its own."""
    return None if 200 <= value <= 599 else f"must be an HTTP status from 200 to 599, is {value}"


def grpc_status(value: Any) -> str | None:
    """The name of a gRPC status."""
    return None if value in GRPC_STATUSES else f"{value!r} is not a gRPC status such as UNAVAILABLE"


def retry_on(value: Any) -> str | None:
    """Retry policies and status codes, separated by commas; empty for Istio's default."""
    for policy in value.split(",") if value else ():
        if policy.isdigit() and int(policy) in {status.value for status in http.HTTPStatus}:
            continue
        if policy not in RETRY_ON:
            hint = "; no blanks between them" if policy.strip() in RETRY_ON else did_you_mean(policy, RETRY_ON)
            return f"{policy!r} is not a retry policy{hint}"
    return None


def prime(value: Any) -> str | None:
    """Maglev's table size."""
    is_prime = value > 1 and all(value % factor for factor in range(2, int(value**0.5) + 1))
    return None if is_prime else f"must be a prime number, is {value}"


def all_of(*rules: Predicate) -> Predicate:
    """The first complaint of several rules."""
    return lambda value: next((wrong for rule in rules if (wrong := rule(value))), None)


def base64_text(value: Any) -> str | None:
    """Bytes as protobuf's JSON writes them."""
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        return "must be base64"
    return None
