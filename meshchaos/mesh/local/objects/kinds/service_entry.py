"""ServiceEntry: hosts with endpoints that it names (STATIC), or with the workloads of a selector."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from meshchaos.mesh.local.objects.kinds.kind import Kind
from meshchaos.mesh.local.objects.kinds.shared import EXPORT_TO, ISTIO_NETWORKING, LABELS
from meshchaos.mesh.local.objects.schema import (
    Path,
    Problem,
    at_most_one,
    did_you_mean,
    distinct,
    integer,
    kind_of,
    listing,
    mapping,
    record,
    text,
    unsupported,
    word,
)
from meshchaos.mesh.local.objects.values import all_of, dns_label, host, label_key, label_value, object_name
from meshchaos.mesh.objects import Manifest

LOCAL: Final = ("127.0.0.0/8", "198.18.0.0/15")
"""Where endpoints may be without being asked for: this machine, and the networks for benchmarks (RFC 2544)."""

_PROTOCOLS = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS", "TLS", "TCP", "MONGO", "REDIS", "MYSQL")
_STATIC = "write STATIC, and endpoints (of this machine, say 127.0.0.1)"


def _no_short_name(value: Any) -> str | None:
    if value == "*":
        return "must name a host, not *; *.example.com is one"
    return None


def _protocol(value: Any, path: Path, problems: list[Problem]) -> None:
    """Case does not count, as in Istio."""
    name = value.upper() if isinstance(value, str) else None
    if name == "UDP":
        problems.append(Problem(path, "only TCP is supported by the local mesh"))
    elif name not in _PROTOCOLS:
        hint = did_you_mean(value, _PROTOCOLS) if isinstance(value, str) else ""
        problems.append(Problem(path, f"must be one of {', '.join(_PROTOCOLS)}, is {kind_of(value)}{hint}"))


def _resolution(value: Any, path: Path, problems: list[Problem]) -> None:
    if value == "NONE":
        problems.append(Problem(path, f"NONE needs captured traffic, which the local mesh has not; {_STATIC}"))
    elif value in {"DNS", "DNS_ROUND_ROBIN"}:
        problems.append(Problem(path, f"{value} is not supported by the local mesh, which asks no DNS; {_STATIC}"))
    else:
        word("STATIC", "NONE", "DNS", "DNS_ROUND_ROBIN")(value, path, problems)


def _address(value: Any) -> str | None:
    if value.startswith("unix://"):
        return "Unix sockets are not supported by the local mesh; write an IPv4 address"
    return None if _is_ipv4(value) else f"{value!r} must be an IPv4 address: with STATIC nobody looks a name up"


def _virtual(value: Any) -> str | None:
    if "/" in value:
        return "ranges of addresses are not supported by the local mesh, which captures no traffic; write one address"
    return None if _is_ipv4(value) else f"{value!r} must be an IPv4 address"


def _is_ipv4(value: str) -> bool:
    try:
        return isinstance(ipaddress.ip_address(value), ipaddress.IPv4Address)
    except ValueError:
        return False


PORT = record(
    {
        "number": integer(1, 65535),
        "name": text(dns_label),
        "protocol": _protocol,
        "targetPort": integer(1, 65535),
    },
    required=("number", "name"),
)

ENDPOINT = record(
    {
        "address": text(_address),
        "ports": mapping(integer(1, 65535), nonempty=True),
        "labels": LABELS,
        "weight": integer(0),
        "locality": text(),
        "serviceAccount": text(object_name),
        "network": unsupported("the local mesh is one network"),
    },
    required=("address",),
)


def _known_ports(spec: Any) -> str | None:
    names = [port["name"] for port in spec["ports"]]
    for endpoint in spec.get("endpoints") or ():
        for name in endpoint.get("ports") or ():
            if name not in names:
                return f"an endpoint has the port {name!r}, the entry has {', '.join(names)}"
    return None


def _says_resolution(spec: Any) -> str | None:
    return None if "resolution" in spec else f"resolution left out is NONE, which the local mesh has not; {_STATIC}"


SPEC = record(
    {
        "hosts": listing(text(all_of(_no_short_name, host)), nonempty=True),
        "addresses": listing(text(_virtual)),
        "ports": listing(PORT, nonempty=True, rules=(distinct("name"), distinct("number"))),
        "location": word("MESH_EXTERNAL", "MESH_INTERNAL"),
        "resolution": _resolution,
        "endpoints": listing(ENDPOINT),
        "workloadSelector": record(
            {"labels": mapping(text(label_value), key=label_key, nonempty=True)}, required=("labels",)
        ),
        "exportTo": EXPORT_TO,
        "subjectAltNames": listing(text()),
    },
    required=("hosts", "ports"),
    rules=(_says_resolution, at_most_one("workloadSelector", "endpoints"), _known_ports),
)

KINDS = (Kind("ServiceEntry", ISTIO_NETWORKING, {"spec": SPEC}),)


def far_endpoints(manifest: Manifest, allowed: Sequence[str]) -> Iterator[Problem]:
    """Endpoints of a ServiceEntry beyond this machine, where no network of ``allowed`` holds them: traffic that an
    experiment drives, faults and retries included, must not leave it unasked.
    """
    if manifest.get("kind") != "ServiceEntry":
        return
    networks = list(_networks((*LOCAL, *allowed)))
    for position, endpoint in enumerate((manifest.get("spec") or {}).get("endpoints") or ()):
        if not any(ipaddress.ip_address(endpoint["address"]) in network for network in networks):
            message = (
                f"{endpoint['address']} is not of this machine ({', '.join(LOCAL)}); to let traffic go there, add it "
                f"to local.endpoints of this mesh in meshchaos.yaml"
            )
            yield Problem(("spec", "endpoints", position, "address"), message)


def _networks(ranges: Iterable[str]) -> Iterator[ipaddress.IPv4Network]:
    for one in ranges:
        yield ipaddress.IPv4Network(one)
