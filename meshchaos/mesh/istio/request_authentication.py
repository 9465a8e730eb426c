"""JSON Web Tokens that a workload accepts, and where the keys of their issuers come from.

``pilot/pkg/security/authn``, ``pilot/pkg/model/jwks_resolver.go``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from meshchaos.mesh.istio.order import namespace_of
from meshchaos.mesh.istio.policies import ROOT_NAMESPACE, governing
from meshchaos.mesh.objects import Manifest

KIND = "RequestAuthentication"
DISCOVERY = "/.well-known/openid-configuration"
FETCH_TIMEOUT = "5s"
"""Istio's, where a rule has none of its own."""


def jwt_rules(
    objects: Iterable[Manifest], namespace: str, labels: Mapping[str, str], root_namespace: str = ROOT_NAMESPACE
) -> list[Mapping[str, Any]]:
    """The rules of all policies that select a workload, by issuer; of one issuer the workload's own namespace first."""
    found = governing(objects, KIND, namespace, labels, root_namespace)
    found.sort(key=lambda policy: namespace_of(policy) != namespace)
    rules = [rule for policy in found for rule in (policy.get("spec") or {}).get("jwtRules") or ()]
    return sorted(rules, key=lambda rule: str(rule.get("issuer") or ""))


def key_source(rule: Mapping[str, Any]) -> str | None:
    """Where the keys of a rule have to be fetched: an address, or its issuer's discovery document. None: nowhere."""
    if rule.get("jwks"):
        return None
    return str(rule["jwksUri"] if rule.get("jwksUri") else str(rule["issuer"]).removesuffix("/") + DISCOVERY)


def key_sources(objects: Iterable[Manifest], but: Collection[str] = ()) -> dict[str, str]:
    """All that have to be fetched -> how long that may take (the first rule's duration counts). ``but``: issuers
    whose keys are known.
    """
    found: dict[str, str] = {}
    for policy in objects:
        if policy.get("kind") == KIND:
            for rule in (policy.get("spec") or {}).get("jwtRules") or ():
                source = key_source(rule)
                if source is not None and rule.get("issuer") not in but:
                    found.setdefault(source, str(rule.get("timeout") or FETCH_TIMEOUT))
    return found


def _nobodys_key() -> str:
    """A public RSA key whose private half nobody has: its modulus is made of digests, so nobody chose its factors."""
    digits = b"".join(hashlib.sha256(f"meshchaos: no key {part}".encode()).digest() for part in range(8))
    modulus = bytes([digits[0] | 0x80]) + digits[1:-1] + bytes([digits[-1] | 1])
    number = base64.urlsafe_b64encode(modulus).rstrip(b"=").decode()
    return json.dumps({"keys": [{"kty": "RSA", "e": "AQAB", "n": number}]})


NO_KEYS = _nobodys_key()
"""What stands for keys that could not be fetched: every token of that issuer is refused, as under Istio."""
