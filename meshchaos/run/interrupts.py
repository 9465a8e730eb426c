"""Signals during a run: the first one asks for healing, the next ones are answered with how things stand.

A handler that raised would tear a request to the mesh in two; so it only takes a note, and the run looks
at the note several times a second.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

from meshchaos.run.clock import SystemClock

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GIVE_UP = 3
_AGAIN = 0.1
"""Seconds until the main thread is woken once more."""
_BY_DEFAULT = (signal.SIG_DFL, signal.SIG_IGN)


class Abandoned(KeyboardInterrupt):
    """The user asked three times: whatever goes on is given up in the middle. Whoever catches it says what is left."""


class Interrupts:
    """Owns SIGINT, SIGTERM and SIGHUP while a run lasts (in the main thread; elsewhere it does nothing).

    ``requested`` holds the signal's name after the first. ``again`` is called from the second on (inside
    the signal handler: it may print, nothing else); the third raises ``Abandoned``.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        self.again: Callable[[], None] | None = None
        self._count = 0
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._previous: dict[signal.Signals, Any] = {}
        self._nudges: _Nudges | None = None

    def clock(self) -> SystemClock:
        """A clock whose waiting these signals end."""
        return SystemClock(self._read)

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._note)
            self._nudges = _Nudges()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        self._previous.clear()
        if self._nudges is not None:
            self._nudges.close()
            self._nudges = None
        os.close(self._read)
        os.close(self._write)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self.requested is None:
            self.requested = signal.Signals(number).name
        with contextlib.suppress(BlockingIOError):  # a pipe full of earlier wake-ups wakes as well
            os.write(self._write, b"!")
        if 1 < self._count < _GIVE_UP and self.again is not None:
            self.again()
        if self._count >= _GIVE_UP:
            raise Abandoned("given up on your word; `meshchaos heal` says whether anything is left")


class _Nudges:
    """Wakes the main thread from whatever it waits in, whichever thread a signal was delivered to.

    The kernel prefers the main thread (signal(7)), but hands the second of two signals that come together to another,
    where Python only notes it: its handler runs once the main thread comes back from its system call, which an answer
    of the mesh may take a minute for. Python's wake-up descriptor tells a thread here, and that one interrupts the
    call with SIGURG, which ends nothing and which nobody counts; again until the main thread has been through its
    handlers, as a call that was only about to begin is not interrupted.
    """

    def __init__(self) -> None:
        """In the main thread only. A wake-up descriptor that was set before goes without while this one lasts."""
        self._main = threading.get_ident()
        self._through = False
        """A bare flag: an Event has a lock, which a handler that interrupts the main thread inside it never gets."""
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._handler = signal.signal(signal.SIGURG, self._arrived)
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._pass_on, name="nudges", daemon=True)
        self._thread.start()

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        self._through = True

    def _pass_on(self) -> None:
        while numbers := os.read(self._read, 4096):
            if set(numbers) == {signal.SIGURG}:
                continue
            self._through = False
            while not self._through:
                signal.pthread_kill(self._main, signal.SIGURG)
                time.sleep(_AGAIN)

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        os.close(self._write)
        self._thread.join()
        os.close(self._read)
        signal.signal(signal.SIGURG, self._handler)


@contextlib.contextmanager
def ending_raises() -> Iterator[None]:
    """Inside, a signal that would end the process unseen raises KeyboardInterrupt, so that what is live is taken back
    on the way out (in the main thread; elsewhere, and where somebody handles the signal, it does nothing).
    """

    def end(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(f"interrupted by {signal.Signals(number).name}")

    previous: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) in _BY_DEFAULT:
                previous[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
