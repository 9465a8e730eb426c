"""The guard: parent of the supervisor, which sees to it that nothing outlives the mesh.

::

    runner --pipe--> guard (subreaper) -> supervisor (subreaper) -> Envoys, stubs, users' programs -> their children

- The runner ends, even by kill -9: the pipe's end makes the guard end the supervisor, politely, then by force.
- The supervisor ends, even by kill -9: its children die with it (parent-death signal), their children become the
  guard's, which kills until none is left, and removes the runtime folder.
- The guard ends by kill -9: the supervisor gets SIGTERM and does the same.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import time
from collections.abc import Callable

from meshchaos.mesh.local.linux import become_subreaper, children_of, die_with_parent, kill

_POLITE = 10.0
"""Seconds the supervisor has to end by itself."""


def guarded(body: Callable[[], int], *, folder: str, owner: int | None) -> int:
    """Runs ``body`` in a child of this process, and returns its exit status when everything below it is gone.

    ``owner``: read end of the owner's pipe, None when detached. ``folder`` is removed at the end.
    """
    become_subreaper()
    blocked = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        die_with_parent(guard, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        if owner is not None:
            os.close(owner)
        return body()
    # Our copies of the standard streams would keep the starter's pipes open.
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    status = _watch(child, owner)
    kill_descendants()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(status)


def _watch(child: int, owner: int | None) -> int:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    wakeup, writer = os.pipe()
    os.set_blocking(writer, False)
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})
    waiting = [wakeup] if owner is None else [wakeup, owner]
    force_at: float | None = None
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) & 0xFF
        timeout = None if force_at is None else max(0.0, force_at - time.monotonic())
        ready, _, _ = select.select(waiting, [], [], timeout)
        stop = False
        if wakeup in ready:
            with contextlib.suppress(BlockingIOError):
                numbers = set(os.read(wakeup, 4096))
                stop = bool(numbers & {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        if owner is not None and owner in ready and os.read(owner, 1) == b"":
            waiting.remove(owner)
            owner = None
            stop = True
        if stop and force_at is None:
            kill(child, signal.SIGTERM)
            force_at = time.monotonic() + _POLITE
        elif force_at is not None and time.monotonic() >= force_at:
            kill(child)
            force_at = time.monotonic() + 1.0


def kill_descendants(deadline: float = 10.0) -> None:
    """Kills and reaps everything below this process, until there is nothing or ``deadline`` seconds are over.

    A program that forks meanwhile loses: each child whose parent died comes to us, the subreaper.
    """
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        for pid in children_of({os.getpid()}):
            kill(pid)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        select.select([], [], [], 0.005)
