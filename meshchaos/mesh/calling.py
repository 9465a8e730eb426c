"""How a caller (``Mesh.caller``) is asked: a JSON object a line, both ways, over a connection that may be cut.

A question has a number, ``op`` and what that needs; its answer the same number, and ``error``, a line, where it failed.
What ``op`` there are is known to those who ask and answer: ``load.away``, ``load.host``, ``probes.away``, and here:

::

    hello   -> version, now (epoch s)
    ask     entry, method, url, headers, timeout -> start, end (epoch s, of its own clock), status, failure
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from dataclasses import asdict
from typing import Any, Final

from meshchaos.errors import MeshError, MeshGone
from meshchaos.mesh.seam import Entry

LONGEST: Final = 16 * 1024 * 1024
"""Bytes that a line may have."""


def ask_form(entry: Entry, method: str, url: str, headers: Mapping[str, str], timeout: float) -> dict[str, Any]:
    """One request on a connection of its own; ``timeout`` in seconds. May hold a token: never write it down."""
    return {
        "op": "ask",
        "entry": asdict(entry),
        "method": method,
        "url": url,
        "headers": dict(headers),
        "timeout": timeout,
    }


class Link:
    """Implements ``meshchaos.mesh.seam.Caller``. ``connect`` makes a connection; it may raise MeshError, OSError."""

    def __init__(self, name: str, connect: Callable[[], Any]) -> None:
        self._name = name
        self._connect = connect
        self._lock = threading.Lock()
        self._socket: Any = None
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._closed = False

    def submit(self, form: Mapping[str, Any]) -> Future[dict[str, Any]]:
        """See ``Caller``. Raises MeshError where no connection can be made."""
        future: Future[dict[str, Any]] = Future()
        with self._lock:
            end = self._connected()
            number = next(self._numbers)
            self._waiting[number] = future
            try:
                end.sendall(json.dumps({"number": number, **form}).encode() + b"\n")
            except OSError as error:
                self._lost(end)
                raise MeshGone(f"the connection to {self._name} was cut: {error}") from error
        return future

    def close(self) -> None:
        """Ends the connection; nothing is asked any more. Idempotent."""
        with self._lock:
            self._closed = True
            if self._socket is not None:
                self._lost(self._socket)

    def _connected(self) -> Any:
        if self._closed:
            raise MeshGone(f"{self._name} is not asked any more")
        if self._socket is None:
            try:
                end = self._connect()
                end.settimeout(None)
            except OSError as error:
                raise MeshGone(f"{self._name} is not reached: {error}") from error
            self._socket = end
            threading.Thread(target=self._read, args=(end,), name=f"link to {self._name}", daemon=True).start()
        return self._socket

    def _read(self, end: Any) -> None:
        rest = b""
        while True:
            try:
                block = end.recv(256 * 1024)
            except OSError:
                block = b""
            if not block:
                break
            *lines, rest = (rest + block).split(b"\n") if b"\n" in block else (rest + block,)
            if len(rest) > LONGEST or not all(map(self._answered, lines)):
                break
        with self._lock:
            self._lost(end)

    def _answered(self, line: bytes) -> bool:
        """Whether it is an answer at all."""
        try:
            form = json.loads(line)
            number = int(form.pop("number"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        with self._lock:
            future = self._waiting.pop(number, None)
        if future is not None:
            with contextlib.suppress(InvalidStateError):  # who asked has given up
                if "error" in form:
                    future.set_exception(MeshError(f"{self._name}: {form['error']}"))
                else:
                    future.set_result(form)
        return True

    def _lost(self, end: Any) -> None:
        """With the lock held: questions of a connection that has ended have no answer."""
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            end.close()
        if self._socket is not end:
            return
        self._socket = None
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            with contextlib.suppress(InvalidStateError):
                future.set_exception(MeshGone(f"the connection to {self._name} was cut"))
