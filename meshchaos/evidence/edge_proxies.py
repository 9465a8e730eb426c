"""One proxy at an end of watched edges, and which edges it is at the end of."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from meshchaos.evidence.requests import NEGLIGIBLE, Begun, Requests, Standing, requests_of, standing
from meshchaos.evidence.settled import Settled
from meshchaos.history.edges import Peer
from meshchaos.mesh.seam import Proxy, Replica

SIDES = ("outbound", "inbound")


@dataclass(slots=True)
class WatchedProxy:
    """One proxy. ``sends``, ``receives``: positions of the edges that it is a client, a server of. ``begun``: its own
    counts when its log was first looked at, by side; ``logged``: when the requests of that side's lines since started;
    ``settled``: up to when nothing that it sent is open.
    """

    proxy: Proxy
    mark: int
    sends: list[int]
    receives: list[int]
    begun: dict[str, Begun]
    logged: dict[str, array[float]]
    settled: Settled

    def sides(self) -> dict[str, list[int]]:
        """Those that concern an edge, with the edges' positions."""
        return {side: edges for side, edges in zip(SIDES, (self.sends, self.receives), strict=True) if edges}

    def standing(self, last: dict[str, Begun], active: dict[str, int]) -> dict[str, Standing]:
        """How things stand with what had begun by then, by side."""
        return {side: standing(self.begun[side], last[side], self.logged[side], active[side]) for side in last}

    @classmethod
    def begin(cls, proxy: Proxy, sends: list[int], receives: list[int], *, fresh: bool) -> WatchedProxy:
        """``fresh``: it has no past, as it came while others were watched. Raises EvidenceError, MeshGone."""
        mark = 0 if fresh else proxy.log_mark()
        begun = {side: Begun(0.0, Requests(0, 0)) if fresh else Begun.first(proxy, side) for side in SIDES}
        first = begun["outbound"]
        settled = Settled(lambda: requests_of(proxy, "outbound").total, first.at, first.requests.total)
        return cls(proxy, mark, sends, receives, begun, {side: array("d") for side in SIDES}, settled)


def lacking(name: str, state: Standing) -> str | None:
    """Why a log is not whole: it lacks requests, or there are some without an end."""
    if state.due is None:
        return None
    if state.due < 0:
        return f"{name} was started anew in mid-run: its log may lack requests"
    if state.active > NEGLIGIBLE * max(state.over, 1):
        return f"{name} still has {state.active} requests in flight"
    if state.over - state.logged > NEGLIGIBLE * state.over:
        return f"the access log of {name} lost lines: {state.logged:,} for {state.over:,} requests"
    return None


def among(peers: Sequence[Peer], replica: Replica) -> bool:
    """Whether a replica is of a workload that stands there."""
    return any(alike(peer, replica) for peer in peers)


def alike(peer: Peer, replica: Replica) -> bool:
    return peer.workload == replica.workload and peer.name.endswith(f".{replica.namespace}")


def joined(peers: tuple[Peer, ...], peer: Peer) -> tuple[Peer, ...]:
    known = next((one for one in peers if one.name == peer.name and one.address == peer.address), None)
    return peers if known is not None else (*peers, peer)
