"""The generator's end of the runner's pipe, and the promise not to outlive the runner."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

from gevent import monkey

from meshchaos.load.driver import LoadPlan
from meshchaos.load.wire import EXIT_ORPHANED, FD_VARIABLE, STOP, decode

_PR_SET_PDEATHSIG = 1


def receive() -> tuple[LoadPlan, int]:
    """The plan and the descriptor it came on. From here on the process ends with the runner."""
    fd = int(os.environ.pop(FD_VARIABLE))
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(fd, 1)  # not past the line: what follows is for ``watch``
        if not part:
            os._exit(EXIT_ORPHANED)
        line += part
    plan, parent, guard = decode(line)
    if guard and sys.platform == "linux":
        # The signal comes when the *thread* that started us ends, so only where that is the runner's main thread.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(EXIT_ORPHANED)
    return plan, fd


def watch(fd: int, stop: Callable[[], None]) -> None:
    """Calls ``stop`` (in a thread of the operating system) on the runner's word, ends the process with the runner.

    A real thread, so that a locustfile that never yields cannot keep the process alive.
    """

    def wait() -> None:
        read = monkey.get_original("os", "read")
        pending = b""
        while True:
            part = read(fd, 4096)
            if not part:
                os._exit(EXIT_ORPHANED)
            pending += part
            if STOP in pending:
                pending = b""
                stop()

    monkey.get_original("_thread", "start_new_thread")(wait, ())
