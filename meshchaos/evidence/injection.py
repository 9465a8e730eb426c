"""Did the fault bite, and how often: counted from the injecting proxies' own access logs and statistics.

Numerator and denominator come from the same proxy's lines of requests that it received while the fault was live
everywhere, so that neither the load's view nor another proxy's losses enter the share.
"""

from __future__ import annotations

import re
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, Protocol

from meshchaos.errors import EvidenceError
from meshchaos.evidence.requests import (
    NEGLIGIBLE,
    POLL,
    Begun,
    Standing,
    quiet_of,
    requests_left,
    requests_of,
    standing,
)
from meshchaos.history.probes import REFUSED
from meshchaos.history.records import FaultRecord, Injection
from meshchaos.mesh.seam import Proxy, ProxyLogLine

SHOWN = 3
"""Lines of a proxy that go into the report."""
KEPT = 100
"""Lines kept for that, since the first ones may be from before the fault was live everywhere."""

LinePredicate = Callable[[ProxyLogLine], bool]


class Proof(Protocol):
    """What is looked for; ``meshchaos.faults.kind.Proof`` is one and describes the fields."""

    @property
    def replicas(self) -> tuple[str, ...]: ...
    @property
    def side(self) -> Literal["inbound", "outbound"]: ...
    @property
    def flag(self) -> str: ...
    @property
    def counter(self) -> str: ...
    @property
    def routes(self) -> tuple[str, ...]: ...
    @property
    def clusters(self) -> tuple[str, ...]: ...
    @property
    def peer(self) -> str | None: ...
    @property
    def match(self) -> Mapping[str, str]: ...


class Proxies(Protocol):
    """The part of ``Mesh`` that is needed here."""

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]: ...


@dataclass(slots=True)
class _Watched:
    """One proxy: where its log was read up to, and its counter before the fault. Of the lines only what is counted is
    kept: when each request started, and each that carries the mark; and some of the latter to show.
    """

    proxy: Proxy
    mark: int
    counter: str | None
    before: int | None
    begun: Begun
    """Requests on the proof's side by the proxy's own count, when its log was first looked at."""
    logged: array[float] = field(default_factory=lambda: array("d"))
    """When the request of each line of that side since started."""
    starts: array[float] = field(default_factory=lambda: array("d"))
    hits: array[float] = field(default_factory=lambda: array("d"))
    shown: list[ProxyLogLine] = field(default_factory=list)


class InjectionProver:
    """The proof of one fault. Made before the fault's first change, finished after the load has stopped.

    ``collect`` may be called in between; it reads what is new and keeps only lines that may count.
    """

    def __init__(self, mesh: Proxies, proof: Proof, *, timeout: float = 15.0) -> None:
        """Remembers counters and ends of logs. Raises EvidenceError when a proxy that injects is not there."""
        self._proof = proof
        self._timeout = timeout
        self._may_count = concerned(proof)
        there = {proxy.name: proxy for proxy in mesh.proxies()}
        missing = [name for name in proof.replicas if name not in there]
        if missing:
            raise EvidenceError(f"no proxy to ask whether the fault bites: {', '.join(missing)}")
        self._watched = [_begin(there[name], proof) for name in proof.replicas]

    def collect(self) -> None:
        """Reads the logs up to their present ends. Raises EvidenceError."""
        for watched in self._watched:
            _read(watched, self._may_count, self._proof)

    def finish(self, record: FaultRecord) -> FaultRecord:
        """The record with one injection a proxy, over requests started in [live_at, removed_at].

        Waits until no proxy concerned has a request in flight and all lines are written. Raises EvidenceError when
        too many are still in flight at the deadline, or the log has fewer lines than the proxy counts requests.
        """
        if record.live_at is None:
            raise EvidenceError(f"fault {record.id} never was live, so nothing can show that it bit")
        deadline = time.monotonic() + self._timeout
        until = record.removed_at if record.removed_at is not None else time.time()
        states = self._settle(deadline)
        injections = [_counted(watched, self._proof, record.live_at, until) for watched in self._watched]
        for injection, watched, state in zip(injections, self._watched, states, strict=True):
            if state.active > NEGLIGIBLE * max(injection.of or 0, 1):
                raise EvidenceError(
                    f"{injection.proxy} still has {state.active} requests in flight {self._timeout:g}s after the load "
                    f"stopped; without their lines the injected share of {record.id} is not known"
                )
            _check_whole(watched, state)
        return replace(record, injections=tuple(injections))

    def _settle(self, deadline: float) -> list[Standing]:
        """Reads until every request that has begun by now has its line, or nothing is in flight in any proxy and
        nothing new was written for a while; how things stand then with what had begun.
        """
        side = self._proof.side
        last = [Begun.last(watched.proxy, side) for watched in self._watched]
        active = [begun.requests.active for begun in last]
        quiet_since = time.monotonic()
        quiet = quiet_of(watched.proxy for watched in self._watched)
        while True:
            marks = [watched.mark for watched in self._watched]
            self.collect()
            now = time.monotonic()
            if any(active) or marks != [watched.mark for watched in self._watched]:
                quiet_since = now
            found = [
                standing(watched.begun, upto, watched.logged, open_)
                for watched, upto, open_ in zip(self._watched, last, active, strict=True)
            ]
            if all(state.whole for state in found) or now - quiet_since >= quiet or now >= deadline:
                return found
            time.sleep(POLL)
            active = [requests_left(watched.proxy, side).active for watched in self._watched]


