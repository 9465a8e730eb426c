"""Gateway: servers that speak plain HTTP."""

from __future__ import annotations

from typing import Any

from meshchaos.mesh.local.objects.kinds.kind import Kind
from meshchaos.mesh.local.objects.kinds.shared import ISTIO_NETWORKING, LABELS
from meshchaos.mesh.local.objects.schema import (
    Path,
    Problem,
    did_you_mean,
    integer,
    kind_of,
    listing,
    record,
    text,
    unsupported,
)
from meshchaos.mesh.local.objects.values import dns_label, gateway_host

_SERVED = ("HTTP", "HTTP2", "GRPC")
_OTHERS = ("HTTPS", "TLS", "TCP", "GRPC-WEB", "MONGO", "REDIS", "MYSQL")


def _protocol(value: Any, path: Path, problems: list[Problem]) -> None:
    """Case does not count, as in Istio."""
    name = value.upper() if isinstance(value, str) else None
    if name in _OTHERS:
        problems.append(Problem(path, f"{value} servers are not supported by the local mesh yet; write HTTP"))
    elif name not in _SERVED:
        hint = did_you_mean(value, _SERVED) if isinstance(value, str) else ""
        problems.append(Problem(path, f"must be one of {', '.join(_SERVED)}, is {kind_of(value)}{hint}"))


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
        "tls": unsupported("TLS at the gateway is not supported by the local mesh yet"),
    },
    required=("port", "hosts"),
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
