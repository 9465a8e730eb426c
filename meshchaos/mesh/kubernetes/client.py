"""``KubernetesMesh``: the seam on a cluster with Istio."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Final, Literal

from meshchaos.errors import Conflict, MeshGone, NotFound, NotLive, Refused, UserError
from meshchaos.mesh.apply import apply_change, holds, undo_all
from meshchaos.mesh.changes import Change, Create
from meshchaos.mesh.client_tls import tls_of
from meshchaos.mesh.kubernetes.api import Api, connect
from meshchaos.mesh.kubernetes.caller_pod import counted_by
from meshchaos.mesh.kubernetes.callers import Callers
from meshchaos.mesh.kubernetes.confirming import Known
from meshchaos.mesh.kubernetes.entry import away, entry_for
from meshchaos.mesh.kubernetes.guards import Guards
from meshchaos.mesh.kubernetes.journal import Hooks, KubernetesJournal
from meshchaos.mesh.kubernetes.kinds import Kinds
from meshchaos.mesh.kubernetes.live import Sign, footprint, has_footprint, signs_of
from meshchaos.mesh.kubernetes.observing import log_filters, log_name, mark
from meshchaos.mesh.kubernetes.reach import Reach
from meshchaos.mesh.kubernetes.reading import Reader
from meshchaos.mesh.kubernetes.rights import healer_account, roles
from meshchaos.mesh.kubernetes.running import Running
from meshchaos.mesh.kubernetes.spec import ClusterSpec, HealerSpec
from meshchaos.mesh.kubernetes.status import Forbidden
from meshchaos.mesh.kubernetes.writing import Objects
from meshchaos.mesh.objects import Manifest, Ref
from meshchaos.mesh.seam import Call, Caller, Confirmation, Entry, Proxy, Snapshot

_DOMAIN: Final = "cluster.local"
_LOGGING: Final = 20.0
"""Seconds until every proxy logs for a run, and until none does any more; shorter than a journal's lifetime."""
_REPLICAS: Final = 0.1
"""Seconds between two looks whether as many replicas serve as should."""


