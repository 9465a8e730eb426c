"""Watches edges through a whole run: reads the access logs of the proxies at both ends and keeps what concerns them.

Replicas that come while the run lasts (a restart, a rollout) are watched from then on; the log of one that went is read
to its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from meshchaos.errors import EvidenceError
from meshchaos.evidence.edge_file import EdgeFile
from meshchaos.evidence.requests import NEGLIGIBLE, POLL, QUIET, Requests, requests_of
from meshchaos.history.edges import EdgeRecord, Peer, StatPoint
from meshchaos.history.probes import is_probe
from meshchaos.mesh.seam import Proxy, ProxyLogLine, Replica

_SIDES = ("outbound", "inbound")


class Proxies(Protocol):
    """The part of ``Mesh`` that is needed here."""

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]: ...


@dataclass(slots=True)
class _Watched:
    """One proxy. ``sends``, ``receives``: positions of the edges that it is a client, a server of. ``begun``: its own
    counts when its log was first looked at, by side; ``logged``: the lines of that side since.
    """

    proxy: Proxy
    mark: int
    sends: list[int]
    receives: list[int]
    begun: dict[str, Requests]
    logged: dict[str, int]


class EdgeWatch:
    """Implements ``meshchaos.run.rooms.Observer``. ``emit`` gets the records when watching begins and at the end."""

    def __init__(
        self,
        mesh: Proxies,
        records: Sequence[EdgeRecord],
        folder: Path,
        emit: Callable[[Sequence[EdgeRecord]], None],
        *,
        timeout: float = 15.0,
        seen: Callable[[ProxyLogLine], None] | None = None,
    ) -> None:
        """``seen`` is told what servers' proxies logged of our own probes, as it is read."""
        self._mesh = mesh
        self._records = list(records)
        self._file = EdgeFile(folder)
        self._emit = emit
        self._timeout = timeout
        self._watched: dict[str, _Watched] = {}
        self._living: set[str] = set()
        """Names of the proxies that are there now; one that was killed has a log, and answers no question."""
        self._stats = [(tuple(record.ask.stats), tuple(record.ask.server_stats)) for record in records]
        self._seen = seen

    def start(self) -> None:
        """From here on every request of the edges counts. Raises EvidenceError, MeshGone."""
        now = time.time()
        self._find(new=False)
        self._records = [replace(record, since=now) for record in self._records]
        self._look()
        self._emit(self._records)

    def collect(self) -> None:
        """Reads what is new in the logs, and the statistics asked for. Raises EvidenceError, MeshGone."""
        self._find(new=True)
        for watched in self._watched.values():
            self._read(watched)
        self._look()
        self._file.flush()

    def finish(self) -> None:
        """After the loads have stopped: waits until every proxy has written all it has to. What is missing becomes the
        records' ``problem``.
        """
        try:
            states = self._settle(time.monotonic() + self._timeout)
            for name, state in states.items():
                self._check_whole(self._watched[name], state)
            self._look()
            self._file.flush()
        except EvidenceError as error:
            self._blame(range(len(self._records)), str(error))
        self._emit(self._records)

    def close(self) -> None:
        self._file.close()

    def _find(self, *, new: bool) -> None:
        """Watches the proxies that are there now; ``new``: those not known yet have come since the start."""
        there = {proxy.name: proxy for proxy in self._mesh.proxies()}
        self._living = set(there)
        fresh = [proxy for name, proxy in there.items() if name not in self._watched]
        for proxy in fresh:
            sends, receives = self._ends(proxy.replica)
            if not sends and not receives:
                continue
            mark = 0 if new else proxy.log_mark()
            begun = {side: Requests(0, 0) if new else requests_of(proxy, side) for side in _SIDES}
            self._watched[proxy.name] = _Watched(proxy, mark, sends, receives, begun, dict.fromkeys(_SIDES, 0))

    def _ends(self, replica: Replica) -> tuple[list[int], list[int]]:
        """The edges that a replica is a client, a server of; it joins their records where it is new."""
        sends, receives = [], []
        place = replica.namespace
        peer = Peer(f"{replica.name}.{place}", replica.workload, replica.address, dict(replica.labels), sidecar=True)
        for position, record in enumerate(self._records):
            clients, servers = record.clients, record.servers
            if _among(clients, replica):
                sends.append(position)
                clients = _joined(clients, peer)
            if _among(servers, replica):
                receives.append(position)
                servers = _joined(servers, peer)
            self._records[position] = replace(record, clients=clients, servers=servers)
        return sends, receives

    def _read(self, watched: _Watched) -> None:
        name = watched.proxy.name
        while True:
            lines, watched.mark = watched.proxy.access_log(watched.mark)
            if not lines:
                return
            for line in lines:
                watched.logged[line.side] += 1
                probe = is_probe(line.request_id)
                if probe and self._seen is not None and line.side == "inbound":
                    self._seen(line)
                if line.side == "outbound":
                    sent = [at for at in self._wanted(watched.sends, probe) if self._records[at].concerns_client(line)]
                    if sent:
                        self._file.line(sent, (), name, line)
                else:
                    wanted = self._wanted(watched.receives, probe)
                    received = [at for at in wanted if self._records[at].concerns_server(line)]
                    if received:
                        self._file.line((), received, name, line)

    def _wanted(self, positions: Sequence[int], probe: bool) -> Sequence[int]:
        """Those edges that want the lines of our own probes, for such a line; else all."""
        return [at for at in positions if self._records[at].ask.probes] if probe else positions

    def _look(self) -> None:
        for position, (of_clients, of_servers) in enumerate(self._stats):
            record = self._records[position]
            if of_clients and record.host:
                names = rf"^cluster\.{record.cluster_pattern()};?\.(?:{'|'.join(of_clients)})$"
                self._look_at(position, names, [one for one in self._watched.values() if position in one.sends])
            if of_servers:
                names = rf"^(?:{'|'.join(of_servers)})$"
                self._look_at(position, names, [one for one in self._watched.values() if position in one.receives])

    def _look_at(self, position: int, names: str, watched: Sequence[_Watched]) -> None:
        for one in watched:
            if one.proxy.name in self._living:
                found = one.proxy.stats(names)
                now = time.time()
                for name, value in sorted(found.items()):
                    self._file.stat(position, StatPoint(now, one.proxy.name, name, value))

    def _settle(self, deadline: float) -> dict[str, dict[str, Requests]]:
        """Reads until nothing is in flight in any proxy that lives and nothing new was written for a while."""
        quiet_since = time.monotonic()
        while True:
            living = {proxy.name for proxy in self._mesh.proxies()} & self._watched.keys()
            states = {name: {side: requests_of(self._watched[name].proxy, side) for side in _SIDES} for name in living}
            marks = [watched.mark for watched in self._watched.values()]
            for watched in self._watched.values():
                self._read(watched)
            now = time.monotonic()
            busy = any(state.active for sides in states.values() for state in sides.values())
            if busy or marks != [watched.mark for watched in self._watched.values()]:
                quiet_since = now
            if now - quiet_since >= QUIET or now >= deadline:
                return states
            time.sleep(POLL)

    def _check_whole(self, watched: _Watched, states: dict[str, Requests]) -> None:
        """A log that lacks requests, and requests without an end, are a problem of the edges on that side."""
        for side, concerned in (("outbound", watched.sends), ("inbound", watched.receives)):
            begun, state, logged = watched.begun[side], states[side], watched.logged[side]
            if not concerned or begun.total is None or state.total is None or state.total < begun.total:
                continue
            due = state.total - begun.total - state.active
            if state.active > NEGLIGIBLE * max(due, 1):
                self._blame(concerned, f"{watched.proxy.name} still has {state.active} requests in flight")
            if due - logged > NEGLIGIBLE * due:
                text = f"the access log of {watched.proxy.name} lost lines: {logged:,} for {due:,} requests"
                self._blame(concerned, text)

    def _blame(self, positions: Sequence[int], problem: str) -> None:
        for position in positions:
            record = self._records[position]
            self._records[position] = replace(record, problem=record.problem or problem)


def _among(peers: Sequence[Peer], replica: Replica) -> bool:
    """Whether a replica is of a workload that stands there."""
    return any(peer.workload == replica.workload and peer.name.endswith(f".{replica.namespace}") for peer in peers)


def _joined(peers: tuple[Peer, ...], peer: Peer) -> tuple[Peer, ...]:
    known = next((one for one in peers if one.name == peer.name and one.address == peer.address), None)
    return peers if known is not None else (*peers, peer)
