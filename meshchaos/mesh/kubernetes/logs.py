"""A proxy's access log, brought here while it is written: followed through the API server into a file of the run's.

Only lines of our own format are kept (``observing``). The file is what ``access_log`` reads, and evidence that stays
when the run is gone. A stream that is cut is taken up where it was, by the time that the node gave each line.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from meshchaos.errors import EvidenceError, NotFound
from meshchaos.mesh.istio.injection import PROXY_CONTAINER
from meshchaos.mesh.kubernetes.api import Api, Stream

OVERLAP: Final = 10
"""Seconds of the past that a log is begun with: whatever is logged from now on is in it."""
_PAUSE: Final = 0.2
_LASTING: Final = 2.0
"""Seconds after which a stream that said nothing counts as one that was there."""
_GIVE_UP: Final = 30.0
"""Seconds after which a log that cannot be had is lost."""


class FollowedLog:
    """One Pod's. ``mark``: what is in our lines alone. Begun by ``start``; ``close`` ends its thread."""

    def __init__(self, api: Api, namespace: str, pod: str, file: Path, mark: bytes) -> None:
        self.file = file
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        self._name = f"{pod}.{namespace}"
        self._mark = mark
        self._stream: Stream | None = None
        self._ending = threading.Event()
        self._problem: str | None = None
        self._last = b""
        """The node's time of the last line that was read, as it stands in the log."""
        self._thread = threading.Thread(target=self._follow, name=f"log of {self._name}", daemon=True)

    def start(self) -> None:
        """Returns at once; lines of the last ``OVERLAP`` seconds come, too."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.touch()
        self._thread.start()

    def check(self) -> None:
        """Raises EvidenceError when the log cannot be had."""
        if self._problem is not None:
            raise EvidenceError(self._problem)

    def close(self) -> None:
        """Idempotent."""
        self._ending.set()
        stream = self._stream
        if stream is not None:
            stream.close()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def _follow(self) -> None:
        good = time.monotonic()  # when it last was there
        with self.file.open("ab", buffering=0) as out:
            while not self._ending.is_set():
                opened = float("inf")
                try:
                    self._stream = self._api.lines(self._path, self._query())
                    opened = time.monotonic()
                    for line in self._stream:
                        self._take(line, out.write)
                        good = time.monotonic()
                    # The container has ended, or the node closed the stream: there may be another one.
                    good = time.monotonic()
                except NotFound:
                    return  # the Pod is gone; what it had written is here
                except Exception as error:  # whatever it is: a thread must not end in silence
                    now = time.monotonic()
                    if now - opened > _LASTING:
                        good = now
                    if now - good > _GIVE_UP:
                        self._problem = f"the access log of {self._name} cannot be read any more: {error}"
                        return
                self._ending.wait(_PAUSE)

    def _query(self) -> dict[str, str]:
        query = {"container": PROXY_CONTAINER, "follow": "true", "timestamps": "true"}
        if self._last:
            return {**query, "sinceTime": self._last.decode()}
        return {**query, "sinceSeconds": str(OVERLAP)}

    def _take(self, line: bytes, write: Callable[[bytes], object]) -> None:
        stamp, _, text = line.partition(b" ")
        if self._last and _key(stamp) <= _key(self._last):
            return  # read before the stream was cut
        self._last = stamp
        if self._mark in text:
            write(text + b"\n")


def _key(stamp: bytes) -> tuple[bytes, bytes]:
    """RFC 3339 with as many digits as there are, trailing zeros left out: in order."""
    whole, _, fraction = stamp.rstrip(b"Z").partition(b".")
    return whole, fraction.ljust(9, b"0")
