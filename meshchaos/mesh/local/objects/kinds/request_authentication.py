"""RequestAuthentication: all of it but ``targetRefs``, by the rules of Istio's webhook."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

from meshchaos.mesh.local.objects.kinds.kind import Kind
from meshchaos.mesh.local.objects.kinds.shared import ISTIO_SECURITY, NO_TARGETS, SELECTOR
from meshchaos.mesh.local.objects.schema import boolean, listing, record, text
from meshchaos.mesh.local.objects.values import duration, header_changed

_STRICT_HEADER = re.compile(r"[-_A-Za-z0-9]+")


def jwks(value: Any) -> str | None:
    """A JSON Web Key Set, or a single key."""
    try:
        found = json.loads(value)
    except ValueError as error:
        return f"is not JSON: {error}"
    keys = found.get("keys", [found]) if isinstance(found, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) and isinstance(key.get("kty"), str) for key in keys):
        return 'must be a JSON Web Key Set, {"keys": [{"kty": ...}]}'
    return None if keys else "holds no key, and Envoy takes no empty set"


def key_address(value: Any) -> str | None:
    """``http://`` or ``https://``, with a host."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        return f"{value!r} is not a URL: {error}"
    fine = parts.scheme in {"http", "https"} and parts.hostname and port != 0
    return None if fine else f"{value!r} must be a URL that begins with http:// or https://"


def _strict_header(value: Any) -> str | None:
    return None if _STRICT_HEADER.fullmatch(value) else f"{value!r} must be letters, digits, - and _"


def _has_issuer(rule: Any) -> str | None:
    return None if rule.get("issuer") or rule.get("jwksUri") else "needs issuer or jwksUri"


JWT_RULE = record(
    {
        "issuer": text(empty=True),
        "audiences": listing(text()),
        "jwksUri": text(key_address),
        "jwks": text(jwks),
        "fromHeaders": listing(
            record({"name": text(header_changed), "prefix": text(empty=True)}, required=("name",)),
        ),
        "fromParams": listing(text()),
        "fromCookies": listing(text()),
        "outputPayloadToHeader": text(header_changed),
        "outputClaimToHeaders": listing(
            record({"header": text(_strict_header), "claim": text()}, required=("header", "claim"))
        ),
        "forwardOriginalToken": boolean,
        "timeout": text(duration),
        "spaceDelimitedClaims": listing(text()),
    },
    rules=(_has_issuer,),
)

SPEC = record({"selector": SELECTOR, "jwtRules": listing(JWT_RULE), **NO_TARGETS})

KINDS = (Kind("RequestAuthentication", ISTIO_SECURITY, {"spec": SPEC}, required=()),)
