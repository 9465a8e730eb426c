"""The seam between meshchaos and a mesh: what a run may ask of one, and nothing more.

Two implementations: ``meshchaos.mesh.local.LocalMesh`` and the cluster's. Everything is synchronous
and thread-compatible (one call at a time); every waiting call takes its deadline in seconds.
Times are seconds since the epoch (UTC) as ``float``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from meshchaos.mesh.changes import Change
from meshchaos.mesh.journal import Journal
from meshchaos.mesh.objects import Manifest, Ref


@dataclass(frozen=True, slots=True)
class Replica:
    """One running copy of a workload. ``name`` is its Pod's name; ``address`` its own IP. ``restarts``: how often its
    containers were started again. ``caller``: it is a client of a run's own, with that workload's identity.
    """

    name: str
    workload: str
    namespace: str
    address: str
    labels: Mapping[str, str]
    service_account: str
    sidecar: bool
    ready: bool = True
    restarts: int = 0
    caller: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment (or a gateway) with its replicas. ``labels`` are those of its Pod template."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    service_account: str
    sidecar: bool
    gateway: bool
    replicas: tuple[Replica, ...]


@dataclass(frozen=True, slots=True)
class ProxyLogLine:
    """One request as a proxy logged it, in the terms of Envoy's access log operators.

    ``start`` is %START_TIME% in epoch seconds, ``duration`` in seconds. ``side`` is ``inbound`` for
    requests to the proxy's own workload, ``outbound`` for those it sends (a gateway's are outbound).
    ``flags`` are the short response flags (``FI``, ``DI``, ``UO``, ...). ``headers`` holds the
    request headers asked for by ``Mesh.observe``, lower case, absent ones left out. ``grpc`` is the grpc-status.
    """

    start: float
    duration: float
    side: Literal["inbound", "outbound"]
    request_id: str
    method: str
    path: str
    authority: str
    status: int
    flags: tuple[str, ...]
    details: str
    route: str
    cluster: str
    upstream_host: str
    attempts: int
    hosts_attempted: tuple[str, ...]
    peer: str
    headers: Mapping[str, str] = field(default_factory=dict)
    grpc: int | None = None


class Proxy(Protocol):
    """One Envoy: a sidecar or a gateway."""

    @property
    def name(self) -> str:
        """``<replica>.<namespace>``."""

    @property
    def replica(self) -> Replica:
        """As it was when ``Mesh.proxies`` was last asked. One that is not ``ready`` may not answer yet."""

    @property
    def quiet(self) -> float:
        """Seconds without a new line after which a proxy with nothing in flight has written all that it has to, and it
        can be read: three times what Envoy waits before it writes, and the way to here.
        """

    def config_dump(self) -> Mapping[str, Any]:
        """Envoy's ``/config_dump`` as JSON (the main thread's view)."""

    def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose name matches the regular expression ``pattern`` (Envoy's own names)."""

    def log_mark(self) -> int:
        """The present end of the access log, an opaque position for ``access_log``."""

    def access_log(self, since: int = 0) -> tuple[list[ProxyLogLine], int]:
        """Lines written after position ``since``, and the position after them. Whole lines only, and so many at a time
        that memory stays small: call again with that position until there are none.
        """


@dataclass(frozen=True, slots=True)
class Tls:
    """How a client speaks TLS there. ``server_name``: goes in as SNI, and the server's certificate must be for it.
    ``authorities``: who may have signed that, as PEM text; empty: whom this machine trusts. ``cert_file``,
    ``key_file``: paths of a certificate to show, where the server asks for one. ``check_name``: False where the server
    answers to any name and its certificate is for none.
    """

    server_name: str
    authorities: str = ""
    cert_file: str = ""
    key_file: str = ""
    check_name: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """How a client gets into the mesh for one URL.

    ``address`` ("127.64.0.9:8080") is what to connect to. With ``proxied`` the request line holds the
    absolute URL (an explicit HTTP proxy, the workload's own sidecar), else the path. ``host`` goes in
    as Host. ``words`` say it in the report ("through the gateway ingress.istio-system"). ``at``: the client that
    must make the connection, for ``Mesh.caller``; empty: this machine does. ``tls`` None: it is in plaintext.
    """

    address: str
    host: str
    proxied: bool
    words: str
    at: str = ""
    tls: Tls | None = None

    @classmethod
    def of(cls, form: Mapping[str, Any]) -> Entry:
        """From what ``dataclasses.asdict`` made of one."""
        tls = form.get("tls")
        return cls(**{**form, "tls": Tls(**tls) if tls is not None else None})


@dataclass(frozen=True, slots=True)
class Call:
    """What a run is going to request: the arguments of ``Mesh.entry``."""

    source: str
    url: str
    namespace: str


class Caller(Protocol):
    """A client of the mesh's own, where this machine is not. What it can be asked: ``mesh.calling``."""

    def submit(self, form: Mapping[str, Any]) -> Future[dict[str, Any]]:
        """Asks it for something; answers come in any order. The future, or this itself, raises MeshGone where the
        connection was cut: whether it was done is not known. The next question makes a new connection. Thread-safe.
        """


