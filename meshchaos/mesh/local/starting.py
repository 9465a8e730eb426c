"""Starting, finding and ending supervisors: what the runner and ``mesh up|down|status`` have in common."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from meshchaos.errors import MeshError, MeshGone, UserError
from meshchaos.mesh.journal import JournalEntry
from meshchaos.mesh.local import journal, runtime
from meshchaos.mesh.local.linux import require_linux
from meshchaos.mesh.local.processes import last_words
from meshchaos.mesh.local.runtime import MeshInfo
from meshchaos.mesh.local.spec import MeshSpec
from meshchaos.mesh.local.wire import Connection, raise_error

UP_WITHIN = 60.0
"""Seconds a mesh has to come up."""


@dataclass(slots=True)
class Supervisor:
    """A supervisor that this process started. ``owner`` is our end of its pipe; closing it ends the mesh."""

    folder: Path
    process: subprocess.Popen[bytes]
    owner: int | None

    def end(self, timeout: float = 15.0) -> None:
        """Ends the mesh and waits until nothing of it is left. Raises MeshError when it does not end."""
        if self.owner is not None:
            os.close(self.owner)
            self.owner = None
        elif self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise MeshError(f"the mesh did not end within {timeout:g} s (process {self.process.pid})") from error


def start_supervisor(spec: MeshSpec, *, detached: bool, timeout: float = UP_WITHIN) -> Supervisor:
    """Starts a mesh and returns when it is up. ``detached``: it outlives this process.

    Raises UserError, MeshError, ProxyRejected with the words of what failed; nothing is left then.
    """
    require_linux()
    logs = Path(spec.logs)
    try:
        logs.mkdir(parents=True, exist_ok=True)
        log = (logs / "supervisor.log").open("ab")
    except OSError as error:
        raise UserError(f"cannot write the mesh's logs to {logs}: {error.strerror}") from error
    folder = runtime.new_folder()
    spec_file = os.open(folder / "spec.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(spec_file, "w", encoding="utf-8") as file:
        file.write(spec.dumps())
    theirs, ours = (None, None) if detached else os.pipe()
    command = [sys.executable, "-P", "-m", "meshchaos.mesh.local.supervisor", str(folder)]
    with log:
        process = subprocess.Popen(
            command if theirs is None else [*command, str(theirs)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=() if theirs is None else (theirs,),
            # Ctrl-C in the terminal is for the runner, who heals first.
            start_new_session=True,
        )
    if theirs is not None:
        os.close(theirs)
    supervisor = Supervisor(folder, process, ours)
    try:
        _wait_until_up(supervisor, logs / "supervisor.log", timeout)
    except BaseException:
        supervisor.end()
        runtime.sweep(folder)
        raise
    return supervisor


def _wait_until_up(supervisor: Supervisor, log: Path, timeout: float) -> None:
    assert supervisor.process.stdout is not None
    with supervisor.process.stdout as output:
        end = time.monotonic() + timeout
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([output], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise MeshError(f"the mesh did not come up within {timeout:g} s; {log} may say why")
            part = os.read(output.fileno(), 65_536)
            if not part:
                words = last_words(log)
                raise MeshError(f"the mesh's supervisor ended before the mesh was up: {words or f'see {log}'}")
            line += part
    answer = json.loads(line)
    if "error" in answer:
        raise_error(answer["error"])


def find(mesh: str, config: str) -> MeshInfo | None:
    """The mesh of that name and configuration that ``mesh up`` keeps running; None when there is none."""
    living, _ = runtime.meshes()
    return next((info for info in living if info.detached and info.mesh == mesh and info.config == config), None)


def up(spec: MeshSpec) -> MeshInfo:
    """Starts a mesh that outlives this process. Raises UserError when it is up already, and as ``start_supervisor``."""
    running = find(spec.mesh, spec.config)
    if running is not None:
        raise UserError(f"mesh {spec.mesh} is up already (process {running.pid}); end it: meshchaos mesh down")
    supervisor = start_supervisor(spec, detached=True)
    supervisor.process.returncode = 0  # it outlives us: nobody waits, and Popen must not warn
    found = find(spec.mesh, spec.config)
    if found is None:
        raise MeshGone(f"mesh {spec.mesh} ended as soon as it was up; {spec.logs} may say why")
    return found


def down(info: MeshInfo, timeout: float = 15.0) -> None:
    """Ends a running mesh and waits until its folder is gone. Raises MeshError."""
    connection = Connection(info.socket)
    try:
        connection.call("stop")
    finally:
        connection.close()
    end = time.monotonic() + timeout
    while Path(info.folder).exists():
        if time.monotonic() > end:
            raise MeshError(f"mesh {info.mesh} did not end within {timeout:g} s (process {info.pid})")
        time.sleep(0.01)


def status() -> list[MeshInfo]:
    """The meshes of this user that run now, oldest first; those of running experiments too."""
    return runtime.meshes()[0]


def dead_entries() -> list[JournalEntry]:
    """Journal entries of meshes that died without healing. Nothing of them is left but the record."""
    return [entry for folder in runtime.meshes()[1] for entry in journal.read(folder / "journal.json")]


def clear_dead() -> list[JournalEntry]:
    """Removes what dead meshes left behind, and returns their open entries."""
    found: list[JournalEntry] = []
    for folder in runtime.meshes()[1]:
        found += journal.read(folder / "journal.json")
        runtime.sweep(folder)
    return found
