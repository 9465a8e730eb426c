"""One who puts a run's changes back when the run cannot: a process of its own on the runner's machine.

It is there and has read the run's Lease before the first change is made. It heals as soon as the runner is gone, which
it knows by a pipe, and when the Lease was not renewed for as long as it lasts, by a runner that hangs. Where the whole
machine ends, records and Lease stay in the cluster, for ``meshchaos heal``.

::

    runner --stdin--> watchdog (own session)        "ready" on its standard output, what it did in watchdog.log
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from meshchaos.errors import MeshchaosError, MeshError, MeshGone
from meshchaos.mesh.apply import undo_change
from meshchaos.mesh.journal import JournalEntry
from meshchaos.mesh.kubernetes.spec import ClusterSpec, HealerSpec, TlsFiles
from meshchaos.mesh.seam import Mesh

LOG: Final = "watchdog.log"
_START: Final = 20.0
_LOOK: Final = 3.0
"""Seconds between two looks at the Lease."""
_UNDER_WAY: Final = 1.0
"""Seconds that a request of a runner that is gone may still be on its way."""
_GONE: Final = 30.0
_PATIENCE: Final = 900.0
"""Seconds for which a heal that fails is tried again."""


class Watchdog:
    """The runner's end. ``start`` returns at once, ``ready`` when it watches."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._is_ready = False

    @classmethod
    def start(cls, spec: ClusterSpec, run_id: str, folder: Path) -> Watchdog:
        """Raises MeshError."""
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / LOG
        form = json.dumps({"spec": asdict(spec), "run_id": run_id, "folder": str(folder)}, default=str)
        try:
            with log.open("ab") as errors:
                process = subprocess.Popen(
                    [sys.executable, "-m", __name__, form],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                )
        except OSError as error:
            raise MeshError(f"the process that heals when this one dies cannot be started: {error}") from error
        return cls(process, log)

    def ready(self) -> None:
        """Waits until it watches. Raises MeshError when it does not."""
        if self._is_ready:
            return
        out = self._process.stdout
        assert out is not None
        found, _, _ = select.select([out], [], [], _START)
        if not found or out.readline().strip() != b"ready":
            words = self._log.read_text("utf-8", "replace").strip().splitlines()
            raise MeshError(
                "the process that heals when this one dies does not watch, so nothing is changed: "
                f"{words[-1] if words else f'no word of it in {_START:g}s'}"
            )
        self._is_ready = True

    def release(self) -> None:
        """The run is over and its journal closed: it ends by itself."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5.0)


def watch(
    mesh: Mesh,
    run_id: str,
    expires: Callable[[], float | None],
    wait: Callable[[float], bool],
    say: Callable[[str], None],
) -> bool:
    """Until the run's journal is closed (True), or what could be put back is (False where something is left).
    ``wait`` waits so many seconds and says whether the runner is gone. ``expires``: of the run's Lease, None: closed.
    """
    gone, give_up = False, time.monotonic() + _PATIENCE
    while True:
        try:
            end = expires()
            if end is None:
                return True
            if gone or end <= time.time():
                why = "the runner is gone" if gone else "the runner did not renew its lease"
                say(f"run {run_id}: {why}: putting back")
                return _heal(mesh, run_id, say)
            give_up = time.monotonic() + _PATIENCE
        except MeshchaosError as error:
            say(f"run {run_id}: {error}")
            if time.monotonic() >= give_up:
                return False
        gone = wait(0.5 if gone else _LOOK) or gone


def _heal(mesh: Mesh, run_id: str, say: Callable[[str], None]) -> bool:
    """Raises MeshError, and is called again then."""
    mesh.journal.take_over(run_id)
    entry = next((one for one in mesh.journal.entries() if one.run_id == run_id), None)
    if entry is None:
        return True
    left = _undo(mesh, entry)
    if left:
        say(f"run {run_id}: could not put back: {'; '.join(left)}")
        return False
    mesh.confirm(entry.changes, present=False, timeout=_GONE)
    mesh.journal.close(run_id)
    say(f"run {run_id}: put back and verified: {', '.join(str(change.ref) for change in entry.changes) or 'nothing'}")
    return True


def _undo(mesh: Mesh, entry: JournalEntry) -> list[str]:
    """All of it, also where one of them fails: then it raises at the end."""
    left: list[str] = []
    failed: MeshchaosError | None = None
    for change in reversed(entry.changes):
        try:
            left += undo_change(mesh, change, entry.run_id)
        except MeshchaosError as error:
            failed = error
    if failed is not None:
        raise failed
    return left


def main(arguments: Sequence[str]) -> int:
    """The process itself."""
    from meshchaos.mesh.kubernetes.client import KubernetesMesh

    form = json.loads(arguments[0])
    spec, run_id = spec_of(form["spec"]), str(form["run_id"])

    def say(line: str) -> None:
        sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n")
        sys.stderr.flush()

    gone = False

    def wait(seconds: float) -> bool:
        nonlocal gone
        if gone:
            time.sleep(seconds)
            return True
        found, _, _ = select.select([0], [], [], seconds)
        gone = bool(found) and not os.read(0, 1)
        return gone

    try:
        mesh = KubernetesMesh.open(spec, Path(form["folder"]), guarded=False)
    except MeshchaosError as error:
        say(str(error))
        return 1
    with mesh:
        if not held(mesh.journal.expires, run_id, wait):
            say(f"run {run_id} took no lease")
            return 1
        with contextlib.suppress(OSError):
            sys.stdout.write("ready\n")
            sys.stdout.flush()
        return 0 if watch(mesh, run_id, lambda: mesh.journal.expires(run_id), wait, say) else 1


def held(expires: Callable[[str], float | None], run_id: str, wait: Callable[[float], bool]) -> bool:
    """Whether the run takes its Lease, which it does while this process starts. ``wait``: as for ``watch``."""
    end, gone = time.monotonic() + _START, False
    while time.monotonic() < end:
        with contextlib.suppress(MeshGone):
            if expires(run_id) is not None:
                return True
        if wait(0.05) and not gone:
            gone, end = True, min(end, time.monotonic() + _UNDER_WAY)
    return False


def spec_of(form: dict[str, Any]) -> ClusterSpec:
    """The reverse of its JSON."""
    kubeconfig, healer = form["kubeconfig"], form["healer"]
    return ClusterSpec(
        **{
            **form,
            "namespaces": tuple(form["namespaces"]),
            "kubeconfig": Path(kubeconfig) if kubeconfig is not None else None,
            "healer": HealerSpec(**healer) if healer is not None else None,
            "gateway_tls": TlsFiles(),  # it sends nothing there
        }
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
