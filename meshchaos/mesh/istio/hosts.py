"""Host names as Istio resolves them (``pilot/pkg/model/config.go``, ``networking/core/httproute.go``)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import TypeVar

DOMAIN = "cluster.local"

T = TypeVar("T")


def fqdn(host: str, namespace: str, domain: str = DOMAIN) -> str:
    """The full name of a host written in an object of ``namespace``.

    Only a name without any dot is completed: ``ratings`` is ``ratings.<namespace>.svc.<domain>``, but
    ``ratings.bookinfo`` stays as it is, as in Istio (which warns about it). ``*`` and IP addresses stay.
    """
    if not host or host == "*" or "." in host or _is_address(host):
        return host.lower()
    return f"{host}.{namespace}.svc.{domain}".lower()


def service_fqdn(name: str, namespace: str, domain: str = DOMAIN) -> str:
    """The full name of the Service ``name`` in ``namespace``."""
    return f"{name}.{namespace}.svc.{domain}"


def short_names(host: str, client_namespace: str, domain: str = DOMAIN) -> tuple[str, ...]:
    """The shorter names by which a client of ``client_namespace`` may also call the service ``host``.

    ``("ratings", "ratings.bookinfo.svc", "ratings.bookinfo")`` from its own namespace, without the first
    from another one; nothing for a host that is not a service of the cluster. Istio's order.
    """
    suffix = f".svc.{domain}"
    if not host.endswith(suffix):
        return ()
    inside = host.removesuffix(suffix)
    name, dot, namespace = inside.partition(".")
    if not (dot and name and namespace):
        return ()
    full = (f"{inside}.svc", inside)
    return (name, *full) if namespace == client_namespace else (inside, f"{inside}.svc")


def is_wildcard(host: str) -> bool:
    return host.startswith("*")


def matches(pattern: str, host: str) -> bool:
    """Whether ``pattern`` (``*``, ``*.example.com``, ``www.example.com``) covers ``host``; case does not matter.

    A wildcard host is covered by a wider wildcard too (``*.com`` covers ``*.example.com``).
    """
    pattern, host = pattern.lower(), host.lower()
    if not is_wildcard(pattern):
        return pattern == host
    return host.removeprefix("*").endswith(pattern[1:]) and len(host) >= len(pattern)


def overlaps(one: str, other: str) -> bool:
    """Whether some host is covered by both patterns."""
    return matches(one, other) or matches(other, one)


def most_specific(host: str, patterns: Mapping[str, T] | Iterable[str]) -> str | None:
    """The pattern that covers ``host`` best: itself, else the longest wildcard; None when none does."""
    if isinstance(patterns, Mapping) and host.lower() in patterns:
        return host.lower()
    found = [pattern for pattern in patterns if matches(pattern, host)]
    if host.lower() in found:
        return host.lower()
    return max(found, key=len, default=None)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
