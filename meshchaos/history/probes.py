"""The calls that a run made by itself to see who is let through, and how each ended, as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from meshchaos.history.asks import ProbeAsk
from meshchaos.mesh.seam import ProxyLogLine

REFUSED: Final = ("rbac_access_denied", "jwt_authn_access_denied", "ext_authz_denied", "ext_authz_error")
"""How the details of a request begin that a proxy refused: by AuthorizationPolicy, RequestAuthentication, or an
authorizer that AuthorizationPolicy (CUSTOM) names, also for that authorizer's not answering (unless it fails open).
"""

Failure = Literal["", "reset", "timeout", "connect", "other"]
"""Why there was no answer: the connection was made and closed, ours to close, never made, or was no HTTP."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One call of a matrix. ``source`` and ``to`` in full (``reviews-v1.shop``, ``ratings.shop:9080``); ``token``
    is its position in the ask. ``url`` is what is requested.
    """

    source: str
    to: str
    method: str
    path: str
    url: str
    token: int = 0

    @property
    def plaintext(self) -> bool:
        """Whether it comes without a sidecar."""
        return self.source == "outside"


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """A matrix as it was found on a mesh. ``every``: seconds between two calls of a cell. ``left_out``: why whom the
    ask means is in no cell. ``counted``: replicas (``name.namespace``) whose applications' own counts of requests are
    comparable with what their proxies let through. ``problem``: why not all was probed.
    """

    ask: ProbeAsk
    cells: tuple[Cell, ...]
    every: float = 1.0
    left_out: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """One call. ``cell`` is its position in the record; ``phase`` that in which it began and ended, empty where that
    is none. ``start`` and ``end`` in epoch seconds, ``status`` 0 without an answer.
    """

    cell: int
    phase: str
    id: str
    start: float
    end: float
    status: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class Hits:
    """Requests that one replica's application counted by itself; ``at`` (epoch s) is just after its being asked when
    probing begins, and just before when it ends.
    """

    replica: str
    at: float
    value: int


@dataclass(frozen=True, slots=True)
class Probed:
    """The answer to a ``ProbeAsk``; ``probes`` by their start."""

    record: ProbeRecord
    probes: tuple[Probe, ...]
    hits: tuple[Hits, ...] = ()


_PROBE_ID = re.compile(r"[0-9a-f]{8}-f[0-9a-f]{3}-[0-9a-f]000-8000-[0-9a-f]{12}")


def probe_id(run_id: str, cell: int, seq: int) -> str:
    """The x-request-id of a probe, a UUID in the form of ``samples.request_id`` whose load would be 0xf000 and more.

    ``run_id``: 8 hex digits; ``cell`` below 4096.
    """
    return f"{int(run_id, 16):08x}-{0xF000 | cell:04x}-4000-8000-{seq:012x}"


def is_probe(seen: str) -> bool:
    """Whether an x-request-id found in a log is a probe's, or of what an application asked for on a probe's account."""
    return _PROBE_ID.fullmatch(seen) is not None


def reached(line: ProxyLogLine) -> bool:
    """Whether a server's proxy passed the request on to its application."""
    return bool(line.upstream_host) and "UF" not in line.flags


def refused(line: ProxyLogLine) -> bool:
    """Whether a proxy, a server's or a gateway, refused the request by a policy."""
    return not line.upstream_host and line.details.startswith(REFUSED)
