"""The callers of one run: their Pods made, asked by port-forwards, and taken back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as NoAnswer
from typing import Any, Final

import meshchaos
from meshchaos.errors import AlreadyExists, Conflict, MeshError, MeshGone, NotFound, NotLive, Refused
from meshchaos.mesh.apply import OWNER_ANNOTATION, apply_change, undo_all
from meshchaos.mesh.calling import Link
from meshchaos.mesh.changes import Change, Create
from meshchaos.mesh.kubernetes import caller_pod
from meshchaos.mesh.kubernetes.api import Api
from meshchaos.mesh.kubernetes.journal import KubernetesJournal
from meshchaos.mesh.kubernetes.starting import state_of
from meshchaos.mesh.kubernetes.views import has_proxy
from meshchaos.mesh.kubernetes.writing import Objects
from meshchaos.mesh.objects import Manifest, Ref, annotations_of
from meshchaos.mesh.seam import Snapshot

READY: Final = 90.0
"""Seconds until their containers are ready: nodes may have to fetch the image."""
_ANSWER: Final = 20.0
"""Seconds until one that is ready answers: Python has to start."""
_GONE: Final = 20.0
_LOOK: Final = 0.2


class Callers:
    """``image``: of their Pods."""

    def __init__(self, api: Api, objects: Objects, journal: KubernetesJournal, image: str | None) -> None:
        self._api = api
        self._objects = objects
        self._journal = journal
        self._image = image or ""
        self._fit: set[str] = set()
        self._owners: list[Change] = []
        self._pods: dict[Ref, str] = {}
        """Their uids."""
        self._links: dict[str, Link] = {}

    def require_fit(self, at: str, mesh: Snapshot) -> None:
        """Whether the cluster would take one, asked once: the API server's dry run, Istio's webhook with it. Raises
        Refused, UserError.
        """
        if at in self._fit:
            return
        nobody = "00000000-0000-0000-0000-000000000000"
        namespace = at.rpartition(".")[2]
        wanted = caller_pod.pod("0", at, self._image, nobody, mesh)
        made = self._objects.dry_run([caller_pod.owner("0", namespace), wanted])
        _require_proxy(at, made[wanted.ref])
        self._fit.add(at)

    def deploy(self, places: Sequence[str], mesh: Snapshot, tick: Callable[[], None]) -> None:
        """See ``Mesh``."""
        run_id = self._journal.holder
        assert run_id is not None
        owners = [caller_pod.owner(run_id, namespace) for namespace in sorted({at.rpartition(".")[2] for at in places})]
        self._journal.add(owners)
        self._owners = list(owners)
        uids = {one.ref.namespace: apply_change(self._objects, one, run_id)["metadata"]["uid"] for one in owners}
        pods = {}
        for at in places:
            wanted = caller_pod.pod(run_id, at, self._image, str(uids[at.rpartition(".")[2]]), mesh)
            made = self._create(wanted, run_id)
            self._pods[wanted.ref] = str(made["metadata"]["uid"])
            _require_proxy(at, made)
            pods[at] = wanted.ref
        end = time.monotonic() + READY
        for ref in pods.values():
            self._await(ref, end, tick)
        for at, ref in pods.items():
            self._links[at] = Link(f"the Pod {ref.name}.{ref.namespace}", self._way_to(ref))
            self._await_answer(at, tick)

    def caller(self, at: str) -> Link:
        """See ``Mesh``."""
        if at not in self._links:
            raise NotFound(f"no Pod calls as {at}")
        return self._links[at]

    def take_back(self, run_id: str) -> None:
        """They are gone when this returns. Raises MeshError where that cannot be done."""
        self.close()
        for ref, uid in self._pods.items():
            with contextlib.suppress(NotFound, Conflict):  # gone, or somebody's new one
                self._objects.delete(ref, uid, grace=1)
        left = undo_all(self._objects, self._owners, run_id)
        if left:
            raise Conflict("; ".join(left))
        end = time.monotonic() + _GONE
        for ref, uid in self._pods.items():
            while (found := self._objects.stored(ref)) is not None and found["metadata"]["uid"] == uid:
                if time.monotonic() >= end:
                    raise NotLive(f"{ref} was deleted, and is still there")
                time.sleep(_LOOK)
        self._pods.clear()
        self._owners.clear()

    def close(self) -> None:
        """Ends what was opened to them."""
        for link in self._links.values():
            link.close()
        self._links.clear()

    def _create(self, wanted: Create, run_id: str) -> Manifest:
        try:
            return apply_change(self._objects, wanted, run_id)
        except AlreadyExists:  # the answer to our own request was lost: the webhook has added to what we asked for
            found = self._objects.get(wanted.ref)
            if annotations_of(found).get(OWNER_ANNOTATION) != run_id:
                raise
            return found

    def _await(self, ref: Ref, end: float, tick: Callable[[], None]) -> None:
        while True:
            tick()
            found = self._objects.stored(ref)
            if found is None:
                raise MeshError(f"{ref} was deleted by somebody while it started")
            ready, why, hopeless = state_of(found)
            if ready:
                return
            if hopeless or time.monotonic() >= end:
                raise NotLive(f"{ref}, from which this run calls, does not start: {why or f'not within {READY:g}s'}")
            time.sleep(_LOOK)

    def _await_answer(self, at: str, tick: Callable[[], None]) -> None:
        end = time.monotonic() + _ANSWER
        while True:
            tick()
            try:
                version = self._links[at].submit({"op": "hello"}).result(_LOOK * 10)["version"]
                break
            except Refused:  # no right to a port-forward: it does not come by waiting
                raise
            except (MeshError, NoAnswer, KeyError) as error:
                if time.monotonic() >= end:
                    raise MeshGone(f"the Pod that calls as {at} does not answer: {error or 'no word'}") from error
                time.sleep(_LOOK)
        if version != meshchaos.__version__:
            raise MeshError(
                f"image {self._image} has meshchaos {version}, and this is {meshchaos.__version__}: use one that has "
                "the same"
            )

    def _way_to(self, ref: Ref) -> Callable[[], Any]:
        return lambda: self._api.tunnel(ref.namespace, ref.name, caller_pod.PORT)


def _require_proxy(at: str, made: Manifest) -> None:
    """Raises Refused where Istio does not do as the Pod asks."""
    wanted = not at.startswith(f"{caller_pod.OUTSIDE}.")
    if has_proxy(made) and not wanted:
        raise Refused("the Pod that calls from outside was given a sidecar, though its label says not to")
    if wanted and not has_proxy(made):
        raise Refused(
            f"a Pod that calls as {at} would get no sidecar: no webhook of Istio's looks at namespace "
            f"{at.rpartition('.')[2]}, so it would have no identity; label it istio-injection: enabled"
        )
