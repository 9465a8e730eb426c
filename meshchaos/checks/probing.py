"""How one probe ended, by what the proxies at both ends logged under its x-request-id."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from meshchaos.history.edges import Edge, EdgeLine, StatPoint
from meshchaos.history.probes import Probe, reached, refused
from meshchaos.mesh.seam import ProxyLogLine

NO_CHAIN: Final = r"listener\..*\.no_filter_chain_match"
"""Envoy's count of connections that no filter chain takes: plaintext, where mutual TLS is demanded."""


class End(StrEnum):
    """REACHED the application; REFUSED by the mesh; ADMITTED by the policies, and stopped by something else at the
    server; STOPPED before it came to the server, or nobody knows what became of it.
    """

    REACHED = "reached the application"
    REFUSED = "refused by the mesh"
    ADMITTED = "let through by the policies"
    STOPPED = "stopped on the way"


@dataclass(frozen=True, slots=True)
class Fate:
    """``words`` say by what it is known."""

    end: End
    words: str


@dataclass
class Witness:
    """What is known of the probes of some edges. ``exposed``: whether the servers' proxies show ``NO_CHAIN``."""

    received: dict[str, list[EdgeLine]] = field(default_factory=dict)
    sent: dict[str, list[EdgeLine]] = field(default_factory=dict)
    bare: set[str] = field(default_factory=set)
    """Addresses of servers without a sidecar."""
    looks: dict[str, list[StatPoint]] = field(default_factory=dict)
    """Of ``NO_CHAIN``, by proxy and statistic, in time's order."""

    @property
    def exposed(self) -> bool:
        return bool(self.looks)

    def moved(self, start: float, end: float) -> int:
        """By how much the servers' ``NO_CHAIN`` rose between the last looks before and the first ones after."""
        return sum(_rise(points, start, end) for points in self.looks.values())

    def fate(self, probe: Probe) -> Fate:
        """How a probe ended."""
        lines = [one.line for one in self.received.get(probe.id, ())]
        for line in lines:
            if reached(line):
                return Fate(End.REACHED, f"the application answered {line.status or probe.status or 'nothing'}")
        for line in lines:
            if refused(line):
                return Fate(End.REFUSED, f"{line.status} {line.details}")
        if lines:
            return Fate(End.ADMITTED, f"then stopped: {_words(lines[-1])}")
        return self._unseen(probe)

    def _unseen(self, probe: Probe) -> Fate:
        """Of one that no server's proxy logged."""
        sent = [one.line for one in self.sent.get(probe.id, ())]
        for line in sent:
            if line.upstream_host.rpartition(":")[0] in self.bare and reached(line):
                return Fate(End.REACHED, f"a replica without a sidecar answered {line.status}")
        for one in self.sent.get(probe.id, ()):
            if refused(one.line):  # only gateways have policies about what they pass on
                return Fate(End.REFUSED, f"{one.line.status} {one.line.details}, at {one.proxy}")
        cut = probe.failure == "reset" if not sent else any("UC" in line.flags for line in sent)
        if cut:
            if self.moved(probe.start, probe.end) > 0:
                return Fate(End.REFUSED, "the connection was closed: no filter chain for plaintext")
            return Fate(End.STOPPED, "the connection was closed, and no server's proxy counts a refusal")
        if sent:
            return Fate(End.STOPPED, f"at its own proxy: {_words(sent[-1])}")
        if probe.status and self.bare:
            return Fate(End.REACHED, f"a replica without a sidecar answered {probe.status}")
        why = {"connect": "no connection", "timeout": "no answer in time", "reset": "connection closed"}
        return Fate(End.STOPPED, why.get(probe.failure, f"{probe.status or 'no answer'}, and no proxy logged it"))


def witness(edges: Iterable[Edge], ids: frozenset[str]) -> Witness:
    """What these edges say about the probes of these x-request-ids."""
    found = Witness()
    for edge in edges:
        for lines, by_id in ((edge.received, found.received), (edge.sent, found.sent)):
            for one in lines:
                if one.line.request_id in ids:
                    by_id.setdefault(one.line.request_id, []).append(one)
        found.bare |= {peer.address for peer in edge.record.servers if not peer.sidecar}
        servers = {peer.name for peer in edge.record.servers}
        for point in edge.stats:
            if point.name.endswith(".no_filter_chain_match") and point.proxy in servers:
                found.looks.setdefault(f"{point.proxy} {point.name}", []).append(point)
    for points in found.looks.values():
        points.sort(key=lambda point: point.at)
    return found


def _rise(points: list[StatPoint], start: float, end: float) -> int:
    first = bisect_right(points, start, key=_at) - 1
    last = bisect_left(points, end, key=_at)
    if first < 0 or last >= len(points):
        return 0
    before, after = points[first].value, points[last].value
    return max(0, after - before)


def _at(point: StatPoint) -> float:
    return point.at


def _words(line: ProxyLogLine) -> str:
    parts = [str(line.status or "no status"), ",".join(line.flags), line.details]
    return " ".join(part for part in parts if part)


def by_count(fates: Iterable[Fate]) -> Mapping[str, int]:
    """How often each was said."""
    found: dict[str, int] = {}
    for fate in fates:
        found[fate.words] = found.get(fate.words, 0) + 1
    return found
