"""Istio's ways to write a text that is matched (``*``, ``abc*``, ``*abc``, ``abc``) as Envoy's matchers.

``pilot/pkg/security/authz/matcher``; addresses by ``networking/util``.
"""

from __future__ import annotations

import ipaddress
import re

from meshchaos.mesh.local.translate.names import Json


def quoted(value: str) -> str:
    """A literal in RE2's language; as Go's QuoteMeta, so that names read as Istio's do."""
    return re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", value)


def regex(value: str) -> Json:
    return {"safe_regex": {"regex": value}}


def string(value: str, *, prefix: str = "") -> Json:
    """A StringMatcher; ``*`` is anything but nothing. ``prefix`` stands in front of what is written."""
    if value == "*":
        return regex(".+")
    if value.startswith("*"):
        return regex(f"{prefix}.*{quoted(value[1:])}") if prefix else {"suffix": value[1:]}
    return {"prefix": prefix + value[:-1]} if value.endswith("*") else {"exact": prefix + value}


def header(name: str, value: str, *, ignore_case: bool = False) -> Json:
    """A HeaderMatcher; ``*``: it is there."""
    if value == "*":
        return {"name": name, "present_match": True}
    matcher = string(value)
    return {"name": name, "string_match": {**matcher, "ignore_case": True} if ignore_case else matcher}


def cidr(value: str) -> Json:
    """``10.0.0.0/8``, or one address. Raises ValueError."""
    interface = ipaddress.ip_interface(value)
    return {"address_prefix": str(interface.ip), "prefix_len": interface.network.prefixlen}
