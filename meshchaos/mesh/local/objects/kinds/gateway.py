"""Gateway: servers that speak HTTP, in plaintext or over TLS that the gateway ends."""

from __future__ import annotations

from typing import Any

from meshchaos.mesh.local.objects.kinds.kind import Kind
from meshchaos.mesh.local.objects.kinds.shared import ISTIO_NETWORKING, LABELS
from meshchaos.mesh.local.objects.schema import (
    Path,
    Problem,
    boolean,
    did_you_mean,
    integer,
    kind_of,
    listing,
    record,
    text,
    unsupported,
    word,
)
from meshchaos.mesh.local.objects.values import dns_label, gateway_host

_SERVED = ("HTTP", "HTTPS", "HTTP2", "GRPC")
_OTHERS = ("TLS", "TCP", "GRPC-WEB", "MONGO", "REDIS", "MYSQL")
_VERSIONS = ("TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3")


def _protocol(value: Any, path: Path, problems: list[Problem]) -> None:
    """Case does not count, as in Istio."""
    name = value.upper() if isinstance(value, str) else None
    if name in _OTHERS:
        problems.append(Problem(path, f"{value} servers are not supported by the local mesh yet; write HTTP or HTTPS"))
    elif name not in _SERVED:
        hint = did_you_mean(value, _SERVED) if isinstance(value, str) else ""
        problems.append(Problem(path, f"must be one of {', '.join(_SERVED)}, is {kind_of(value)}{hint}"))


def _mode(value: Any, path: Path, problems: list[Problem]) -> None:
    if value != "SIMPLE":
        reason = "only SIMPLE is supported by the local mesh, which has no certificates of your clients"
        problems.append(Problem(path, f"{reason}; is {value}"))


TLS = record(
    {
        "mode": _mode,
        "httpsRedirect": boolean,
        # Whatever they name stays where it is: the local mesh shows a certificate of its own.
        **dict.fromkeys(("credentialName", "serverCertificate", "privateKey"), text()),
        "minProtocolVersion": word(*_VERSIONS),
        "maxProtocolVersion": word(*_VERSIONS),
    },
)


def _tls(server: Any) -> str | None:
    """As Istio's validation has it; a mode left out is PASSTHROUGH there."""
    tls = server.get("tls") or {}
    if server["port"]["protocol"].upper() == "HTTPS":
        if tls.get("mode") is None:
            return "an HTTPS server needs tls: {mode: SIMPLE, credentialName: ...}; without a mode it is PASSTHROUGH"
        if tls.get("httpsRedirect"):
            return "httpsRedirect is for the server that speaks plain HTTP"
        if not tls.get("credentialName") and not (tls.get("serverCertificate") and tls.get("privateKey")):
            return "tls needs a credentialName, or a serverCertificate and a privateKey"
        return None
    if tls.keys() - {"httpsRedirect"}:
        return "a server that speaks plain HTTP takes nothing of tls but httpsRedirect"
    return None


SERVER = record(
    {
        "port": record(
            {
                "number": integer(1, 65535),
                "name": text(),
                "protocol": _protocol,
                "targetPort": unsupported("does nothing in Istio; leave it out"),
            },
            required=("number", "name", "protocol"),
        ),
        "hosts": listing(text(gateway_host), nonempty=True),
        "name": text(),
        "bind": unsupported(),
        "defaultEndpoint": unsupported(),
        "tls": TLS,
    },
    required=("port", "hosts"),
    rules=(_tls,),
)


def _port_names(servers: Any) -> str | None:
    names = [server["port"]["name"] for server in servers]
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"two servers have the port name {twice[0]}" if twice else None


SPEC = record(
    {
        "selector": LABELS,
        "servers": listing(SERVER, nonempty=True, rules=(_port_names,)),
    },
    required=("servers",),
)

KINDS = (Kind("Gateway", ISTIO_NETWORKING, {"spec": SPEC}, naming=dns_label),)