@dataclass(frozen=True, slots=True)
class Confirmation:
    """``at``: when the last proxy concerned had it. ``proxies``: their names."""

    at: float
    proxies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The mesh as plain data at one moment: what faults and plans are computed from, without I/O.

    ``root_namespace`` is Istio's (``istio-system``); ``namespaces`` those the mesh definition names,
    the first of them resolves short names. ``silent`` is an address (``host:port``) that answers nobody who connects;
    by itself one of those that are for documentation only (RFC 5737). ``marks``: annotations of Pods by which the mesh
    lets its own control plane be disturbed (``proxy_marks``).
    """

    objects: tuple[Manifest, ...]
    workloads: tuple[Workload, ...]
    namespaces: tuple[str, ...]
    root_namespace: str = "istio-system"
    domain: str = "cluster.local"
    trust_domain: str = "cluster.local"
    silent: str = "192.0.2.1:9"
    marks: frozenset[str] = frozenset()

    def of_kind(self, kind: str) -> Iterator[Manifest]:
        """The objects of one kind, oldest first (creationTimestamp, then name, as Istio sorts)."""
        chosen = [o for o in self.objects if o.get("kind") == kind]
        return iter(sorted(chosen, key=_age))


def _age(manifest: Manifest) -> tuple[str, str, str]:
    meta = manifest.get("metadata") or {}
    return (str(meta.get("creationTimestamp") or ""), str(meta.get("name")), str(meta.get("namespace")))


class Mesh(Protocol):
    """A running mesh."""

    @property
    def name(self) -> str: ...

    @property
    def ephemeral(self) -> bool:
        """Asked after MeshGone: whether the mesh took every change with it, because the objects end with it and it
        has ended, or ends when this is closed.
        """

    @property
    def journal(self) -> Journal:
        """The mesh's lock and undo records; outlives this process, and something else expires them."""

    @property
    def healers(self) -> tuple[str, ...]:
        """Who puts back what a run changed when it dies, in words. Raises MeshError."""

    def versions(self) -> Mapping[str, str]:
        """Of what the mesh is made: ``{"envoy": "1.40.0", ...}``."""

    def snapshot(self) -> Snapshot: ...

    def get(self, ref: Ref) -> Manifest:
        """Raises NotFound."""

    def create(self, manifest: Manifest) -> Manifest:
        """As the API server stores it. Raises AlreadyExists, Refused, ProxyRejected (then nothing changed)."""

    def replace(self, manifest: Manifest) -> Manifest:
        """PUT: ``metadata.resourceVersion`` must be the stored one. Raises Conflict, NotFound, Refused,
        ProxyRejected (then nothing changed).
        """

    def delete(self, ref: Ref, uid: str) -> None:
        """Deletes that very object. Raises NotFound, Conflict (another uid)."""

    def dry_run(self, changes: Sequence[Change]) -> None:
        """Whether the mesh would take the changes, one after another; nothing is changed. Raises what making them
        raises, as far as that can be known without the proxies.
        """

    def observe(self, headers: Sequence[str]) -> None:
        """Makes every proxy log what evidence needs, these request headers with it. Under the journal: the mesh may
        have to be changed for it. Before the warm-up: listeners may be replaced by it.
        """

    def kill(self, replicas: Sequence[str], what: Literal["pod", "app", "proxy"]) -> None:
        """Ends replicas (``name.namespace``) at once: the Pod, deleted with no grace, or the processes of one of its
        containers, by SIGKILL. What controls them brings them back. Raises NotFound, Refused, MeshError.
        """

    def confirm(self, changes: Sequence[Change], *, present: bool, timeout: float) -> Confirmation:
        """Waits until the changes are live (``present``) or gone in every proxy concerned: active
        listener or route, and a probe. Raises NotLive (names proxy and reason), ProxyRejected.
        """

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]:
        """The proxies of one workload, or all, gateways included."""

    def entry(self, source: str, url: str, namespace: str) -> Entry:
        """How a client at ``source`` (``gateway``, ``outside``, or a workload's name) requests ``url``.
        Raises UserError where it cannot.
        """

    def callers(self, calls: Sequence[Call]) -> Mapping[str, tuple[str, ...]]:
        """The clients of the mesh's own that such calls need, as ``Entry.at`` names them, each with what is to be
        known of it, in lines; nothing is made.
        Raises UserError where there can be none, Refused where the mesh would not take them.
        """

    def deploy(self, callers: Sequence[str], tick: Callable[[], None]) -> None:
        """Makes what a run needs there, under the journal and before anything else is changed: these callers, and
        whoever puts things back when this process dies, where that is not there anyway. They go when the journal is
        closed. Returns when they are ready; ``tick`` is called now and then meanwhile, and may raise. Raises MeshError,
        NotLive.
        """

    def caller(self, at: str) -> Caller:
        """One that was deployed. Raises NotFound."""

    def trouble(self) -> list[str]:
        """What broke since the last call, one line each: a proxy or an application that died by itself,
        a proxy that refused an update. Empty while all is well. Raises MeshGone.
        """

    def strained(self) -> list[str]:
        """Which programs of the mesh's own (stubs) could not keep up since the last call, so that what was measured
        through them says nothing of a service; one line each. The first call begins the time. Raises MeshGone.
        """

    def hits(self) -> Mapping[str, int]:
        """How many requests each application has had by its own count, by its replica (``name.namespace``); of those
        that count. Raises MeshGone.
        """

    def signing_keys(self) -> Mapping[str, str]:
        """The private keys, in PEM, of token issuers that the mesh itself plays. Never write them down. Raises
        MeshGone.
        """

    def close(self) -> None:
        """Gives the mesh up; one that this process started ends with it."""
