"""Waking up on time. The event loop sleeps in whole milliseconds (epoll_wait's unit, rounded up), which would add
0.7 ms to the median latency of everything; a timerfd wakes it within some tens of microseconds.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

import gevent

_CLOCK_MONOTONIC: Final = 1
_READ: Final = 1


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


class Alarm:
    """For one greenlet. Linux's timerfd_create(2); elsewhere ``gevent.sleep``."""

    def __init__(self) -> None:
        self._fd = -1
        if sys.platform != "linux":
            return
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = _Itimerspec()
        self._by_reference = ctypes.byref(self._spec)
        self._hub = gevent.get_hub()
        self._watcher = self._hub.loop.io(self._fd, _READ)

    def sleep(self, seconds: float) -> None:
        """Lets the others run for this long, at least a microsecond."""
        if self._fd < 0:
            gevent.sleep(seconds)
            return
        value = self._spec.it_value
        value.tv_sec = int(seconds)
        value.tv_nsec = max(int((seconds - int(seconds)) * 1e9), 1000)
        # Setting it also forgets that it went off before, so it need not be read.
        if self._libc.timerfd_settime(self._fd, 0, self._by_reference, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        self._hub.wait(self._watcher)
