"""Writes rows of ``meshchaos.history.samples`` to the sample file, many at a time."""

from __future__ import annotations

import errno
import os
import struct
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

from meshchaos.history.samples import STRUCT, Outcome, RowKind
from meshchaos.load.wire import EXIT_DISK_FULL, EXIT_WRITE_FAILED

BEAT_EVERY: Final = 0.05
"""Seconds between beats; each flushes what has gathered."""

_pack = struct.Struct(STRUCT).pack


class Clock:
    """Epoch seconds that never step: the wall clock read once, carried on by the monotonic one."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() + self._offset


class RowWriter:
    """Rows gather in memory until ``beat``. A disk that takes no more ends the process: samples that are lost
    would be a verdict on the wrong numbers.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._buffer = bytearray()
        self._cpu = time.process_time()
        self._wall = time.monotonic()

    def sample(  # noqa: PLR0917  # a row is a row: keywords cost a microsecond each time
        self,
        start: float,
        lag: float,
        latency: float,
        seq: int,
        status: int,
        request: int,
        outcome: Outcome,
        grpc: int,
        size: int,
    ) -> None:
        """One request; see ``ROW``."""
        self._buffer += _pack(start, lag, latency, seq, status, request, outcome, 0, grpc, min(size, 0xFFFFFFFF))

    def beat(
        self, now: float, *, oldest: float, scheduler_lag: float, due: int, in_flight: int, last: bool = False
    ) -> None:
        """A BEAT row, and everything out to the file. ``request`` carries the share of a core used since the last
        one, in thousandths.
        """
        cpu, wall = time.process_time(), time.monotonic()
        share = (cpu - self._cpu) / max(wall - self._wall, 1e-6)
        self._cpu, self._wall = cpu, wall
        busy = min(int(share * 1000), 0xFFFF)
        self._buffer += _pack(now, oldest, scheduler_lag, due, int(last), busy, 0, RowKind.BEAT, -1, in_flight)
        self._flush()

    def _flush(self) -> None:
        data, self._buffer = self._buffer, bytearray()
        try:
            while data:
                del data[: os.write(self._fd, data)]
        except OSError as error:
            _give_up(error)


def _give_up(error: OSError) -> NoReturn:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    try:
        print(f"cannot write samples: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(EXIT_DISK_FULL if full else EXIT_WRITE_FAILED)
