"""Watches edges through a whole run: reads the access logs of the proxies at both ends and keeps what concerns them.

Replicas that come while the run lasts (a restart, a rollout) are watched from then on; the log of one that went is read
to its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from meshchaos.errors import EvidenceError
from meshchaos.evidence.edge_file import EdgeFile
from meshchaos.evidence.edge_proxies import WatchedProxy, alike, among, joined, lacking
from meshchaos.evidence.requests import POLL, Begun, Standing, quiet_of, requests_of
from meshchaos.evidence.settled import Pending
from meshchaos.history.asks import EdgeAsk
from meshchaos.history.edges import EdgeLine, EdgeRecord, Loss, Peer, StatPoint, Told
from meshchaos.history.probes import is_probe
from meshchaos.mesh.seam import Proxy, ProxyLogLine, Replica


class Proxies(Protocol):
    """The part of ``Mesh`` that is needed here."""

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]: ...


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
        live: Collection[EdgeAsk] = (),
    ) -> None:
        """``seen`` is told what servers' proxies logged of our own probes, as it is read. ``live``: edges about which
        ``told`` is asked.
        """
        self._mesh = mesh
        self._records = list(records)
        self._file = EdgeFile(folder)
        self._emit = emit
        self._timeout = timeout
        self._watched: dict[str, WatchedProxy] = {}
        self._living: set[str] = set()
        """Names of the proxies that are there now; one that was killed has a log, and answers no question."""
        self._looked = 0.0
        """When that was asked."""
        self._stats = [(tuple(record.ask.stats), tuple(record.ask.server_stats)) for record in records]
        self._seen = seen
        self._pending = {at: Pending() for at, record in enumerate(records) if record.ask in live}

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
            if self._answers(watched) and not self._pending.keys().isdisjoint(watched.sends):
                watched.settled.look()
        self._look()
        self._file.flush()

    def told(self) -> dict[EdgeAsk, Told]:
        """What has come to be known of the live edges since the last call."""
        found = {}
        for position, pending in self._pending.items():
            record = self._records[position]
            clients = [one for one in self._watched.values() if position in one.sends and self._answers(one)]
            lines = pending.take(one.settled.until for one in clients)
            found[record.ask] = Told(pending.until, lines, record.losses)
        return found

    def finish(self) -> None:
        """After the loads have stopped: waits until every proxy has written all it has to. What is missing becomes the
        records' ``problem``.
        """
        try:
            self._find(new=True)
            states = self._settle(time.monotonic() + self._timeout)
            for name, sides in states.items():
                for side, state in sides.items():
                    problem = lacking(name, state)
                    if problem is not None:
                        self._blame(self._watched[name].sides()[side], problem)
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
        now = time.time()
        for name in self._living - there.keys():
            self._ended(name, now)
        self._living, self._looked = set(there), now
        for proxy in [proxy for name, proxy in there.items() if name not in self._watched]:
            sends, receives = self._ends(proxy.replica)
            if not sends and not receives:
                continue
            fresh = new or not proxy.replica.ready  # one that is just being started has no past
            self._watched[proxy.name] = WatchedProxy.begin(proxy, sends, receives, fresh=fresh)

    def _ended(self, name: str, now: float) -> None:
        """What a proxy had in flight and not written yet is lost with it."""
        for position in self._watched[name].sends if name in self._watched else ():
            record = self._records[position]
            self._records[position] = replace(record, losses=(*record.losses, Loss(name, self._looked, now)))

    def _ends(self, replica: Replica) -> tuple[list[int], list[int]]:
        """The edges that a replica is a client, a server of; it joins their records where it is new."""
        sends, receives = [], []
        place = replica.namespace
        peer = Peer(f"{replica.name}.{place}", replica.workload, replica.address, dict(replica.labels), sidecar=True)
        # Replicas of one workload have one service account.
        known = (one for record in self._records for one in (*record.clients, *record.servers) if alike(one, replica))
        peer = replace(peer, identity=next((one.identity for one in known), ""))
        for position, record in enumerate(self._records):
            clients, servers = record.clients, record.servers
            if among(clients, replica):
                sends.append(position)
                clients = joined(clients, peer)
            if among(servers, replica):
                receives.append(position)
                servers = joined(servers, peer)
            self._records[position] = replace(record, clients=clients, servers=servers)
        return sends, receives

    def _read(self, watched: WatchedProxy) -> None:
        name = watched.proxy.name
        while True:
            lines, watched.mark = watched.proxy.access_log(watched.mark)
            if not lines:
                return
            for line in lines:
                if line.start <= watched.begun[line.side].at:
                    continue  # begun before the watch, written down after
                watched.logged[line.side].append(line.start)
                probe = is_probe(line.request_id)
                if probe and self._seen is not None and line.side == "inbound":
                    self._seen(line)
                if line.side == "outbound":
                    watched.settled.line(line)
                    sent = [at for at in self._wanted(watched.sends, probe) if self._records[at].concerns_client(line)]
                    if sent:
                        self._file.line(sent, (), name, line)
                    for at in sent:
                        if at in self._pending:
                            self._pending[at].add(EdgeLine(name, line))
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

    def _look_at(self, position: int, names: str, watched: Sequence[WatchedProxy]) -> None:
        for one in watched:
            if self._answers(one):
                found = one.proxy.stats(names)
                now = time.time()
                for name, value in sorted(found.items()):
                    self._file.stat(position, StatPoint(now, one.proxy.name, name, value))

    def _settle(self, deadline: float) -> dict[str, dict[str, Standing]]:
        """Reads until the lines of all that has begun by now are there, at both ends, though traffic may go on: first
        those of requests that were sent, then those of their attempts at the servers. By name and side.
        """
        self._upto(deadline)
        return self._upto(deadline)

    def _upto(self, deadline: float) -> dict[str, dict[str, Standing]]:
        """Where a proxy exposes no count, until nothing is in flight and nothing new was written for a while."""
        there = self._there()
        last = {
            name: {side: Begun.last(watched.proxy, side) for side in watched.sides()}
            for name, watched in self._watched.items()
            if name in there
        }
        active = {name: {side: upto.requests.active for side, upto in sides.items()} for name, sides in last.items()}
        quiet_since = time.monotonic()
        quiet = quiet_of(watched.proxy for watched in self._watched.values())
        while True:
            marks = [watched.mark for watched in self._watched.values()]
            for watched in self._watched.values():
                self._read(watched)
            now = time.monotonic()
            if _any(active) or marks != [watched.mark for watched in self._watched.values()]:
                quiet_since = now
            found = {name: self._watched[name].standing(last[name], active[name]) for name in last}
            whole = all(state.whole for states in found.values() for state in states.values())
            if whole or now - quiet_since >= quiet or now >= deadline:
                return found
            time.sleep(POLL)
            there = self._there()
            last = {name: sides for name, sides in last.items() if name in there}
            active = {
                name: {side: requests_of(self._watched[name].proxy, side).active for side in last[name]}
                for name in last
            }

    def _answers(self, watched: WatchedProxy) -> bool:
        return watched.proxy.name in self._living and watched.proxy.replica.ready

    def _there(self) -> set[str]:
        """Those that answer."""
        return {proxy.name for proxy in self._mesh.proxies() if proxy.replica.ready}

    def _blame(self, positions: Sequence[int], problem: str) -> None:
        for position in positions:
            record = self._records[position]
            self._records[position] = replace(record, problem=record.problem or problem)


def _any(active: dict[str, dict[str, int]]) -> bool:
    return any(open_ for sides in active.values() for open_ in sides.values())
