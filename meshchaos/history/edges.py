"""What the proxies of one edge logged in a run, as data."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from meshchaos.history.asks import EdgeAsk
from meshchaos.history.samples import Samples
from meshchaos.mesh.seam import ProxyLogLine


@dataclass(frozen=True, slots=True)
class Peer:
    """One replica at an end of an edge. ``name`` is its Pod's, ``name.namespace``; ``address`` its IP; ``identity`` its
    SPIFFE name, empty where it is not known.
    """

    name: str
    workload: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    sidecar: bool = True
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """The proxy of a replica that ended between two moments (epoch s), and with it the lines of what it had in flight
    and of what it had not written yet.
    """

    proxy: str
    after: float
    before: float


@dataclass(frozen=True, slots=True)
class EdgeRecord:
    """An edge as it was found. ``host`` and ``port`` of the service, ``domain`` the cluster's; ``target_ports`` are the
    containers' behind it; ``identities``: SPIFFE names of the sources, empty where every client is meant. ``clients``
    and ``servers`` are all replicas that were there at any time of the run. ``since``: when watching began (epoch s).
    ``problem``: why the lines are not all there. ``most_attempts``: that any route of the mesh allows a request.
    ``workers``: threads of a client's proxy that share one limit. ``subsets``: labels of each subset of the service.
    No ``host``: the ask is about every sidecar. ``losses``: clients' proxies that ended while they were watched.
    """

    ask: EdgeAsk
    service: str
    namespace: str
    host: str
    port: int
    target_ports: tuple[int, ...]
    identities: tuple[str, ...]
    clients: tuple[Peer, ...]
    servers: tuple[Peer, ...]
    since: float | None = None
    problem: str | None = None
    most_attempts: int = 3
    workers: int = 1
    subsets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    losses: tuple[Loss, ...] = ()

    def concerns_client(self, line: ProxyLogLine) -> bool:
        """Whether an outbound line of a client's proxy is of this edge: by the cluster it was routed to, and where no
        cluster of the service was (no route, a dead end of our own) by what it asked for.
        """
        if not self.host:
            return False
        if line.cluster.startswith(f"outbound|{self.port}|") and line.cluster.endswith(f"|{self.host}"):
            return True
        if line.cluster and "|chaos-" not in line.cluster:
            return False
        name, _, port = line.authority.partition(":")
        return name in self._names() and int(port or 80) == self.port if port.isdigit() or not port else False

    def concerns_server(self, line: ProxyLogLine) -> bool:
        """Whether an inbound line of a server's proxy is of this edge, as far as the client shows its identity."""
        if self.host and line.cluster and line.cluster not in {f"inbound|{number}||" for number in self.target_ports}:
            return False
        return not self.identities or line.peer in self.identities

    def cluster_pattern(self) -> str:
        """A regular expression of the service's clusters in a client's proxy, subsets too; group 1 is the subset."""
        return rf"outbound\|{self.port}\|([^|]*)\|{re.escape(self.host)}"

    def _names(self) -> tuple[str, ...]:
        full = f"{self.service}.{self.namespace}"
        return (self.service, full, f"{full}.svc", self.host)


@dataclass(frozen=True, slots=True)
class EdgeLine:
    """``proxy``: ``replica.namespace`` of the proxy that logged it."""

    proxy: str
    line: ProxyLogLine


@dataclass(frozen=True, slots=True)
class StatPoint:
    """One look at one statistic: ``name`` is Envoy's in full, ``at`` epoch seconds."""

    at: float
    proxy: str
    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Edge:
    """The answer to an ``EdgeAsk``. ``sent``: the clients' lines, ``received`` the servers', each by its start."""

    record: EdgeRecord
    sent: tuple[EdgeLine, ...]
    received: tuple[EdgeLine, ...]
    stats: tuple[StatPoint, ...] = ()

    def lost_in(self, start: float, end: float) -> tuple[str, ...]:
        """Clients' proxies that used this edge and ended with lines of requests that may have begun in [start, end)."""
        if not self.record.losses:
            return ()
        longest: dict[str, float] = {}
        for one in self.sent:
            longest[one.proxy] = max(longest.get(one.proxy, 0.0), one.line.duration)
        return tuple(
            loss.proxy
            for loss in self.record.losses
            if loss.proxy in longest and start < loss.before and loss.after - longest[loss.proxy] < end
        )


@dataclass(frozen=True, slots=True)
class Told:
    """What has come to be known of an edge while the run lasts: of the requests that began before ``until`` (epoch s)
    all are over, and ``lines`` are the clients' of those that were not told before, by their starts. ``losses`` as in
    the record.
    """

    until: float
    lines: tuple[EdgeLine, ...]
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class SoFar:
    """An edge while the run lasts: the ``samples`` of all requests that began before ``until``, as a load's; their
    ``request`` says whether they were admitted (``checks.edge.ADMITTED``). ``losses`` as in the record.
    """

    samples: Samples
    until: float
    losses: tuple[Loss, ...] = ()


def between(lines: tuple[EdgeLine, ...], start: float, end: float) -> tuple[EdgeLine, ...]:
    """Those whose request started in [start, end)."""

    def key(one: EdgeLine) -> float:
        return one.line.start

    return lines[bisect_left(lines, start, key=key) : bisect_left(lines, end, key=key)]
