"""gRPC over HTTP/2 as far as a load and a stub need it; pure (the protocol's ``PROTOCOL-HTTP2.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CONTENT_TYPE: Final = "application/grpc"
HEALTH_CHECK: Final = "/grpc.health.v1.Health/Check"
SERVING: Final = b"\x08\x01"
"""``HealthCheckResponse{status: SERVING}``."""

OK: Final = 0
UNKNOWN: Final = 2

_BY_HTTP: Final = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}


def frame(message: bytes) -> bytes:
    """A message as it is sent: not compressed, its length in four bytes, itself."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def status_of(http: int) -> int:
    """The gRPC status of an answer that has none, by its HTTP status (``http-grpc-status-mapping.md``: what is not
    listed there is UNKNOWN, and a 200 without a status is no answer of gRPC).
    """
    return _BY_HTTP.get(http, UNKNOWN)


def is_grpc(headers: Mapping[str, str]) -> bool:
    """Whether a request with such headers (lower case) is gRPC."""
    kind = headers.get("content-type", "")
    return kind == CONTENT_TYPE or kind.startswith((f"{CONTENT_TYPE}+", f"{CONTENT_TYPE};"))
