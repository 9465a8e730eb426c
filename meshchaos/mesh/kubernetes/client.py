"""``KubernetesMesh``: the seam on a cluster with Istio."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from meshchaos.errors import AlreadyExists, Conflict, MeshGone, NotFound, NotLive, Refused, UserError
from meshchaos.mesh.apply import OWNER_ANNOTATION, apply_change, holds, undo_all
from meshchaos.mesh.changes import Change, Create, edited, stale
from meshchaos.mesh.kubernetes.api import Api, connect
from meshchaos.mesh.kubernetes.confirming import Known, Looking
from meshchaos.mesh.kubernetes.entry import entry_for
from meshchaos.mesh.kubernetes.journal import Hooks, KubernetesJournal
from meshchaos.mesh.kubernetes.kinds import Kinds
from meshchaos.mesh.kubernetes.live import Sign, footprint, has_footprint, signs_of
from meshchaos.mesh.kubernetes.observing import log_filters, log_name, mark
from meshchaos.mesh.kubernetes.proxy import KubernetesProxy
from meshchaos.mesh.kubernetes.reading import Reader
from meshchaos.mesh.kubernetes.spec import ClusterSpec
from meshchaos.mesh.kubernetes.status import Forbidden
from meshchaos.mesh.kubernetes.views import has_proxy, replica_of
from meshchaos.mesh.kubernetes.watchdog import Watchdog
from meshchaos.mesh.objects import Manifest, Ref, annotations_of, ref_of
from meshchaos.mesh.seam import Confirmation, Entry, Proxy, Replica, Snapshot

MANAGER: Final = "meshchaos"
_DOMAIN: Final = "cluster.local"
_LOGGING: Final = 20.0
"""Seconds until every proxy logs for a run, and until none does any more; shorter than a journal's lifetime."""
_FRESH: Final = 0.5
"""Seconds for which a list of Pods answers several questions."""
_TROUBLE: Final = 2.0
"""Seconds between two looks at the Pods' restarts."""


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
        self._journal = KubernetesJournal(api, kinds, spec.namespaces, hooks=_Around(self))
        self._guarded = guarded
        self._watchdog: Watchdog | None = None
        self._proxies: dict[str, KubernetesProxy] = {}
        self._gateways: frozenset[str] = frozenset()
        self._observed: list[Change] = []
        self._mark: bytes | None = None
        self._silent: set[str] = set()
        """Namespaces whose proxies may not be told to log."""
        self._known: dict[Ref, Known] = {}
        self._pods: tuple[float, list[Manifest]] = (float("-inf"), [])
        self._snapshot: Snapshot | None = None
        self._looked = time.monotonic()
        self._restarts: dict[str, int] | None = None
        self._killed: set[str] = set()

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
        return self._api.get(self._kinds.path(ref))

    def create(self, manifest: Manifest) -> Manifest:
        """See ``Mesh``."""
        self._kinds.learn(manifest)
        ref = ref_of(manifest)
        self._remember(ref)
        self._may_write()
        try:
            return self._write("POST", self._kinds.collection(ref.kind, ref.namespace), manifest)
        except AlreadyExists:
            found = self.get(ref)
            ours = annotations_of(manifest).get(OWNER_ANNOTATION)
            if ours is None or annotations_of(found).get(OWNER_ANNOTATION) != ours:
                raise
            if not holds(found, Create(manifest)):
                raise
            return found  # the answer to our own request was lost

    def replace(self, manifest: Manifest) -> Manifest:
        """See ``Mesh``."""
        ref = ref_of(manifest)
        self._remember(ref)
        self._may_write()
        return self._write("PUT", self._kinds.path(ref), manifest)

    def delete(self, ref: Ref, uid: str) -> None:
        """See ``Mesh``."""
        self._remember(ref)
        self._may_write()
        self._api.call("DELETE", self._kinds.path(ref), {"preconditions": {"uid": uid}})

    def dry_run(self, changes: Sequence[Change]) -> None:
        """See ``Mesh``: the API server's own dry run, admission webhooks with it."""
        made: dict[Ref, Manifest] = {}
        for change in changes:
            ref = change.ref
            if ref.kind == "Secret":
                raise Refused(f"{ref}: a Secret is never changed")
            if isinstance(change, Create):
                self._kinds.learn(change.manifest)
                path = self._kinds.collection(ref.kind, ref.namespace)
                made[ref] = self._write("POST", path, change.manifest, dry=True)
                continue
            found = made.get(ref) or self.get(ref)
            if outdated := stale(found, change):
                raise Conflict("; ".join(outdated))
            made[ref] = copy.deepcopy(edited(found, change))
            if "uid" in made[ref]["metadata"]:
                self._write("PUT", self._kinds.path(ref), made[ref], dry=True)

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
        self._mark = mark(run_id)
        for proxy in self._proxies.values():
            proxy.mark = self._mark_of(proxy.replica)
        self._looking().compare_clocks(log_name(run_id), begun, time.time())

    def confirm(self, changes: Sequence[Change], *, present: bool, timeout: float) -> Confirmation:
        """See ``Mesh``: the API holds them, and the proxies' own active configuration shows them."""
        return self._confirm(changes, present=present, timeout=timeout, somewhere=True)

    def _confirm(self, changes: Sequence[Change], *, present: bool, timeout: float, somewhere: bool) -> Confirmation:
        end = time.monotonic() + timeout
        signs: list[Sign] = []
        root = self._reader.root_namespace
        for change in changes:
            stored = self._stored(change.ref)
            there = stored is not None and holds(stored, change)
            if there != present:
                state = "does not hold the change any more" if present else "still holds the change"
                raise NotLive(f"{change.ref} {state}: somebody else wrote it")
            signs += signs_of(change, stored, root, _DOMAIN)
        for change in changes:
            if change.ref.kind == "Deployment":
                self._require_replicas(change.ref, end)
        left = max(0.0, end - time.monotonic())
        return self._looking().wait(signs, self._known.get, present=present, timeout=left, somewhere=somewhere)

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]:
        """See ``Mesh``. ``workload`` is a Deployment's name, or an ``app`` label for all of its versions."""
        found: list[Proxy] = []
        for proxy in self._current():
            replica = proxy.replica
            if namespace not in {None, replica.namespace}:
                continue
            if workload is None or workload in {replica.workload, replica.labels.get("app")}:
                found.append(proxy)
        return found

    def entry(self, source: str, url: str, namespace: str) -> Entry:
        """See ``Mesh``."""
        spec = self._spec
        return entry_for(
            self._snapshot or self.snapshot(),
            source,
            url,
            namespace,
            gateway_service=spec.gateway_service,
            gateway_address=spec.gateway_address,
        )

    def kill(self, replicas: Sequence[str], what: Literal["pod", "app", "proxy"] = "pod") -> None:
        """See ``Mesh``: Pods, deleted with no grace."""
        if what != "pod":
            raise Refused(f"kill: what: {what} is not built yet for meshes on Kubernetes; what: pod is")
        for full in replicas:
            name, _, namespace = full.partition(".")
            ref = Ref("Pod", namespace, name)
            uid = self.get(ref)["metadata"]["uid"]
            self._may_write()
            self._killed.add(full)
            self._pods = (float("-inf"), [])
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
            self._api.call("DELETE", self._kinds.path(ref), options)

    def trouble(self) -> list[str]:
        """See ``Mesh``: containers that were started again."""
        now = time.monotonic()
        if self._restarts is not None and now - self._looked < _TROUBLE:
            return []
        self._looked = now
        found = {f"{one.name}.{one.namespace}": one.restarts for one in map(replica_of, self._living())}
        before, self._restarts = self._restarts or {}, found
        return [
            f"a container of {name} died and was started again"
            for name, restarts in found.items()
            if restarts > before.get(name, restarts) and name not in self._killed
        ]

    def strained(self) -> list[str]:
        """See ``Mesh``: a cluster has no programs of ours."""
        return []

    def hits(self) -> Mapping[str, int]:
        """See ``Mesh``: nobody counts."""
        return {}

    def signing_keys(self) -> Mapping[str, str]:
        """See ``Mesh``: a cluster plays no issuer."""
        return {}

    def close(self) -> None:
        """See ``Mesh``. Idempotent. What a run could not put back is tried once more by its watchdog."""
        self.unguard()
        for proxy in self._proxies.values():
            proxy.close()
        self._proxies.clear()
        self._api.close()

    def __enter__(self) -> KubernetesMesh:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, method: str, path: str, manifest: Manifest, *, dry: bool = False) -> Manifest:
        query = {"fieldManager": MANAGER, **({"dryRun": "All"} if dry else {})}
        return self._api.call(method, path, self._kinds.as_served(manifest), query)

    def _may_log(self, change: Create) -> bool:
        try:
            self.dry_run([change])
        except Forbidden:
            if change.ref.namespace in self._spec.namespaces:
                raise
            self._silent.add(change.ref.namespace)
            return False
        return True

    def _mark_of(self, replica: Replica) -> bytes | None:
        return None if replica.namespace in self._silent else self._mark

    def _may_write(self) -> None:
        """Raises Locked when the run does not hold the mesh any more, MeshError when nobody would put it back."""
        self._journal.require()
        if self._watchdog is not None:
            self._watchdog.ready()

    def _stored(self, ref: Ref) -> Manifest | None:
        try:
            return self.get(ref)
        except NotFound:
            return None

    def guard(self, run_id: str) -> None:
        """Whoever puts things back when we die begins to watch."""
        if self._guarded:
            self._watchdog = Watchdog.start(self._spec, run_id, self._logs)

    def unguard(self) -> None:
        """The run is over."""
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.release()

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
        manifest = self._stored(ref) or {"kind": ref.kind, "metadata": {"name": ref.name, "namespace": ref.namespace}}
        found = self._looking().digests(footprint(manifest, self._reader.root_namespace))
        before = self._known.get(ref)
        first = before.first if before is not None else found if self._journal.holder is not None else None
        self._known[ref] = Known(first, found, time.monotonic())

    def _require_replicas(self, ref: Ref, end: float) -> None:
        """Waits until as many replicas serve as a Deployment asks for. Raises NotLive."""
        while True:
            found = self.get(ref)
            wanted = int((found.get("spec") or {}).get("replicas", 1))
            self._pods = (float("-inf"), [])
            own = [
                one
                for one in map(replica_of, self._living())
                if (one.workload, one.namespace) == (ref.name, ref.namespace)
            ]
            serving = sum(one.ready for one in own)
            if serving == wanted and len(own) == wanted:
                return
            if time.monotonic() >= end:
                raise NotLive(f"{ref} asks for {wanted} replicas, and {serving} serve")
            time.sleep(0.1)

    def _looking(self) -> Looking:
        return Looking(self._current(), self._gateways)

    def _current(self) -> list[KubernetesProxy]:
        """The proxies that are there now; those that went keep their logs until the mesh is given up."""
        found, gateways = [], set()
        for pod in self._living():
            if not has_proxy(pod):
                continue
            replica = replica_of(pod)
            name = f"{replica.name}.{replica.namespace}"
            if not replica.sidecar:
                gateways.add(name)
            elif replica.namespace not in self._spec.namespaces:
                continue
            if name not in self._proxies:
                self._proxies[name] = KubernetesProxy(self._api, replica, self._logs, self._mark_of(replica))
            self._proxies[name].replica = replica
            found.append(self._proxies[name])
        self._gateways = frozenset(gateways)
        return found

    def _living(self) -> list[Manifest]:
        at, pods = self._pods
        if time.monotonic() - at > _FRESH:
            pods = self._reader.pods()
            self._pods = (time.monotonic(), pods)
        return pods


class _Around(Hooks):
    """What a mesh does around its journal."""

    def __init__(self, mesh: KubernetesMesh) -> None:
        self._mesh = mesh

    def opening(self, run_id: str) -> None:
        self._mesh.guard(run_id)

    def closing(self, run_id: str) -> None:
        self._mesh.unobserve(run_id)

    def closed(self, run_id: str) -> None:
        self._mesh.unguard()
