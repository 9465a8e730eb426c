"""How many requests a proxy has by its own count: whether its access log can be whole yet."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from meshchaos.errors import EvidenceError, MeshGone
from meshchaos.mesh.seam import Proxy

POLL: Final = 0.02
NEGLIGIBLE: Final = 0.005
"""Requests still in flight, as a share of those counted, that may be missing without moving a share."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Of one proxy's side: in flight now, and all ever (None: not exposed)."""

    active: int
    total: int | None


def quiet_of(proxies: Iterable[Proxy]) -> float:
    """Seconds without a new line from any of them after which all is written (``Proxy.quiet``)."""
    return max((proxy.quiet for proxy in proxies), default=0.0)


def requests_of(proxy: Proxy, side: str) -> Requests:
    """``side``: ``inbound`` or ``outbound``. Raises EvidenceError, MeshGone."""
    prefix = rf"^http\.{side}_.*\."
    found = proxy.stats(rf"{prefix}downstream_rq_active$|{prefix}downstream_rq_total$")
    # A tunnel is logged when it ends, which may be never; the requests in it are counted and logged behind it.
    totals = [value for name, value in found.items() if name.endswith("_total") and "_connect;" not in name]
    active = sum(value for name, value in found.items() if name.endswith("_active"))
    return Requests(active, sum(totals) if totals else None)


def requests_left(proxy: Proxy, side: str) -> Requests:
    """The same at a run's end, where lines have to be whole. Raises EvidenceError for a proxy that has ended."""
    try:
        return requests_of(proxy, side)
    except MeshGone as error:
        raise EvidenceError(f"{proxy.name} ended in mid-run, with what it had not written down: {error}") from error


@dataclass(frozen=True, slots=True)
class Begun:
    """What one side of a proxy had counted at a moment: every request that started before ``at`` (epoch s) is in it, if
    the moment is the first one, and none that started after it, if it is the last: the proxy is asked in between.
    """

    at: float
    requests: Requests

    @classmethod
    def first(cls, proxy: Proxy, side: str) -> Begun:
        """From here on."""
        now = time.time()
        return cls(now, requests_of(proxy, side))

    @classmethod
    def last(cls, proxy: Proxy, side: str) -> Begun:
        """Up to here. Raises EvidenceError."""
        found = requests_left(proxy, side)
        return cls(time.time(), found)


@dataclass(frozen=True, slots=True)
class Standing:
    """What has become of the requests that began between two moments: ``due`` is their number (None: the proxy exposes
    none; negative: it was started anew), ``logged`` how many have their lines, ``active`` how many are in flight.
    """

    active: int
    due: int | None
    logged: int

    @property
    def whole(self) -> bool:
        return self.due is not None and self.due == self.logged

    @property
    def over(self) -> int:
        """Those that must have a line."""
        return (self.due or 0) - self.active


def standing(first: Begun, last: Begun, starts: Sequence[float], active: int) -> Standing:
    """``starts``: of the requests of every line of that side (epoch s); ``active``: in flight now. Traffic may go on
    while the lines of what went before are waited for: what began later is left out.
    """
    logged = sum(first.at < start <= last.at for start in starts)
    begun, ended = first.requests.total, last.requests.total
    if begun is None or ended is None:
        return Standing(active, None, logged)
    due = ended - begun
    return Standing(max(0, min(active, due - logged)), due, min(logged, due) if due > 0 else logged)
