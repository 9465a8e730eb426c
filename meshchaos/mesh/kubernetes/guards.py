"""Who puts a run's changes back when its runner cannot: a process beside it always, and a Job in the cluster where the
mesh names a ServiceAccount for it. Each watches before the first change is made.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from meshchaos.errors import AlreadyExists, MeshError, NotFound, NotLive, UserError
from meshchaos.mesh.changes import Change
from meshchaos.mesh.kubernetes import healer_job
from meshchaos.mesh.kubernetes.api import IN_CLUSTER, Api
from meshchaos.mesh.kubernetes.journal import KubernetesJournal
from meshchaos.mesh.kubernetes.kinds import Kinds
from meshchaos.mesh.kubernetes.spec import ClusterSpec
from meshchaos.mesh.kubernetes.starting import state_of
from meshchaos.mesh.kubernetes.status import Forbidden
from meshchaos.mesh.kubernetes.views import HEALER
from meshchaos.mesh.kubernetes.watchdog import Watchdog
from meshchaos.mesh.objects import Manifest, Ref, labels_of
from meshchaos.mesh.seam import Snapshot

_READY: Final = 90.0
"""Seconds until the Job's Pod is ready: its node may have to fetch the image."""
_GONE: Final = 20.0
_LOOK: Final = 0.2
_JANITOR: Final = ("app.kubernetes.io/name", "meshchaos-janitor")


class Guards:
    """Those of one run after another. ``guarded``: False for whoever heals itself."""

    def __init__(self, spec: ClusterSpec, api: Api, kinds: Kinds, logs: Path, *, guarded: bool) -> None:
        self._spec = spec
        self._api = api
        self._kinds = kinds
        self._logs = logs
        self._guarded = guarded
        self._watchdog: Watchdog | None = None
        self._job = ""
        """Its run, once it watches."""
        self._taken = False

    @property
    def wants_job(self) -> bool:
        return self._guarded and self._spec.healer is not None

    def start(self, run_id: str) -> None:
        """The process, which begins to watch."""
        if self._guarded:
            self._watchdog = Watchdog.start(self._spec, run_id, self._logs)

    def require_fit(self) -> None:
        """Whether the cluster would take the Job, asked once. Raises UserError, Refused, Forbidden."""
        healer = self._spec.healer
        if self._taken or not self._guarded or healer is None:
            return
        home = self._spec.namespaces[0]
        account = Ref("ServiceAccount", home, healer.service_account)
        try:
            self._api.get(self._kinds.path(account))
        except NotFound:
            raise UserError(
                f"healer: there is no {account}, as which the Job would put things back: `meshchaos rbac` prints it "
                "with its Roles"
            ) from None
        except Forbidden:
            pass  # it is seen when the Job starts
        nobody = {"metadata": {"name": "x", "namespace": home, "uid": "00000000-0000-0000-0000-000000000000"}}
        wanted = healer_job.job("0", healer, {}, nobody)
        self._api.call("POST", self._kinds.collection("Job", home), wanted, {"dryRun": "All"})
        self._taken = True

    def deploy(
        self, journal: KubernetesJournal, changes: Iterable[Change], calling: Iterable[str], tick: Callable[[], None]
    ) -> None:
        """The Job: watching, with all the rights that putting back takes, when this returns. Raises MeshError, NotLive,
        and what ``tick`` raises, which is called meanwhile.
        """
        healer, run_id = self._spec.healer, journal.holder
        if not self.wants_job or healer is None:
            return
        assert run_id is not None
        needed = healer_job.rights(self._kinds, self._spec.namespaces, changes, calling)
        inside = replace(self._spec, context=IN_CLUSTER, kubeconfig=None, image=None, healer=None)
        form: dict[str, Any] = {
            "spec": asdict(inside),
            "run_id": run_id,
            "rights": [
                [verb, group, resource, place]
                for place, rules in needed.items()
                for (group, resource), verbs in sorted(rules.items())
                for verb in sorted(verbs)
            ],
            "ready": healer_job.READY_FILE,
        }
        manifest = healer_job.job(run_id, healer, form, journal.lease)
        with contextlib.suppress(AlreadyExists):  # the answer to our own request was lost
            self._api.call("POST", self._kinds.collection("Job", self._spec.namespaces[0]), manifest)
        self._await(run_id, tick)
        self._job = run_id

    def require(self, run_id: str | None) -> None:
        """Ahead of every write. Raises MeshError where nobody would put it back."""
        if self._watchdog is not None:
            self._watchdog.ready()
        if self.wants_job and run_id is not None and self._job != run_id:
            raise MeshError("the Job that heals is not there yet, so nothing is changed")

    def release(self, run_id: str) -> None:
        """The run is over and its Lease gone. Raises NotLive where the Job stays all the same."""
        self.let_go()
        if not self.wants_job:
            return
        self._job = ""
        end = time.monotonic() + _GONE
        while self._pods(run_id) or self._there(run_id):
            if time.monotonic() >= end:
                name = healer_job.name_of(run_id)
                raise NotLive(f"Job {name}.{self._spec.namespaces[0]} belonged to the run's Lease, and is still there")
            time.sleep(_LOOK)

    def let_go(self) -> None:
        """Of the process, which tries once more what could not be put back."""
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.release()

    def words(self, mesh: Snapshot) -> tuple[str, ...]:
        """Who would have put back, for the report."""
        found = ["a process of its own on the runner's machine"] if self._guarded else []
        if self.wants_job:
            found.append(f"a Job in namespace {self._spec.namespaces[0]}")
        for one in mesh.of_kind("Deployment"):
            ready = int((one.get("status") or {}).get("readyReplicas") or 0)
            if labels_of(one).get(_JANITOR[0]) == _JANITOR[1] and ready:
                found.append(f"the janitor {one['metadata']['name']}.{one['metadata']['namespace']}")
        return tuple(found)

    def _await(self, run_id: str, tick: Callable[[], None]) -> None:
        end = time.monotonic() + _READY
        while True:
            tick()
            why, over = "no Pod of it was made", time.monotonic() >= end
            for pod in self._pods(run_id):
                ready, why, hopeless = state_of(pod)
                if ready:
                    return
                over = over or hopeless
            if over:
                name = healer_job.name_of(run_id)
                raise NotLive(f"Job {name}, which heals when this run dies, does not start: {why or 'not in time'}")
            time.sleep(_LOOK)

    def _pods(self, run_id: str) -> list[Manifest]:
        path = self._kinds.collection("Pod", self._spec.namespaces[0])
        return self._api.listing(path, {"labelSelector": f"{HEALER}={run_id}"})

    def _there(self, run_id: str) -> bool:
        try:
            self._api.get(self._kinds.path(Ref("Job", self._spec.namespaces[0], healer_job.name_of(run_id))))
        except NotFound:
            return False
        return True
