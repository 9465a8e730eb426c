"""What runs in the healer's Pod: reviews its own rights, watches the run's Lease, and puts back when nobody renews it.

::

    python -m meshchaos.mesh.kubernetes.healer '{"spec": {...}, "run_id": "...", "ready": "/tmp/ready",
                                                 "rights": [["delete", "", "configmaps", "shop"], ...]}'
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from meshchaos.errors import MeshchaosError
from meshchaos.mesh.kubernetes.api import Api, connect
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.watchdog import held, spec_of, watch

GRACE: Final = 60.0
"""Seconds that somebody else who heals already is given for it: the process on the runner's machine is quicker."""


def lacking(api: Api, rights: Iterable[Sequence[str]]) -> list[str]:
    """Which of these the service account does not have, by its own review (``SelfSubjectAccessReview``, which everybody
    may ask for), in words. ``rights``: verb, group, resource, namespace. Raises as ``Api.call``.
    """
    found = []
    for verb, group, resource, namespace in rights:
        plural, _, sub = resource.partition("/")
        wanted = {"namespace": namespace, "verb": verb, "group": group, "resource": plural, "subresource": sub}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": wanted},
        }
        answer = api.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        if not (answer.get("status") or {}).get("allowed"):
            found.append(f"{verb} {resource}{f'.{group}' if group else ''} in {namespace}")
    return found


def yielding(expires: Callable[[], float | None], now: Callable[[], float] = time.time) -> Callable[[], float | None]:
    """``expires``, but that a run which somebody heals already (0) has ended only after ``GRACE``."""
    since: float | None = None

    def found() -> float | None:
        nonlocal since
        end = expires()
        if end != 0.0:
            since = None
            return end
        since = now() if since is None else since
        return since + GRACE

    return found


def main(arguments: Sequence[str]) -> int:
    """The process itself: 0 when the run ended or was put back, 1 when something is left or its rights do not do."""
    form = json.loads(arguments[0])
    spec, run_id = spec_of(form["spec"]), str(form["run_id"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the first process of a Pod ignores it otherwise

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def wait(seconds: float) -> bool:
        time.sleep(seconds)
        return False  # nobody tells it that the runner is gone but the Lease

    try:
        with (
            tempfile.TemporaryDirectory(prefix="meshchaos-") as folder,
            KubernetesMesh.open(spec, Path(folder), guarded=False) as mesh,
        ):
            if not held(mesh.journal.expires, run_id, wait):
                say(f"run {run_id} holds no lease")
                return 0
            api = connect(spec.context, spec.kubeconfig)
            try:
                missing = lacking(api, form["rights"])
            finally:
                api.close()
            if missing:
                more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
                say(
                    f"its service account may not {', '.join(missing[:3])}{more}: `meshchaos rbac` prints what it needs"
                )
                return 1
            Path(form["ready"]).touch()
            return 0 if watch(mesh, run_id, yielding(lambda: mesh.journal.expires(run_id)), wait, say) else 1
    except MeshchaosError as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
