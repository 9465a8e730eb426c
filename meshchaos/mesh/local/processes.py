"""The supervisor's children: started so that they cannot outlive it, noticed when they end.

Single-threaded on purpose: a parent-death signal fires when the *thread* that forked ends, and a fork of a process
with one thread may run Python before exec.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshchaos.errors import MeshError, UserError
from meshchaos.mesh.local.linux import children_of, die_with_parent, kill


@dataclass(slots=True)
class Process:
    """One child. ``status``: None while it runs, else its exit code (negative: the signal that ended it)."""

    pid: int
    words: str
    log: Path
    on_exit: Callable[[Process], None] | None
    status: int | None = None
    wanted: bool = False
    """Its end was asked for."""

    @property
    def running(self) -> bool:
        return self.status is None

    def ended(self) -> str:
        """How it ended, with its own last words: one line."""
        if self.status is None:
            how = "still runs"
        elif self.status < 0:
            how = f"was killed by {signal.Signals(-self.status).name}"
        else:
            how = f"exited with {self.status}"
        # Who is killed from outside does not get to say why; a crash (SIGSEGV, SIGABRT) does.
        words = "" if self.status in (-signal.SIGKILL, -signal.SIGTERM) else last_words(self.log)
        if self.status and self.status > 0 and not words and _full(self.log.parent):
            words = f"{self.log.parent}: {os.strerror(errno.ENOSPC)}"  # and so it could not say why
        return f"{self.words} {how}" + (f": {words}" if words else "")


def last_words(log: Path, limit: int = 400) -> str:
    """The last telling line of a log: the last with an error or warning in it, else the last."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 65_536))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return ""
    # Envoy's stack comes after its reason.
    lines = [line for line in lines if "[backtrace]" not in line and "[envoy_bug]" not in line] or lines
    telling = [line for line in lines if any(word in line.lower() for word in ("[critical]", "[error]", "error:"))]
    line = (telling or lines or [""])[-1]
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _full(folder: Path) -> bool:
    """Whether a file there can no longer grow by a block or two."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _BLOCKS


_BLOCKS = 8192

NICENESS = 5
"""What the mesh yields to: on a machine that is full, the load generator must still start requests on time, or it
measures itself; how long they then take is the mesh's to show."""


def _begin(parent: int) -> None:
    """First thing in a child."""
    die_with_parent(parent)
    os.nice(NICENESS)


def _begin_anew(output: int) -> None:
    """In a forked child: forgets the parent's event loop, signals and descriptors; output goes to ``output``."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    asyncio._set_running_loop(None)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    # All else: sockets of the seam, of xDS, the mesh's lock, the block of addresses.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    gc.freeze()


class ProcessTable:
    """Starts, ends and reaps children; to be used from the main thread's event loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._processes: dict[int, Process] = {}
        self._parent = os.getpid()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def start(
        self,
        command: Sequence[str],
        *,
        words: str,
        log: Path,
        environment: Mapping[str, str],
        folder: str | None = None,
        on_exit: Callable[[Process], None] | None = None,
    ) -> Process:
        """Starts ``command`` in a session of its own, output to ``log``.

        Raises UserError when it cannot be executed, MeshError when the log cannot be written.
        """
        parent = self._parent
        try:
            output = log.open("ab", buffering=0)
        except OSError as error:
            raise MeshError(f"cannot write {log}: {error.strerror}") from error
        with output:
            try:
                child = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(environment),
                    cwd=folder,
                    start_new_session=True,
                    preexec_fn=lambda: _begin(parent),  # noqa: PLW1509 - one thread, see above
                )
            except (OSError, subprocess.SubprocessError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                raise UserError(f"{words}: cannot run {command[0]!r}: {reason}") from error
        child.returncode = 0  # reaped by the table, for all children alike; Popen must neither wait nor warn
        process = Process(child.pid, words, log, on_exit)
        self._processes[child.pid] = process
        return process

    def fork(
        self, body: Callable[[], int], *, words: str, log: Path, on_exit: Callable[[Process], None] | None = None
    ) -> Process:
        """Runs ``body`` in a child as ``start`` runs a program: with nothing of ours open, in a session of its own.

        For our own Python: a fork of this process has its modules loaded, which costs a fresh one 0.2 s.
        Raises MeshError when the log cannot be written.
        """
        parent = self._parent
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise MeshError(f"cannot write {log}: {error.strerror}") from error
        # Nothing buffered may be written twice.
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _begin(parent)
                _begin_anew(output)
                status = body()
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        os.close(output)
        process = Process(pid, words, log, on_exit)
        self._processes[pid] = process
        return process

    def kill(self, *processes: Process) -> None:
        """SIGKILL to each and everything below it; on purpose, so ``on_exit`` is not called."""
        roots = {process.pid for process in processes if process.running}
        for process in processes:
            process.wanted = True
        # Descendants first listed, then killed: those forked in between come to us as orphans and end in `_reap`.
        below = children_of(roots) if roots else {}
        for pid in roots:
            kill(pid)
        for pid in below:
            kill(pid)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            process = self._processes.pop(pid, None)
            if process is None:
                continue  # an orphan of somebody's program
            process.status = os.waitstatus_to_exitcode(status)
            if process.on_exit is not None and not process.wanted:
                self._loop.call_soon(process.on_exit, process)
            self._end_orphans()

    def _end_orphans(self) -> None:
        """What a program left behind when it ended became our child: end it too."""
        me = {os.getpid()}
        for pid, parent in children_of(me).items():
            if parent in me and pid not in self._processes:
                kill(pid)

    async def end_all(self, timeout: float = 5.0) -> None:
        """Kills every child and waits until all are reaped."""
        self.kill(*self._processes.values())
        end = self._loop.time() + timeout
        while self._processes and self._loop.time() < end:
            await asyncio.sleep(0.005)
            self._reap()
