"""Protocols and target ports of a Service, as Istio reads them (``pkg/config/kube``, ``pkg/config/protocol``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Protocol = Literal["http", "http2", "grpc", "grpc-web", "https", "tls", "tcp", "udp", "mongo", "redis", "mysql", "auto"]

_BY_NAME: Mapping[str, Protocol] = {
    "http": "http",
    "http2": "http2",
    "grpc": "grpc",
    "https": "https",
    "tls": "tls",
    "tcp": "tcp",
    "udp": "udp",
    "mongo": "mongo",
    "redis": "redis",
    "mysql": "mysql",
}
_BY_APP_PROTOCOL: Mapping[str, Protocol] = {
    "kubernetes.io/h2c": "http2",
    "kubernetes.io/ws": "http",
    "kubernetes.io/wss": "https",
}
_NEVER_SNIFFED = frozenset({25, 53, 3306, 27017})
"""SMTP, DNS, MySQL, MongoDB: the server may speak first, so Istio takes them as TCP unless told otherwise."""

_HTTP = frozenset({"http", "http2", "grpc", "grpc-web"})


def protocol(port: Mapping[str, Any]) -> Protocol:
    """The protocol of a Service's port.

    By ``appProtocol``, else by the port's name up to its first ``-``; ``auto`` where neither says: Istio then sniffs
    each connection, and HTTP rules act on those that turn out to be HTTP.
    """
    if str(port.get("protocol") or "TCP").upper() == "UDP":
        return "udp"
    said = str(port.get("appProtocol") or "").lower()
    if said in _BY_APP_PROTOCOL:
        return _BY_APP_PROTOCOL[said]
    name = said or str(port.get("name") or "").lower()
    if name.startswith("grpc-web"):
        return "grpc-web"
    found = _BY_NAME.get(name.partition("-")[0])
    if found is not None and found != "udp":
        return found
    return "tcp" if int(port["port"]) in _NEVER_SNIFFED else "auto"


def is_http(kind: str) -> bool:
    """Whether HTTP rules act on such a port for sure (``auto`` is not known before the connection)."""
    return kind in _HTTP


def may_be_http(kind: str) -> bool:
    """Whether HTTP rules act on such a port, for sure or where the traffic turns out to be HTTP."""
    return kind in _HTTP or kind == "auto"


def is_http2(kind: str) -> bool:
    """Whether the application is spoken to in HTTP/2."""
    return kind in {"http2", "grpc"}


def target_port(port: Mapping[str, Any], pod_spec: Mapping[str, Any] | None = None) -> int | None:
    """The number of the container's port behind a Service's port.

    ``pod_spec``: the ``spec`` of a Pod or of a Deployment's template, which resolves names; None when a name is
    found in no container.
    """
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int) or str(target).isdigit():
        return int(target)
    for container in (pod_spec or {}).get("containers") or ():
        for declared in container.get("ports") or ():
            if declared.get("name") == target:
                return int(declared["containerPort"])
    return None
