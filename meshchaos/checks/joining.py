"""Which client's line each server's line belongs to.

An x-request-id is a trace's, not a call's: applications pass it on, so that all calls behind one request of a user's
bear the same, several clients' of one service among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshchaos.checks.edge import is_good
from meshchaos.history.edges import Edge, EdgeLine


@dataclass(frozen=True, slots=True)
class Call:
    """A client's line with the servers' lines of its attempts, by their starts: those that arrived."""

    sent: EdgeLine
    arrived: tuple[EdgeLine, ...]
    server: str | None
    """The replica that the client names as the last one tried."""

    @property
    def lost(self) -> bool:
        """Whether it failed and its last attempt is not in that replica's log: the connection was refused or reset, or
        the client gave up. A frozen proxy logs nothing of what waits for it. What the client's own breaker shed was
        sent nowhere.
        """
        if self.server is None or is_good(self.sent.line) or "UO" in self.sent.line.flags:
            return False
        return not self.reached

    @property
    def reached(self) -> bool:
        """Whether the replica tried last logged an attempt of it."""
        return any(one.proxy == self.server for one in self.arrived)


def calls_of(edge: Edge) -> list[Call]:
    """Every request of an edge, in the order of ``edge.sent``.

    A server's line goes to the client's line of its id; among several, to one of a client with the identity that the
    server saw, and of these to the one that lasted when it arrived, the latest begun. Clocks of machines differ, and a
    frozen server logs later than it was asked, so where none lasted then, the nearest in time is taken.
    """
    by_id: dict[str, list[int]] = {}
    for position, one in enumerate(edge.sent):
        by_id.setdefault(one.line.request_id, []).append(position)
    identities = {peer.name: peer.identity for peer in edge.record.clients}
    arrived: list[list[EdgeLine]] = [[] for _ in edge.sent]
    for one in edge.received:
        found = by_id.get(one.line.request_id)
        if found:
            chosen = found[0] if len(found) == 1 else _fitting(edge.sent, found, one, identities)
            arrived[chosen].append(one)
    servers = {peer.address: peer.name for peer in reversed(edge.record.servers)}
    return [
        Call(one, tuple(there), servers.get(one.line.upstream_host.rpartition(":")[0]))
        for one, there in zip(edge.sent, arrived, strict=True)
    ]


def _fitting(sent: Sequence[EdgeLine], found: Sequence[int], arrival: EdgeLine, identities: dict[str, str]) -> int:
    peer, at = arrival.line.peer, arrival.line.start
    same = [position for position in found if peer and identities.get(sent[position].proxy) == peer]

    def distance(position: int) -> tuple[float, float]:
        line = sent[position].line
        return max(line.start - at, at - line.start - line.duration, 0.0), -line.start

    return min(same or found, key=distance)
