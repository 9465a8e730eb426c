"""A cluster's lock and undo records, kept in the cluster itself.

A **Lease** ``meshchaos`` in every namespace that a run writes to is the lock: taken by resourceVersion, with the run's
id as its holder, in its home first, then in sorted order; each names all the namespaces. **ConfigMaps** in the run's
home, the mesh's first namespace, are the undo records: one for each changed object, with the changed fields alone, cut
into parts below the API's limit. They have no owner and no finalizer, so nothing else deletes them, and they hold
nothing up.

Order of ``open``: Leases, ConfigMaps, then changes may be made; of ``close``: ConfigMaps, Leases, that of its home
last. So whatever dies, a change is never there without its record, nor a record without a Lease. When a Lease ends is
not read off clocks, which differ: it has ended when its renewTime was seen to stand still for as long as it lasts.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from meshchaos.errors import AlreadyExists, Conflict, Locked, MeshError, NotFound, Refused
from meshchaos.mesh import changes as change_forms
from meshchaos.mesh.changes import Change, Create
from meshchaos.mesh.edits import OWN_PREFIX
from meshchaos.mesh.journal import JournalEntry
from meshchaos.mesh.kubernetes.api import Api
from meshchaos.mesh.kubernetes.kinds import Kinds
from meshchaos.mesh.objects import Manifest, annotations_of, ref_of

LEASE: Final = "meshchaos"
RUN: Final = "meshchaos.dev/journal"
"""Label of a ConfigMap: the run whose record it is."""
PART: Final = "meshchaos.dev/part"
"""Annotation of a ConfigMap: ``<change>.<part>``, numbers from 0."""
NAMESPACES: Final = "meshchaos.dev/namespaces"
"""Annotation of a Lease: where the run holds one."""
OWNER: Final = "meshchaos.dev/owner"
HOME: Final = "meshchaos.dev/home"
OPENED: Final = "meshchaos.dev/opened"
HEALER: Final = "heal of "
"""Begins a Lease's holder once somebody undoes what the run changed."""
PART_SIZE: Final = 500_000
"""Characters of a part; an object of the API's has 1 MiB at most, and JSON in JSON grows."""


@dataclass(slots=True)
class _Seen:
    """When a Lease's renewal was first seen here (epoch s)."""

    renewed: str
    at: float


class Hooks:
    """What happens around a journal: by itself nothing."""

    def opening(self, run_id: str) -> None:
        """Before the Lease is taken."""

    def closing(self, run_id: str) -> None:
        """Before the records are dropped. Raises MeshError where that must not be yet."""

    def closed(self, run_id: str) -> None:
        """Nothing of it is left."""


