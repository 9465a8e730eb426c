"""The object store of the local mesh: what the API server and etcd are to a cluster, in memory and in one process.

It behaves as the real API does where a client can tell: ``uid``, ``resourceVersion`` (of the whole store, strictly
increasing), ``generation`` (counts changes of anything but metadata and status), ``creationTimestamp`` (RFC 3339),
``managedFields``, conflicts, preconditions, and a write that changes nothing writes nothing. Stored objects are
shared between versions and never changed in place. Not for several threads at once.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from meshchaos.errors import AlreadyExists, Conflict, NotFound, Refused
from meshchaos.mesh.local.objects.managed import after_write
from meshchaos.mesh.local.objects.schema import as_json
from meshchaos.mesh.local.objects.validate import admit
from meshchaos.mesh.objects import Manifest, Ref, ref_of


@dataclass(frozen=True, slots=True)
class Event:
    """One write. ``before`` is None for a new object, ``after`` for a deleted one."""

    ref: Ref
    before: Manifest | None
    after: Manifest | None

    @property
    def verb(self) -> Literal["create", "replace", "delete"]:
        if self.before is None:
            return "create"
        return "delete" if self.after is None else "replace"


class Store:
    """All objects. ``admission`` sees each transaction before it is committed and vetoes it by raising anything; then
    nothing has changed. ``changed`` is told what was committed. ``clock`` gives epoch seconds.
    """

    def __init__(
        self,
        *,
        admission: Callable[[Transaction], None] | None = None,
        changed: Callable[[tuple[Event, ...]], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._objects: dict[Ref, Manifest] = {}
        self._version = 0
        self._admission = admission
        self._changed = changed
        self._clock = clock

    @property
    def version(self) -> int:
        """The resourceVersion of the newest write."""
        return self._version

    def objects(self) -> tuple[Manifest, ...]:
        """Everything, in the order of creation, not copied: to be read only."""
        return tuple(self._objects.values())

    def get(self, ref: Ref) -> Manifest:
        """A copy of one object. Raises NotFound."""
        found: Manifest = as_json(_find(self._objects, ref))
        return found

    def of_kind(self, kind: str, namespace: str | None = None) -> list[Manifest]:
        """Copies of the objects of a kind, in the order of creation."""
        chosen = (m for ref, m in self._objects.items() if ref.kind == kind and namespace in {None, ref.namespace})
        return [as_json(manifest) for manifest in chosen]

    def begin(self, manager: str = "unknown") -> Transaction:
        """Opens a transaction in the name of ``manager`` (managedFields). Dropped unless committed."""
        return Transaction(self, self._objects, self._version, manager, self._clock())

    def create(self, manifest: Manifest, manager: str = "unknown") -> Manifest:
        """Stores a new object and returns it as stored. Raises AlreadyExists, Refused, or what admission raises."""
        transaction = self.begin(manager)
        created = transaction.create(manifest)
        transaction.commit()
        copied: Manifest = as_json(created)
        return copied

    def replace(self, manifest: Manifest, manager: str = "unknown") -> Manifest:
        """PUT; see ``Transaction.replace``. Raises Conflict, NotFound, Refused, or what admission raises."""
        transaction = self.begin(manager)
        replaced = transaction.replace(manifest)
        transaction.commit()
        copied: Manifest = as_json(replaced)
        return copied

    def delete(self, ref: Ref, uid: str | None = None, manager: str = "unknown") -> None:
        """Deletes an object, that very one when ``uid`` is given. Raises NotFound, Conflict (another uid)."""
        transaction = self.begin(manager)
        transaction.delete(ref, uid)
        transaction.commit()

    def set_status(self, ref: Ref, status: Mapping[str, Any], manager: str = "meshchaos-supervisor") -> Manifest:
        """Writes ``status`` alone, as the status subresource does. Raises NotFound."""
        transaction = self.begin(manager)
        written = transaction.set_status(ref, status)
        transaction.commit()
        copied: Manifest = as_json(written)
        return copied

    def load(self, manifests: Iterable[Manifest], manager: str = "meshchaos-manifests") -> None:
        """Creates all or none, each a second younger than the one before it and older than anything made later: Istio
        lets the oldest win, so the order of the manifests is the order of their age. Raises AlreadyExists, Refused.
        """
        wanted = list(manifests)
        transaction = self.begin(manager)
        for behind, manifest in zip(range(len(wanted), 0, -1), wanted, strict=True):
            transaction.create(manifest, age=behind)
        transaction.commit()

    def _commit(self, base: int, objects: dict[Ref, Manifest], version: int, transaction: Transaction) -> None:
        if base != self._version:
            raise Conflict("the store was written while this change was being prepared; read again and retry")
        if self._admission is not None:
            self._admission(transaction)
        self._objects, self._version = objects, version
        if self._changed is not None:
            self._changed(transaction.events)


class Transaction:
    """Writes that become visible together, or not at all. Made by ``Store.begin``."""

    def __init__(self, store: Store, objects: dict[Ref, Manifest], version: int, manager: str, now: float) -> None:
        self._store = store
        self._objects = dict(objects)
        self._base = version
        self._versions = itertools.count(version + 1)
        self._version = version
        self._now = now
        self._events: list[Event] = []
        self.manager = manager

    @property
    def events(self) -> tuple[Event, ...]:
        """What was written so far, in order."""
        return tuple(self._events)

    def objects(self) -> tuple[Manifest, ...]:
        """Everything as it would be, in the order of creation, not copied: to be read only."""
        return tuple(self._objects.values())

    def get(self, ref: Ref) -> Manifest:
        """A copy of what is stored in it. Raises NotFound."""
        found: Manifest = as_json(_find(self._objects, ref))
        return found

    def create(self, manifest: Manifest, age: int = 0) -> Manifest:
        """A new object, ``age`` seconds old; returned as stored, read only. Raises AlreadyExists, Refused."""
        fresh = admit(manifest)
        ref = ref_of(fresh)
        if ref in self._objects:
            raise AlreadyExists(f"{ref} already exists")
        given = fresh["metadata"]
        if given.get("resourceVersion"):
            raise Refused(f"{ref}: metadata.resourceVersion: must not be given for a new object")
        fresh.pop("status", None)
        fresh["metadata"] = {
            **given,
            "uid": str(uuid.uuid4()),
            "resourceVersion": self._next(),
            "generation": 1,
            "creationTimestamp": _rfc3339(self._now - age),
        }
        return self._put(ref, None, fresh)

    def replace(self, manifest: Manifest) -> Manifest:
        """PUT. ``metadata.resourceVersion`` must be the stored one, ``uid`` too when given; status and what belongs to
        the server are ignored. Returned as stored, read only. Raises Conflict, NotFound, Refused.
        """
        fresh = admit(manifest)
        ref = ref_of(fresh)
        stored = _find(self._objects, ref)
        given, own = fresh["metadata"], stored["metadata"]
        if given.get("uid") not in {None, "", own["uid"]}:
            raise Conflict(f"{ref} was deleted and made anew meanwhile (uid {own['uid']}, not {given['uid']})")
        if not given.get("resourceVersion"):
            raise Refused(f"{ref}: metadata.resourceVersion: must be given for an update")
        if given["resourceVersion"] != own["resourceVersion"]:
            versions = f"resourceVersion {own['resourceVersion']}, not {given['resourceVersion']}"
            raise Conflict(f"{ref} was changed meanwhile ({versions})")
        if ref.kind == "Pod" and fresh["spec"] != stored["spec"]:
            raise Refused(f"{ref}: spec: of a Pod only labels and annotations can be changed; change its Deployment")
        fresh.pop("status", None)
        if "status" in stored:
            fresh["status"] = stored["status"]
        servers = {key: own[key] for key in ("uid", "generation", "creationTimestamp")}
        fresh["metadata"] = {**given, **servers, "resourceVersion": own["resourceVersion"]}
        if "managedFields" in own:
            fresh["metadata"]["managedFields"] = own["managedFields"]
        return self._update(ref, stored, fresh)

    def set_status(self, ref: Ref, status: Mapping[str, Any]) -> Manifest:
        """Writes the status alone; the generation stays. Raises NotFound."""
        stored = _find(self._objects, ref)
        fresh = {**stored, "metadata": dict(stored["metadata"]), "status": as_json(dict(status))}
        return self._update(ref, stored, fresh)

    def delete(self, ref: Ref, uid: str | None = None) -> None:
        """Raises NotFound, Conflict (another uid)."""
        stored = _find(self._objects, ref)
        if uid not in {None, stored["metadata"]["uid"]}:
            raise Conflict(f"{ref} was deleted and made anew meanwhile (uid {stored['metadata']['uid']}, not {uid})")
        self._next()
        del self._objects[ref]
        self._events.append(Event(ref, stored, None))

    def commit(self) -> None:
        """Makes the writes real, all at once. Raises Conflict when the store was written since ``begin``, and whatever
        admission raises; then nothing has changed.
        """
        if self._events:
            self._store._commit(self._base, self._objects, self._version, self)

    def _update(self, ref: Ref, stored: Manifest, fresh: Manifest) -> Manifest:
        if fresh == stored:
            return stored
        metadata = fresh["metadata"]
        if _desired(fresh) != _desired(stored):
            metadata["generation"] += 1
        metadata["resourceVersion"] = self._next()
        return self._put(ref, stored, fresh)

    def _put(self, ref: Ref, before: Manifest | None, after: Manifest) -> Manifest:
        after["metadata"]["managedFields"] = after_write(before, after, self.manager, _rfc3339(self._now))
        self._objects[ref] = after
        self._events.append(Event(ref, before, after))
        return after

    def _next(self) -> str:
        self._version = next(self._versions)
        return str(self._version)


def _find(objects: Mapping[Ref, Manifest], ref: Ref) -> Manifest:
    if ref not in objects:
        raise NotFound(f"{ref} does not exist")
    return objects[ref]


def _desired(manifest: Manifest) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key not in {"metadata", "status"}}


def _rfc3339(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
