"""Where did requests go: counted by cluster from the clients' own access logs, while a fault was live."""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from meshchaos.errors import EvidenceError, MeshGone
from meshchaos.evidence.requests import POLL, quiet_of, requests_of
from meshchaos.history.records import ClusterShare, FaultRecord
from meshchaos.mesh.seam import Proxy


class Proof(Protocol):
    """``meshchaos.faults.kind.WeightsProof`` is one and describes the fields."""

    @property
    def replicas(self) -> tuple[str, ...]: ...
    @property
    def weights(self) -> Mapping[str, float]: ...
    @property
    def routes(self) -> tuple[str, ...]: ...


class Proxies(Protocol):
    """The part of ``Mesh`` that is needed here."""

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]: ...


@dataclass(slots=True)
class _Watched:
    """One proxy, up to where its log was read, and when its requests started, by cluster."""

    proxy: Proxy
    mark: int
    starts: dict[str, array[float]] = field(default_factory=dict)


class WeightsProver:
    """The proof of one fault. Made before its first change, finished after the load has stopped."""

    def __init__(self, mesh: Proxies, proof: Proof, *, timeout: float = 15.0) -> None:
        """Remembers the ends of the logs. Raises EvidenceError when a client's proxy is not there."""
        self._proof = proof
        self._timeout = timeout
        there = {proxy.name: proxy for proxy in mesh.proxies()}
        missing = [name for name in proof.replicas if name not in there]
        if missing:
            raise EvidenceError(f"no proxy to ask where its requests go: {', '.join(missing)}")
        self._watched = [_Watched(there[name], there[name].log_mark()) for name in proof.replicas]

    def collect(self) -> None:
        """Reads the logs up to their present ends. Raises EvidenceError."""
        for watched in self._watched:
            while True:
                lines, watched.mark = watched.proxy.access_log(watched.mark)
                if not lines:
                    break
                for line in lines:
                    if line.side != "outbound" or line.cluster not in self._proof.weights:
                        continue
                    if not self._proof.routes or line.route in self._proof.routes:
                        watched.starts.setdefault(line.cluster, array("d")).append(line.start)

    def finish(self, record: FaultRecord) -> FaultRecord:
        """The record with the share of each cluster, of requests started while it was live. Raises EvidenceError."""
        if record.live_at is None:
            raise EvidenceError(f"fault {record.id} never was live, so nothing can show that it bit")
        self._settle()
        since, until = record.live_at, record.removed_at if record.removed_at is not None else time.time()
        counts = {
            cluster: sum(
                since <= start <= until for watched in self._watched for start in watched.starts.get(cluster, ())
            )
            for cluster in self._proof.weights
        }
        of = sum(counts.values())
        shares = tuple(
            ClusterShare(cluster, asked, counts[cluster], of) for cluster, asked in self._proof.weights.items()
        )
        return replace(record, shares=shares)

    def _settle(self) -> None:
        """Reads until nothing is in flight in any proxy, and nothing new was written for a while."""
        deadline = quiet_since = time.monotonic()
        deadline += self._timeout
        quiet = quiet_of(watched.proxy for watched in self._watched)
        while True:
            active = any(_active(watched.proxy) for watched in self._watched)
            marks = [watched.mark for watched in self._watched]
            self.collect()
            now = time.monotonic()
            if active or marks != [watched.mark for watched in self._watched]:
                quiet_since = now
            if now - quiet_since >= quiet or now >= deadline:
                return
            time.sleep(POLL)


def _active(proxy: Proxy) -> int:
    """In flight; none in a proxy that has ended. The lines that it took along are of no cluster more than of another,
    so the shares of those that are there still stand.
    """
    try:
        return requests_of(proxy, "outbound").active
    except MeshGone:
        return 0