class KubernetesJournal:
    """Implements ``meshchaos.mesh.journal.Journal``. ``namespaces``: of the mesh, its home first."""

    def __init__(
        self,
        api: Api,
        kinds: Kinds,
        namespaces: Sequence[str],
        *,
        hooks: Hooks | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._kinds = kinds
        self._namespaces = tuple(namespaces)
        self._home = namespaces[0]
        self._hooks = hooks or Hooks()
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._leases: dict[str, Manifest] = {}
        """Those that this process holds, by namespace."""
        self._until = 0.0
        """When ours ends unless it is renewed (monotonic s)."""
        self._lifetime = 0.0
        self._records = 0
        self.recorded: list[Change] = []
        """Of the run that opened it here."""
        self.holder: str | None = None
        """The run that opened it here, in whose name this process writes until it is closed."""

    def open(self, run_id: str, owner: str, changes: Sequence[Change], lifetime: float) -> None:
        """See ``Journal``. Raises Refused for what must not be written down (Secrets), MeshError."""
        for entry in self.entries():
            raise Locked(f"run {entry.run_id} ({entry.owner}) holds this mesh or left changes behind")
        touched = {change.ref.namespace for change in changes if change.ref.namespace}
        places = [self._home, *sorted(touched - {self._home})]
        for path in (*map(self._lease_path, places), f"{self._configmaps}/{OWN_PREFIX}{run_id}-journal-0.0"):
            self._may_delete(path)
        asked = time.monotonic()
        self._hooks.opening(run_id)
        try:
            for namespace in places:
                self._leases[namespace] = self._take(namespace, run_id, owner, lifetime, places)
            self.holder, self._until, self._lifetime, self._records = run_id, asked + lifetime, lifetime, 0
            self.recorded = []
            self.add(changes)
        except MeshError:
            self.close(run_id)
            raise

    @property
    def lease(self) -> Manifest:
        """That which this process holds in its home."""
        return self._leases[self._home]

    def add(self, changes: Sequence[Change]) -> None:
        """More changes of the run that holds it, durable when this returns. Raises Locked, Refused, MeshError."""
        assert self.holder is not None
        for change in changes:
            if change.ref.kind == "Secret":
                raise Refused(f"{change.ref}: a Secret is never written into a journal, so it is never changed")
            text = json.dumps(change_forms.dump(change), separators=(",", ":"))
            for number, start in enumerate(range(0, len(text), PART_SIZE)):
                part = f"{self._records}.{number}"
                last = start + PART_SIZE >= len(text)
                self._write_record(self.holder, part, text[start : start + PART_SIZE], last)
            self._records += 1
            self.recorded.append(change)

    def renew(self, run_id: str, lifetime: float) -> None:
        """See ``Journal``."""
        asked = time.monotonic()
        self._require_time(run_id)
        for namespace in self._leases:
            self._leases[namespace] = self._renew(namespace, run_id, lifetime)
        self._until, self._lifetime = asked + lifetime, lifetime

    def require(self) -> None:
        """Raises Locked unless the run that opened it here still holds it, and for some time yet: a write that meets a
        slow server is tried for a while. Asked ahead of every write: one that was suspended wakes up anywhere.
        """
        if self.holder is None:
            return
        self._require_time(self.holder)
        if self._until - time.monotonic() < self._lifetime / 2:
            self.renew(self.holder, self._lifetime)
        else:
            self.held()

    def held(self) -> None:
        """Raises Locked when the run that opened it here was healed. Asked after every write as well: between the look
        ahead of it and the write itself anything may have happened.
        """
        if self.holder is not None and _holder(self._lease(self._home)) != self.holder:
            raise _lost(self.holder)

    def take_over(self, run_id: str) -> None:
        """See ``Journal``."""
        for namespace, lease in self._all_leases():
            if _holder(lease) == run_id:
                self._put(namespace, lease, holderIdentity=f"{HEALER}{run_id}")

    def close(self, run_id: str) -> None:
        """See ``Journal``."""
        self._hooks.closing(run_id)
        leases = [(place, lease) for place, lease in self._all_leases() if _run_of(_holder(lease)) == run_id]
        home = next((annotations_of(lease).get(HOME, self._home) for _, lease in leases), self._home)
        for record in self._records_of(run_id, home):
            self._drop(self._kinds.path(ref_of(record)), record)
        for namespace, lease in sorted(leases, key=lambda one: one[0] == home):
            self._drop(self._lease_path(namespace), lease)
        if self.holder == run_id:
            self.holder = None
        self._leases.clear()
        self._hooks.closed(run_id)

    def entries(self) -> list[JournalEntry]:
        """See ``Journal``. One of another home is among them: its run holds a namespace of ours."""
        found: dict[str, JournalEntry] = {}
        for namespace, lease in self._all_leases():
            run_id = _run_of(_holder(lease))
            if not run_id:
                continue
            marks = annotations_of(lease)
            expires = self._expires(namespace, lease)
            known = found.get(run_id)
            if known is not None:
                found[run_id] = replace(known, expires=max(known.expires, expires))
                continue
            home = marks.get(HOME) or namespace
            found[run_id] = JournalEntry(
                run_id,
                marks.get(OWNER, ""),
                float(marks.get(OPENED) or 0.0),
                expires,
                tuple(self._changes(run_id, home)),
            )
        for run_id in {str(one["metadata"]["labels"][RUN]) for one in self._records_of(None)} - found.keys():
            # Somebody deleted the Lease; what the run changed may be there.
            found[run_id] = JournalEntry(run_id, "", 0.0, 0.0, tuple(self._changes(run_id, self._home)))
        return sorted(found.values(), key=lambda entry: (entry.opened, entry.run_id))

    def expires(self, run_id: str) -> float | None:
        """Of the Lease in our home, in our own time (epoch s); None where the run does not hold it."""
        lease = self._lease(self._home)
        return self._expires(self._home, lease) if _run_of(_holder(lease)) == run_id else None

    def _expires(self, namespace: str, lease: Manifest) -> float:
        """In our own time: as long as it lasts after its renewal was first seen."""
        spec = lease.get("spec") or {}
        if _holder(lease).startswith(HEALER):
            return 0.0  # the run itself is over
        renewed = f"{lease['metadata']['uid']} {spec.get('renewTime')}"
        seen = self._seen.get(namespace)
        if seen is None or seen.renewed != renewed:
            seen = self._seen[namespace] = _Seen(renewed, self._clock())
        return seen.at + float(spec.get("leaseDurationSeconds") or 0)

    def _take(self, namespace: str, run_id: str, owner: str, lifetime: float, places: Sequence[str]) -> Manifest:
        now = self._clock()
        lease: Manifest = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": LEASE,
                "namespace": namespace,
                "annotations": {
                    OWNER: owner,
                    HOME: self._home,
                    NAMESPACES: ",".join(places),
                    OPENED: f"{now:.3f}",
                },
            },
            "spec": {
                "holderIdentity": run_id,
                "leaseDurationSeconds": round(lifetime),
                "acquireTime": _micro(now),
                "renewTime": _micro(now),
            },
        }
        try:
            return self._api.call("POST", self._kinds.collection("Lease", namespace), lease)
        except AlreadyExists:
            found = self._lease(namespace)
            if _holder(found) == run_id:
                return found  # the answer to our own request was lost
            raise Locked(
                f"run {_run_of(_holder(found))} ({annotations_of(found).get(OWNER, '')}) holds namespace {namespace}"
            ) from None

    def _renew(self, namespace: str, run_id: str, lifetime: float) -> Manifest:
        fields = {"renewTime": _micro(self._clock()), "leaseDurationSeconds": round(lifetime)}
        try:
            return self._put(namespace, self._leases[namespace], **fields)
        except Conflict:
            found = self._lease(namespace)
            if _holder(found) != run_id:
                raise _lost(run_id) from None
            if fields.items() <= found["spec"].items():
                return found  # the answer to our own request was lost
            return self._put(namespace, found, **fields)
        except NotFound:
            raise _lost(run_id) from None

    def _put(self, namespace: str, lease: Manifest, **fields: Any) -> Manifest:
        return self._api.call("PUT", self._lease_path(namespace), {**lease, "spec": {**lease["spec"], **fields}})

    def _require_time(self, run_id: str) -> None:
        if self.holder != run_id or time.monotonic() >= self._until:
            raise _lost(run_id)

    def _lease(self, namespace: str) -> Manifest:
        try:
            return self._api.get(self._lease_path(namespace))
        except NotFound:
            return {}

    def _all_leases(self) -> list[tuple[str, Manifest]]:
        """Of the mesh's namespaces, and of those that their runs hold beside them."""
        places, found = list(self._namespaces), []
        for namespace in places:  # grows under way
            lease = self._lease(namespace)
            if lease:
                found.append((namespace, lease))
                listed = annotations_of(lease).get(NAMESPACES, "").split(",")
                places += [one for one in listed if one and one not in places]
        return found

    def _write_record(self, run_id: str, part: str, text: str, last: bool) -> None:
        name = f"{OWN_PREFIX}{run_id}-journal-{part}"
        record = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": self._home,
                "labels": {RUN: run_id},
                "annotations": {PART: part},
            },
            "data": {"change": text, "last": str(last).lower()},
        }
        try:
            self._api.call("POST", self._configmaps, record)
        except AlreadyExists:
            if self._api.get(f"{self._configmaps}/{name}").get("data") != record["data"]:
                raise  # not our own request, whose answer was lost

    def _changes(self, run_id: str, home: str) -> list[Change]:
        """Whole ones: one whose last part is missing was never made."""
        parts: dict[int, dict[int, Manifest]] = {}
        for record in self._records_of(run_id, home):
            position, _, number = annotations_of(record).get(PART, "0.0").partition(".")
            parts.setdefault(int(position), {})[int(number)] = record
        found: list[Change] = []
        for _, own in sorted(parts.items()):
            ordered = [own[number]["data"] for number in sorted(own)]
            if ordered[-1]["last"] != "true" or len(ordered) != max(own) + 1:
                continue
            try:
                change = change_forms.load(json.loads("".join(str(data["change"]) for data in ordered)))
            except (ValueError, KeyError, TypeError) as error:
                raise MeshError(f"the journal of run {run_id} in namespace {home} is damaged: {error}") from error
            if isinstance(change, Create):
                self._kinds.learn(change.manifest)
            found.append(change)
        return found

    def _records_of(self, run_id: str | None, home: str | None = None) -> list[Manifest]:
        selector = RUN if run_id is None else f"{RUN}={run_id}"
        path = self._kinds.collection("ConfigMap", home or self._home)
        return self._api.listing(path, {"labelSelector": selector})

    def _may_delete(self, path: str) -> None:
        """Raises Forbidden where what is going to be written could not be taken away again."""
        with contextlib.suppress(NotFound):
            self._api.call("DELETE", path, None, {"dryRun": "All"})

    def _drop(self, path: str, manifest: Manifest) -> None:
        metadata = manifest["metadata"]
        try:
            self._api.call("DELETE", path, {"preconditions": {"uid": metadata["uid"]}})
        except (NotFound, Conflict):
            return  # gone, or somebody's new one

    @property
    def _configmaps(self) -> str:
        return self._kinds.collection("ConfigMap", self._home)

    def _lease_path(self, namespace: str) -> str:
        return f"{self._kinds.collection('Lease', namespace)}/{LEASE}"


def _holder(lease: Manifest) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _run_of(holder: str) -> str:
    return holder.removeprefix(HEALER)


def _lost(run_id: str) -> Locked:
    return Locked(f"run {run_id} does not hold this mesh any more: its entry expired and was healed")


def _micro(at: float) -> str:
    """Kubernetes' MicroTime."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
