"""Istio's names for Envoy's resources (``pilot/pkg/model``), and its values in protobuf's JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshchaos.mesh.istio.order import namespace_of
from meshchaos.mesh.local.objects.values import nanoseconds
from meshchaos.mesh.objects import Manifest

Json = dict[str, Any]

HTTP_PROXY = "http_proxy"
"""Route configuration of the explicit HTTP proxy (Istio's ``proxyHttpPort``): all services, all ports."""
VIRTUAL_INBOUND = "virtualInbound"
VIRTUAL_OUTBOUND = "virtualOutbound"
BLACK_HOLE_CLUSTER = "BlackHoleCluster"
PASSTHROUGH_CLUSTER = "PassthroughCluster"
BLOCK_ALL = "block_all"
"""Virtual host and route for hosts that the mesh does not know, as under Istio's REGISTRY_ONLY."""
DEFAULT_ROUTE = "default"

ISTIO_MTLS_ALPN = ("istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")
HTTP_FILTER_FAULT = "envoy.filters.http.fault"
HTTP_FILTER_CORS = "envoy.filters.http.cors"
HTTP_FILTER_ALPN = "istio.alpn"
"""Istio's own filter; here ``set_filter_state`` under the same name does its work."""

_EXTENSIONS = "type.googleapis.com/envoy.extensions."
_CONFIG = "type.googleapis.com/envoy.config."

_KINDS = {"VirtualService": "virtual-service", "DestinationRule": "destination-rule"}


def extension(name: str, /, **fields: Any) -> Json:
    """A message of ``envoy.extensions`` as protobuf ``Any`` in JSON."""
    return {"@type": _EXTENSIONS + name, **fields}


def config(name: str, /, **fields: Any) -> Json:
    """A message of ``envoy.config`` as protobuf ``Any`` in JSON."""
    return {"@type": _CONFIG + name, **fields}


def outbound_cluster(port: int, subset: str, host: str) -> str:
    return f"outbound|{port}|{subset}|{host}"


def inbound_cluster(target_port: int) -> str:
    """Also the name of the inbound route configuration."""
    return f"inbound|{target_port}||"


def inbound_virtual_host(service_port: int) -> str:
    return f"inbound|http|{service_port}"


def sni(port: int, subset: str, host: str) -> str:
    """The server name in an outbound cluster's TLS: its name with what DNS allows."""
    return f"outbound_.{port}_.{subset}_.{host}"


def gateway_routes(port: int) -> str:
    return f"http.{port}"


def secure_gateway_routes(port: int, port_name: str, gateway: str) -> str:
    """``gateway``: ``namespace/name``. One for each server over TLS: a client chooses among them by its SNI."""
    namespace, _, name = gateway.partition("/")
    return f"https.{port}.{port_name}.{name}.{namespace}"


def stat_name(name: str) -> str:
    """Istio ends its stat prefixes with ``;``, so that tags can be told from them."""
    return f"{name};"


def socket_address(address: str, port: int) -> Json:
    return {"socket_address": {"address": address, "port_value": port}}


def host_and_port(address: str) -> Json:
    """``127.0.0.1:8080`` as an Envoy address."""
    host, _, port = address.rpartition(":")
    return socket_address(host, int(port))


def duration(value: str) -> str:
    """An Istio duration (``1m30s``) in protobuf's JSON (``90s``, ``0.25s``). Raises ValueError for anything else."""
    length = nanoseconds(str(value))
    if length is None:
        raise ValueError(f"{value!r} is not a duration")
    seconds, rest = divmod(length, 10**9)
    return f"{seconds}.{rest:09d}".rstrip("0") + "s" if rest else f"{seconds}s"


def metadata(*, owner: Manifest | None = None, **istio: Any) -> Json:
    """Istio's metadata of a resource: ``config`` is the path of the object it was made from."""
    fields: Json = dict(istio)
    if owner is not None:
        kind = str(owner.get("kind"))
        fields["config"] = (
            f"/apis/networking.istio.io/v1/namespaces/{namespace_of(owner)}"
            f"/{_KINDS.get(kind, kind.lower())}/{owner['metadata']['name']}"
        )
    return {"filter_metadata": {"istio": fields}}


def fraction(percentage: Mapping[str, Any] | None) -> Json:
    """Istio's ``percentage: {value}`` as Envoy's fraction; a missing one is 0 %, as in Istio, cut to 0.0001 %."""
    value = float((percentage or {}).get("value") or 0)
    return {"numerator": int(value * 10_000), "denominator": "MILLION"}