class KubernetesMesh:
    """Implements ``meshchaos.mesh.seam.Mesh``; one call at a time. ``logs``: a folder for what proxies log.
    ``guarded``: before the first change of a run there is a process that puts it back when this one dies.
    """

    def __init__(self, spec: ClusterSpec, api: Api, kinds: Kinds, logs: Path, *, guarded: bool = True) -> None:
        self._spec = spec
        self._api = api
        self._kinds = kinds
        self._logs = logs
        beside = [spec.gateway_service.partition(".")[2]] if spec.gateway_service else []
        self._reader = Reader(api, kinds, spec.namespaces, [one for one in beside if one])
        self._running = Running(api, self._reader, logs)
        self._journal = KubernetesJournal(api, kinds, spec.namespaces, hooks=_Around(self))
        self._objects = Objects(api, kinds, self._before_write, self._journal.held)
        self._callers = Callers(api, self._objects, self._journal, spec.image)
        self._reach = Reach()
        self._guards = Guards(spec, api, kinds, logs, guarded=guarded)
        self._observed: list[Change] = []
        self._known: dict[Ref, Known] = {}
        self._snapshot: Snapshot | None = None

    @classmethod
    def open(cls, spec: ClusterSpec, logs: Path, *, guarded: bool = True) -> KubernetesMesh:
        """Raises UserError for what is not there, or not allowed: the context, the namespaces, Istio; MeshError."""
        api = connect(spec.context, spec.kubeconfig)
        try:
            mesh = cls(spec, api, Kinds.ask(api), logs, guarded=guarded)
            mesh._reader.check()
        except (Forbidden, MeshGone) as error:
            api.close()
            raise UserError(f"mesh {spec.mesh}: {error}") from error
        except BaseException:
            api.close()
            raise
        return mesh

    @property
    def name(self) -> str:
        return self._spec.mesh

    @property
    def ephemeral(self) -> bool:
        """See ``Mesh``: a cluster keeps what was written to it."""
        return False

    @property
    def journal(self) -> KubernetesJournal:
        """See ``Mesh``."""
        return self._journal

    @property
    def healers(self) -> tuple[str, ...]:
        """See ``Mesh``."""
        return self._guards.words(self._snapshot or self.snapshot())

    def versions(self) -> Mapping[str, str]:
        """See ``Mesh``: what can be found out without asking for more rights."""
        found = {"kubernetes": str(self._api.get("/version").get("gitVersion", ""))}
        try:
            path = self._kinds.collection("Pod", self._reader.root_namespace)
            for pod in self._api.listing(path, {"labelSelector": "app=istiod"}):
                image = str(pod["spec"]["containers"][0].get("image") or "")
                found["istio"] = image.partition("@")[0].rpartition(":")[2]
        except (Forbidden, NotFound):
            pass
        return found

    def snapshot(self) -> Snapshot:
        """See ``Mesh``. Raises UserError where the context may not read what is needed."""
        self._snapshot = self._reader.snapshot()
        return self._snapshot

    def get(self, ref: Ref) -> Manifest:
        """See ``Mesh``."""
        return self._objects.get(ref)

    def create(self, manifest: Manifest) -> Manifest:
        """See ``Mesh``."""
        return self._objects.create(manifest)

    def replace(self, manifest: Manifest) -> Manifest:
        """See ``Mesh``."""
        return self._objects.replace(manifest)

    def delete(self, ref: Ref, uid: str) -> None:
        """See ``Mesh``."""
        self._objects.delete(ref, uid)

    def dry_run(self, changes: Sequence[Change]) -> None:
        """See ``Mesh``."""
        self._guards.require_fit()
        self._objects.dry_run(changes)

    def observe(self, headers: Sequence[str]) -> None:
        """See ``Mesh``: EnvoyFilters add an access log of our format. Journalled, and gone with the journal. A gateway
        whose namespace the context may not write to logs nothing, and whoever needs its lines is told. Raises MeshError
        where a node's clock is not ours: what its proxies log could not be put beside what was sent.
        """
        run_id = self._journal.holder
        assert run_id is not None
        snapshot = self._snapshot or self.snapshot()
        wanted = log_filters(run_id, snapshot.workloads, sorted(set(headers)), snapshot.root_namespace)
        changes = [change for change in wanted if self._may_log(change)]
        self._journal.add(changes)
        self._observed = list(changes)
        begun = time.time()
        for change in changes:
            apply_change(self, change, run_id)
        self._confirm(changes, present=True, timeout=_LOGGING, somewhere=False)
        self._running.logged(mark(run_id))
        self._running.looking().compare_clocks(log_name(run_id), begun, time.time())

    def confirm(self, changes: Sequence[Change], *, present: bool, timeout: float) -> Confirmation:
        """See ``Mesh``: the API holds them, and the proxies' own active configuration shows them."""
        return self._confirm(changes, present=present, timeout=timeout, somewhere=True)

    def _confirm(self, changes: Sequence[Change], *, present: bool, timeout: float, somewhere: bool) -> Confirmation:
        end = time.monotonic() + timeout
        signs: list[Sign] = []
        root = self._reader.root_namespace
        for change in changes:
            stored = self._objects.stored(change.ref)
            there = stored is not None and holds(stored, change)
            if there != present:
                state = "does not hold the change any more" if present else "still holds the change"
                raise NotLive(f"{change.ref} {state}: somebody else wrote it")
            signs += signs_of(change, stored, root, _DOMAIN)
        for change in changes:
            if change.ref.kind == "Deployment":
                self._require_replicas(change.ref, end)
        left = max(0.0, end - time.monotonic())
        return self._running.looking().wait(signs, self._known.get, present=present, timeout=left, somewhere=somewhere)

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]:
        """See ``Mesh``. ``workload`` is a Deployment's name, or an ``app`` label for all of its versions."""
        found: list[Proxy] = []
        for proxy in self._running.proxies():
            replica = proxy.replica
            if namespace not in {None, replica.namespace}:
                continue
            if workload is None or workload in {replica.workload, replica.labels.get("app")}:
                found.append(proxy)
        return found

    def entry(self, source: str, url: str, namespace: str) -> Entry:
        """See ``Mesh``."""
        spec, snapshot = self._spec, self._snapshot or self.snapshot()
        found = entry_for(
            snapshot,
            source,
            url,
            namespace,
            gateway_service=spec.gateway_service,
            gateway_address=spec.gateway_address,
            gateway_tls=tls_of(*astuple(spec.gateway_tls)) if url.startswith("https:") else None,
        )
        if found.at and spec.image is None:
            raise UserError(
                f"from: {source}: a Pod calls with a workload's identity, and it needs an image with meshchaos in it; "
                "name one in meshchaos.yaml, as in kubernetes: {image: registry.example/meshchaos:0.1.0}"
            )
        if not found.at and spec.image is not None and not self._reach.here(found.address):
            return away(found, source, snapshot, url, namespace)
        return found

    def callers(self, calls: Sequence[Call]) -> Mapping[str, tuple[str, ...]]:
        """See ``Mesh``."""
        found = (self.entry(one.source, one.url, one.namespace).at for one in calls)
        places = tuple(dict.fromkeys(at for at in found if at))
        snapshot = self._snapshot or self.snapshot()
        for at in places:
            self._callers.require_fit(at, snapshot)
        return {at: tuple(counted_by(at, snapshot)) for at in places}

    def deploy(self, callers: Sequence[str], tick: Callable[[], None]) -> None:
        """See ``Mesh``. Whoever heals is there ahead of them."""
        run_id = self._journal.holder
        assert run_id is not None
        snapshot = self._snapshot or self.snapshot()
        if self._guards.wants_job:
            logging = log_filters(run_id, snapshot.workloads, (), snapshot.root_namespace)
            calling = {at.rpartition(".")[2] for at in callers}
            changes = [*self._journal.recorded, *(change for change in logging if self._may_log(change))]
            self._guards.deploy(self._journal, changes, calling, tick)
        if callers:
            self._callers.deploy(callers, snapshot, tick)

    def caller(self, at: str) -> Caller:
        """See ``Mesh``."""
        return self._callers.caller(at)

    def kill(self, replicas: Sequence[str], what: Literal["pod", "app", "proxy"] = "pod") -> None:
        """See ``Mesh``: Pods, deleted with no grace."""
        if what != "pod":
            raise Refused(f"kill: what: {what} is not built yet for meshes on Kubernetes; what: pod is")
        for full in replicas:
            name, _, namespace = full.partition(".")
            ref = Ref("Pod", namespace, name)
            uid = self.get(ref)["metadata"]["uid"]
            self._running.killed(full)
            self._objects.delete(ref, str(uid), grace=0)

    def trouble(self) -> list[str]:
        """See ``Mesh``: containers that were started again."""
        return self._running.trouble()

    def strained(self) -> list[str]:
        """See ``Mesh``: a cluster has no programs of ours."""
        return []

    def hits(self) -> Mapping[str, int]:
        """See ``Mesh``: nobody counts."""
        return {}

    def signing_keys(self) -> Mapping[str, str]:
        """See ``Mesh``: a cluster plays no issuer."""
        return {}

    def rights(
        self,
        changes: Iterable[Change],
        killed: Iterable[str],
        callers: Iterable[str] = (),
        healer: HealerSpec | None = None,
    ) -> list[Manifest]:
        """Roles of whoever makes these changes by a run, ends Pods in namespaces ``killed``, and has these callers;
        with them those of the Job that heals, where there is to be one.
        """
        mesh, changes = self._snapshot or self.snapshot(), list(changes)
        calling = {at.rpartition(".")[2] for at in callers}
        found = roles(self._kinds, mesh, changes, killed, "meshchaos", calling=calling, healer=healer is not None)
        if healer is not None:
            found += healer_account(self._kinds, mesh, changes, healer.service_account, calling=calling)
        return found

    def close(self) -> None:
        """See ``Mesh``. Idempotent. What a run could not put back is tried once more by its watchdog."""
        self._guards.let_go()
        self._callers.close()
        self._running.close()
        self._api.close()

    def __enter__(self) -> KubernetesMesh:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _may_log(self, change: Create) -> bool:
        try:
            self.dry_run([change])
        except Forbidden:
            if change.ref.namespace in self._spec.namespaces:
                raise
            self._running.silent.add(change.ref.namespace)
            return False
        return True

    def _before_write(self, ref: Ref) -> None:
        """Raises Locked when the run does not hold the mesh any more, MeshError when nobody would put it back."""
        self._remember(ref)
        self._journal.require()
        self._guards.require(self._journal.holder)

    def recall(self, run_id: str) -> None:
        """Takes back the Pods that called for the run. Raises MeshError where that cannot be done."""
        if self._journal.holder == run_id:
            self._callers.take_back(run_id)

    def unobserve(self, run_id: str) -> None:
        """Takes the access log back. Raises MeshError where that cannot be done."""
        if not self._observed:
            return
        left = undo_all(self, self._observed, run_id)
        if left:
            raise Conflict("; ".join(left))
        changes, self._observed = self._observed, []
        self._confirm(changes, present=False, timeout=_LOGGING, somewhere=False)

    def _remember(self, ref: Ref) -> None:
        """What proxies run of an object ahead of a write to it."""
        if not has_footprint(ref.kind):
            return
        manifest = self._objects.stored(ref) or {
            "kind": ref.kind,
            "metadata": {"name": ref.name, "namespace": ref.namespace},
        }
        found = self._running.looking().digests(footprint(manifest, self._reader.root_namespace))
        before = self._known.get(ref)
        first = before.first if before is not None else found if self._journal.holder is not None else None
        self._known[ref] = Known(first, found, time.monotonic())

    def _require_replicas(self, ref: Ref, end: float) -> None:
        """Waits until as many replicas serve as a Deployment asks for. Raises NotLive."""
        while True:
            wanted = int((self.get(ref).get("spec") or {}).get("replicas", 1))
            there, serving = self._running.serving(ref)
            if there == serving == wanted:
                return
            if time.monotonic() >= end:
                raise NotLive(f"{ref} asks for {wanted} replicas, and {serving} serve")
            time.sleep(_REPLICAS)


class _Around(Hooks):
    """What a mesh does around its journal."""

    def __init__(self, mesh: KubernetesMesh) -> None:
        self._mesh = mesh

    def opening(self, run_id: str) -> None:
        self._mesh._guards.start(run_id)

    def closing(self, run_id: str) -> None:
        self._mesh.recall(run_id)
        self._mesh.unobserve(run_id)

    def closed(self, run_id: str) -> None:
        self._mesh._guards.release(run_id)
