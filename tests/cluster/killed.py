"""``python killed.py NUMBER watchdog|alone FILE WORD...``: ``meshchaos WORD...``, killed by SIGKILL once the
API server has answered its NUMBERth write; with ``alone`` the process beside it is killed, too.

FILE gets a line for each write. What is killed has had no time for anything, so nothing here cleans up.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from real_cluster import watchdog_of

from meshchaos.cli import main
from meshchaos.mesh.kubernetes import api


def arm(number: int, alone: bool, file: Path) -> None:
    """From now on writes are counted. A dry run and a review of rights write nothing."""
    answered = api.Api._once
    lock = threading.Lock()
    count = 0

    def counting(self: api.Api, method: str, path: str, body: Any, query: Mapping[str, str] | None, **more: Any) -> Any:
        nonlocal count
        answer = answered(self, method, path, body, query, **more)
        if method == "GET" or "dryRun" in (query or {}) or "/selfsubject" in path:
            return answer
        with lock:
            count += 1
            with file.open("a") as told:
                told.write(f"{count} {method} {path}\n")
            if count == number:
                if alone:
                    _end_watchdog()
                os.kill(os.getpid(), signal.SIGKILL)
        return answer

    api.Api._once = counting  # type: ignore[method-assign]


def _end_watchdog() -> None:
    with contextlib.suppress(ValueError, OSError):  # there is none yet, or none any more
        os.kill(watchdog_of(os.getpid()), signal.SIGKILL)


if __name__ == "__main__":
    arm(int(sys.argv[1]), sys.argv[2] == "alone", Path(sys.argv[3]))
    sys.argv[1:] = sys.argv[4:]
    main()
