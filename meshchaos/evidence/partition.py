"""Was a workload cut off from another: by the logs at both ends, while the fault was live."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Protocol

from meshchaos.errors import EvidenceError
from meshchaos.evidence.requests import POLL, quiet_of, requests_left
from meshchaos.history.records import FaultRecord
from meshchaos.mesh.seam import Proxy, ProxyLogLine

_ANSWERED = "via_upstream"
"""%RESPONSE_CODE_DETAILS% of a response that an upstream host gave."""


class Proof(Protocol):
    """``meshchaos.faults.kind.PartitionProof`` is one and describes the fields."""

    @property
    def clients(self) -> tuple[str, ...]: ...
    @property
    def servers(self) -> tuple[str, ...]: ...
    @property
    def routes(self) -> tuple[str, ...]: ...
    @property
    def dead(self) -> str: ...
    @property
    def clusters(self) -> str: ...
    @property
    def identities(self) -> tuple[str, ...]: ...


class Proxies(Protocol):
    """The part of ``Mesh`` that is needed here."""

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]: ...


@dataclass(slots=True)
class _Watched:
    """One proxy's log, up to where it was read."""

    proxy: Proxy
    side: str
    mark: int


@dataclass(slots=True)
class _Seen:
    """Requests by when they started (epoch s). ``cut``: on our routes, with how they failed (empty: they did not).
    ``passed``: to the servers past our routes. ``arrived``: at the servers, by the clients' identities. The latter two
    with their ids.
    """

    cut: list[tuple[float, str]] = field(default_factory=list)
    passed: list[tuple[float, str]] = field(default_factory=list)
    arrived: list[tuple[float, str]] = field(default_factory=list)


class PartitionProver:
    """The proof of one fault. Made before its first change, finished after the load has stopped."""

    def __init__(self, mesh: Proxies, proof: Proof, *, timeout: float = 15.0) -> None:
        """Remembers the ends of the logs. Raises EvidenceError when a client's proxy is not there."""
        self._proof = proof
        self._timeout = timeout
        self._clusters = re.compile(proof.clusters)
        self._seen = _Seen()
        there = {proxy.name: proxy for proxy in mesh.proxies()}
        missing = [name for name in proof.clients if name not in there]
        if missing or not proof.clients:
            raise EvidenceError(f"no proxy to ask whom it does not reach: {', '.join(missing) or 'nobody is ready'}")
        ends = [("outbound", name) for name in proof.clients]
        if proof.identities:
            ends += [("inbound", name) for name in proof.servers if name in there]
        self._watched = [_Watched(there[name], side, there[name].log_mark()) for side, name in ends]

    def collect(self) -> None:
        """Reads the logs up to their present ends. Raises EvidenceError."""
        for watched in self._watched:
            while True:
                lines, watched.mark = watched.proxy.access_log(watched.mark)
                if not lines:
                    break
                for line in lines:
                    if line.side == watched.side:
                        self._note(line)

    def finish(self, record: FaultRecord) -> FaultRecord:
        """The record with how many were cut off. Raises EvidenceError where nobody was, or somebody got through."""
        if record.live_at is None:
            raise EvidenceError(f"fault {record.id} never was live, so nothing can show that it bit")
        self._settle()
        since, until = record.live_at, record.removed_at if record.removed_at is not None else time.time()
        cut = Counter(flag for start, flag in self._seen.cut if since <= start <= until)
        passed = [number for start, number in self._seen.passed if since <= start <= until]
        # A request that began before may arrive by a retry, which follows the route that it set out on.
        earlier = {number for start, number in self._seen.passed if start < since}
        arrived = [number for start, number in self._seen.arrived if since <= start <= until and number not in earlier]
        if not cut:
            raise EvidenceError(f"no request went out on {record.edge} while the partition was live")
        if cut[""]:
            raise EvidenceError(f"{cut['']} of {cut.total()} requests on {record.edge} did not fail for a connection")
        if passed or arrived:
            which = f"{len(passed)} requests went their old way" if passed else f"{len(arrived)} requests arrived"
            raise EvidenceError(f"{which} on {record.edge} while the partition was live: {(passed or arrived)[0]}")
        how = ", ".join(f"{count} with {flag}" for flag, count in sorted(cut.items()))
        many = f"{cut.total()} requests" if cut.total() > 1 else "1 request"
        end = "and none arrived" if self._proof.identities else "(others share the clients' account: arrivals not told)"
        return replace(record, shown=(f"{many} failed to connect ({how}) {end}",))

    def _note(self, line: ProxyLogLine) -> None:
        if line.side == "inbound":
            if line.peer in self._proof.identities:
                self._seen.arrived.append((line.start, line.request_id))
        elif line.route in self._proof.routes and line.cluster == self._proof.dead:
            self._seen.cut.append((line.start, "" if line.details == _ANSWERED else _how(line)))
        elif self._clusters.fullmatch(line.cluster):
            self._seen.passed.append((line.start, line.request_id))

    def _settle(self) -> None:
        """Reads until nothing is in flight in any proxy, and nothing new was written for a while."""
        quiet_since = time.monotonic()
        deadline = quiet_since + self._timeout
        quiet = quiet_of(watched.proxy for watched in self._watched)
        while True:
            active = any(requests_left(watched.proxy, watched.side).active for watched in self._watched)
            marks = [watched.mark for watched in self._watched]
            self.collect()
            now = time.monotonic()
            if active or marks != [watched.mark for watched in self._watched]:
                quiet_since = now
            if now - quiet_since >= quiet or now >= deadline:
                return
            time.sleep(POLL)


def _how(line: ProxyLogLine) -> str:
    """``UF``: no connection came about, by Envoy's flags; ``UT``, ``DC``: who waits for less gave up before that, the
    route or the client; a request that still waited when its cluster was taken away has a status alone.
    """
    flags = [flag for flag in line.flags if flag != "URX"]
    return flags[0] if flags else f"status {line.status}"
