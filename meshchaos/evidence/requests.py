"""How many requests a proxy has by its own count: whether its access log can be whole yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshchaos.mesh.seam import Proxy

QUIET: Final = 0.06
"""Seconds without a new line after which a proxy with nothing in flight has written all: three flush intervals."""
POLL: Final = 0.02
NEGLIGIBLE: Final = 0.005
"""Requests still in flight, as a share of those counted, that may be missing without moving a share."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Of one proxy's side: in flight now, and all ever (None: not exposed)."""

    active: int
    total: int | None


def requests_of(proxy: Proxy, side: str) -> Requests:
    """``side``: ``inbound`` or ``outbound``. Raises EvidenceError, MeshGone."""
    prefix = rf"^http\.{side}_.*\."
    found = proxy.stats(rf"{prefix}downstream_rq_active$|{prefix}downstream_rq_total$")
    # A tunnel is logged when it ends, which may be never; the requests in it are counted and logged behind it.
    totals = [value for name, value in found.items() if name.endswith("_total") and "_connect;" not in name]
    active = sum(value for name, value in found.items() if name.endswith("_active"))
    return Requests(active, sum(totals) if totals else None)