def concerned(proof: Proof) -> LinePredicate:
    """Whether a line is of a request that the fault is about (the denominator), whenever it was."""
    side, routes, clusters = proof.side, frozenset(proof.routes), frozenset(proof.clusters)
    peer = re.compile(proof.peer) if proof.peer is not None else None
    path = _compiled(proof.match.get(":path"))
    method = _compiled(proof.match.get(":method"))
    headers = [(name, re.compile(p)) for name, p in proof.match.items() if not name.startswith(":")]

    def fits(line: ProxyLogLine) -> bool:
        if line.side != side or (routes and line.route not in routes) or (clusters and line.cluster not in clusters):
            return False
        if peer is not None and peer.fullmatch(line.peer) is None:
            return False
        if path is not None and path.fullmatch(line.path) is None:
            return False
        if method is not None and method.fullmatch(line.method) is None:
            return False
        for name, pattern in headers:
            value = line.headers.get(name)
            if value is None or pattern.fullmatch(value) is None:
                return False
        return not line.details.startswith(REFUSED)  # ahead of the fault filter: the fault was never drawn for it

    return fits


def words(line: ProxyLogLine) -> str:
    """One line for people: when, what was asked, what came, how the proxy explains it."""
    start = datetime.fromtimestamp(line.start, UTC).strftime("%H:%M:%S.%f")[:-3]
    parts = [
        f"{start} {line.method} {line.path} -> {line.status}",
        f"{','.join(line.flags) or '-'} after {line.duration * 1000:.1f} ms",
        f"details {line.details}" if line.details else "",
        f"route {line.route}" if line.route else "",
        f"from {line.peer}" if line.peer else "",
        f"x-request-id {line.request_id}" if line.request_id else "",
    ]
    return "; ".join(part for part in parts if part)


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    return None if pattern is None else re.compile(pattern)


def _begin(proxy: Proxy, proof: Proof) -> _Watched:
    mark = proxy.log_mark()  # before the count, so that whatever is counted later is logged behind it
    counters = proxy.stats(proof.counter)
    # Envoy makes a counter at its first use: one that is not there yet stands at 0, if it is exposed at all.
    name = next(iter(sorted(counters)), None)
    before = sum(counters.values()) if counters else None
    return _Watched(proxy, mark, name, before, Begun(0.0, requests_of(proxy, proof.side)))


def _check_whole(watched: _Watched, state: Standing) -> None:
    """Raises EvidenceError unless every request that the proxy counts has its line: a disk that is full, a log that
    somebody rotates or empties take lines away, and who knows whose.
    """
    if state.due is None:
        return
    if state.due < 0:
        raise EvidenceError(f"{watched.proxy.name} was started anew in mid-run: its log may lack requests")
    if state.over - state.logged > NEGLIGIBLE * state.over:
        raise EvidenceError(
            f"the access log of {watched.proxy.name} lost lines: {state.logged:,} for {state.over:,} requests"
        )


def _read(watched: _Watched, may_count: LinePredicate, proof: Proof) -> None:
    while True:
        lines, watched.mark = watched.proxy.access_log(watched.mark)
        if not lines:
            return
        for line in lines:
            if line.side == proof.side:
                watched.logged.append(line.start)
            if may_count(line):
                watched.starts.append(line.start)
                if proof.flag in line.flags:
                    watched.hits.append(line.start)
                    if len(watched.shown) < KEPT:
                        watched.shown.append(line)


def _counted(watched: _Watched, proof: Proof, since: float, until: float) -> Injection:
    shown = [line for line in watched.shown if since <= line.start <= until]
    after = watched.proxy.stats(proof.counter)
    name = watched.counter or next(iter(sorted(after)), None)
    total = sum(after.values()) if after else None
    before = watched.before if watched.before is not None or total is None else 0
    if total is not None and before is not None and total < before:
        before = total = None  # the proxy was started anew meanwhile
    return Injection(
        proxy=watched.proxy.name,
        injected=sum(since <= start <= until for start in watched.hits),
        of=sum(since <= start <= until for start in watched.starts),
        counter=name or "",
        counter_before=before,
        counter_after=total,
        lines=tuple(words(line) for line in shown[:SHOWN]),
    )
