"""Time as a seam: what "now" is, and waiting that an interrupt ends."""

from __future__ import annotations

import os
import select
import time
from typing import Protocol


class Clock(Protocol):
    """Seconds since the epoch that never jump, and waiting."""

    def now(self) -> float:
        """Epoch seconds."""

    def stepped(self) -> float:
        """Seconds by which the machine's clock was set since (a suspended machine's, too): what others wrote down
        since, proxies above all, is off by as much.
        """

    def wait(self, seconds: float) -> None:
        """Returns after ``seconds``, or as soon as a signal asks the run to stop. Never raises."""


class SystemClock:
    """The machine's time, read once and carried on by the monotonic clock: setting the wall clock in the
    middle of a run neither stretches a phase nor moves its samples.
    """

    def __init__(self, wake: int | None = None) -> None:
        """``wake``: a file descriptor that becomes readable when waiting must end."""
        self._anchor = time.time() - time.monotonic()
        self._wake = wake

    def now(self) -> float:
        return self._anchor + time.monotonic()

    def stepped(self) -> float:
        return time.time() - time.monotonic() - self._anchor

    def wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        if self._wake is None:
            time.sleep(seconds)
            return
        ready, _, _ = select.select([self._wake], [], [], seconds)
        if ready:
            os.read(self._wake, 4096)
