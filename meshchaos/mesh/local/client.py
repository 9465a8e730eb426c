"""``LocalMesh``: the seam on this machine, a client of the mesh's supervisor."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from meshchaos.errors import NotFound, NotLive
from meshchaos.mesh import changes as change_forms
from meshchaos.mesh.changes import Change
from meshchaos.mesh.local import runtime
from meshchaos.mesh.local.entry import entry_for
from meshchaos.mesh.local.journal import RemoteJournal
from meshchaos.mesh.local.proxy import LocalProxy
from meshchaos.mesh.local.runtime import MeshInfo
from meshchaos.mesh.local.spec import MeshSpec
from meshchaos.mesh.local.starting import Supervisor, find, start_supervisor
from meshchaos.mesh.local.strain import strain
from meshchaos.mesh.local.views import namespaces_of, replica_of, workloads_of
from meshchaos.mesh.local.wire import Connection
from meshchaos.mesh.local.world import DOMAIN, RESTART_AFTER, ROOT_NAMESPACE, TRUST_DOMAIN, LocalReplica, World
from meshchaos.mesh.objects import Manifest, Ref
from meshchaos.mesh.proxy_marks import CERTIFICATE, UPDATES
from meshchaos.mesh.seam import Call, Caller, Confirmation, Entry, Proxy, Snapshot

_WRITE_TIMEOUT = 60.0


class LocalMesh:
    """Implements ``meshchaos.mesh.seam.Mesh``. Made by ``start`` or ``attach``; one call at a time."""

    def __init__(self, socket: str, supervisor: Supervisor | None = None, manager: str = "meshchaos") -> None:
        self._folder = Path(socket).parent
        self._connection = Connection(socket)
        self._supervisor = supervisor
        self._manager = manager
        self._hello = self._connection.call("hello")
        self._journal = RemoteJournal(self._connection)
        self._proxies: dict[str, LocalProxy] = {}
        self._stubs: dict[str, Any] = {}
        self._troubles = 0 if supervisor is not None else self._connection.call("trouble", {"since": 0})["next"]

    @classmethod
    def start(cls, spec: MeshSpec, *, manager: str = "meshchaos") -> LocalMesh:
        """Starts a mesh of this process's own, which ends with it, whatever ends it. Returns when it is up.

        Raises UserError, MeshError, ProxyRejected.
        """
        supervisor = start_supervisor(spec, detached=False)
        try:
            return cls(str(supervisor.folder / "mesh.sock"), supervisor, manager)
        except BaseException:
            supervisor.end()
            raise

    @classmethod
    def attach(cls, info: MeshInfo, *, manager: str = "meshchaos") -> LocalMesh:
        """A mesh that runs already (``starting.find``, ``starting.status``); it stays when we go. Raises MeshGone."""
        return cls(info.socket, None, manager)

    @classmethod
    def open(cls, spec: MeshSpec, *, manager: str = "meshchaos") -> LocalMesh:
        """The mesh of that name that ``mesh up`` keeps running, else one of our own."""
        running = find(spec.mesh, spec.config)
        return cls.attach(running, manager=manager) if running is not None else cls.start(spec, manager=manager)

    @property
    def name(self) -> str:
        return str(self._hello["mesh"])

    @property
    def folder(self) -> Path:
        """Where its sockets are (``MeshInfo.folder``)."""
        return self._folder

    @property
    def owned(self) -> bool:
        """Whether it ends with this process."""
        return self._supervisor is not None

    @property
    def ephemeral(self) -> bool:
        """See ``Mesh``: objects live in the memory of the supervisor, which may also be there and not answer."""
        return self._supervisor is not None or not runtime.alive(self._folder)

    @property
    def journal(self) -> RemoteJournal:
        """See ``Mesh``."""
        return self._journal

    @property
    def healers(self) -> tuple[str, ...]:
        """See ``Mesh``."""
        return ("the mesh's own supervisor",)

    def versions(self) -> Mapping[str, str]:
        """See ``Mesh``."""
        return dict(self._hello["versions"])

    def snapshot(self) -> Snapshot:
        """See ``Mesh``."""
        world = self._world()
        return Snapshot(
            objects=world.objects,
            workloads=tuple(workloads_of(world)),
            namespaces=tuple(namespaces_of(world)),
            root_namespace=ROOT_NAMESPACE,
            domain=DOMAIN,
            trust_domain=TRUST_DOMAIN,
            silent=str(self._hello["silent"]),
            marks=frozenset({CERTIFICATE, UPDATES}),
        )

    def get(self, ref: Ref) -> Manifest:
        """See ``Mesh``."""
        return self._object("get", {"ref": dataclasses.asdict(ref)})

    def create(self, manifest: Manifest) -> Manifest:
        """See ``Mesh``."""
        return self._object("create", {"manifest": manifest, **self._writer()})

    def replace(self, manifest: Manifest) -> Manifest:
        """See ``Mesh``."""
        return self._object("replace", {"manifest": manifest, **self._writer()})

    def delete(self, ref: Ref, uid: str) -> None:
        """See ``Mesh``."""
        params = {"ref": dataclasses.asdict(ref), "uid": uid, **self._writer()}
        self._connection.call("delete", params, timeout=_WRITE_TIMEOUT)

    def dry_run(self, changes: Sequence[Change]) -> None:
        """See ``Mesh``: admission and translation."""
        forms = [change_forms.dump(change) for change in changes]
        self._connection.call("dry_run", {"changes": forms}, timeout=_WRITE_TIMEOUT)

    def observe(self, headers: Sequence[str]) -> None:
        """See ``Mesh``."""
        self._connection.call("observe", {"headers": list(headers)}, timeout=_WRITE_TIMEOUT)

    def confirm(self, changes: Sequence[Change], *, present: bool, timeout: float) -> Confirmation:
        """See ``Mesh``. Writes return when every proxy concerned accepted them; this asks their workers."""
        params = {"changes": [change_forms.dump(change) for change in changes], "present": present}
        end = time.monotonic() + timeout
        while True:
            try:
                found = self._connection.call("confirm", params, timeout=max(1.0, timeout))
            except NotLive:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.02)
                continue
            return Confirmation(float(found["at"]), tuple(found["proxies"]))

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]:
        """See ``Mesh``. ``workload`` is a Deployment's name, or an ``app`` label for all of its versions."""
        found: list[Proxy] = []
        for local in self._world().replicas:
            if not (local.sidecar or local.gateway) or namespace not in {None, local.namespace}:
                continue
            if workload is None or workload in {local.workload, local.labels.get("app")}:
                found.append(self._proxy(local))
        return found

    def entry(self, source: str, url: str, namespace: str) -> Entry:
        """See ``Mesh``."""
        root = str(self._connection.call("root_certificate")) if url.startswith("https:") else ""
        found = entry_for(self._world(), source, url, namespace, root)
        if source == "outside":
            self._connection.call("plain_side", timeout=_WRITE_TIMEOUT)
        return found

    def callers(self, calls: Sequence[Call]) -> Mapping[str, tuple[str, ...]]:
        """See ``Mesh``: every sidecar is reached from here."""
        return {}

    def deploy(self, callers: Sequence[str], tick: Callable[[], None]) -> None:
        """See ``Mesh``: there are none, and the supervisor heals."""

    def caller(self, at: str) -> Caller:
        """See ``Mesh``."""
        raise NotFound(f"the local mesh has no client {at!r}: every sidecar is reached from here")

    def trouble(self) -> list[str]:
        """See ``Mesh``."""
        found = self._connection.call("trouble", {"since": self._troubles})
        self._troubles = int(found["next"])
        return [str(line) for line in found["lines"]]

    def strained(self) -> list[str]:
        """See ``Mesh``."""
        before, self._stubs = self._stubs, self._connection.call("stubs")
        known = ((name, before.get(name), after) for name, after in self._stubs.items())
        lines = (strain(name, then, after) for name, then, after in known if then is not None)
        return [line for line in lines if line is not None]

    def hits(self) -> Mapping[str, int]:
        """See ``Mesh``: stubs count."""
        found = self._connection.call("stubs")
        return {name: int(counters["hits"]) for name, counters in found.items() if counters is not None}

    def signing_keys(self) -> Mapping[str, str]:
        """See ``Mesh``."""
        found: Mapping[str, str] = self._connection.call("signing_keys")
        return found

    def kill(
        self,
        replicas: Sequence[str],
        what: Literal["pod", "app", "proxy"] = "pod",
        *,
        restart_after: float | None = RESTART_AFTER,
    ) -> None:
        """See ``Mesh``. Their endpoints are gone when this returns. ``restart_after`` seconds later (None: never) new
        ones come, at other addresses, or what was killed of them is started again. Raises NotFound, Locked.
        """
        form = {"names": list(replicas), "what": what, "restart_after": restart_after, "holder": self._journal.holder}
        self._connection.call("kill", form, timeout=_WRITE_TIMEOUT)

    def certify(self, names: Sequence[str], *, expired: bool = False) -> None:
        """New certificates for replicas (``name.namespace``), or ones that are past their end, until the next call.
        Their proxies have them when this returns; connections that are open stay so. Raises NotFound.
        """
        self._connection.call("certify", {"names": list(names), "expired": expired}, timeout=_WRITE_TIMEOUT)

    def refresh_keys(self) -> None:
        """Fetches the keys of all token issuers again, now, which comes round every 20 minutes anyway."""
        self._connection.call("refresh_keys", timeout=_WRITE_TIMEOUT)

    def world(self) -> World:
        """Replicas with their addresses and folders, and the objects: for evidence and for ``mesh status``."""
        return self._world()

    def close(self) -> None:
        """See ``Mesh``. Idempotent."""
        for proxy in self._proxies.values():
            proxy.close()
        self._proxies.clear()
        self._connection.close()
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.end()

    def __enter__(self) -> LocalMesh:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _writer(self) -> dict[str, str | None]:
        return {"manager": self._manager, "holder": self._journal.holder}

    def _object(self, method: str, params: Mapping[str, Any]) -> Manifest:
        found: Manifest = self._connection.call(method, params, timeout=_WRITE_TIMEOUT)
        return found

    def _world(self) -> World:
        found = self._connection.call("world")
        replicas = []
        for form in found["replicas"]:
            form["applications"] = {int(port): place for port, place in form["applications"].items()}
            replicas.append(LocalReplica(**form))
        return World(tuple(found["objects"]), tuple(replicas), found["service_addresses"])

    def _proxy(self, local: LocalReplica) -> LocalProxy:
        name = f"{local.name}.{local.namespace}"
        replica = replica_of(local)
        if name not in self._proxies:
            self._proxies[name] = LocalProxy(replica, local.admin, local.logs)
        self._proxies[name].replica = replica
        return self._proxies[name]
