"""A tiny HTTP/1.1 client for Envoy's admin interface and for readiness probes: sockets kept open, no proxies.

Two forms: ``AdminClient`` blocks (the runner's side), ``fetch`` is for the supervisor's event loop.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from typing import Any
from urllib.parse import quote

from meshchaos.errors import MeshGone


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class AdminClient:
    """One kept connection to an admin socket. Raises MeshGone when Envoy does not answer."""

    def __init__(self, path: str, name: str, timeout: float = 10.0) -> None:
        self._name = name
        self._connection = _UnixConnection(path, timeout)

    def get(self, path: str, *, method: str = "GET") -> bytes:
        for attempt in (1, 2):
            try:
                self._connection.request(method, path)
                answer = self._connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                # A kept connection may have been closed under us: once more on a new one.
                if attempt == 2 or isinstance(error, TimeoutError):
                    raise MeshGone(f"the proxy of {self._name} does not answer on its admin socket: {error}") from error
                continue
            if answer.status != 200:
                raise MeshGone(f"the proxy of {self._name} answers {answer.status} to {path}: {body[:200]!r}")
            return body
        raise AssertionError("unreachable")

    def config_dump(self, query: str = "") -> dict[str, Any]:
        found = json.loads(self.get("/config_dump" + query))
        assert isinstance(found, dict)
        return found

    def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose name matches; histograms and text left out."""
        found = json.loads(self.get(f"/stats?format=json&filter={quote(pattern, safe='')}"))
        return {s["name"]: int(s["value"]) for s in found["stats"] if "name" in s and isinstance(s.get("value"), int)}

    def close(self) -> None:
        self._connection.close()


async def fetch(target: str, path: str, *, timeout: float = 5.0) -> tuple[int, bytes]:
    """One GET: ``target`` is ``host:port``, or the path of a Unix socket. Raises OSError, TimeoutError, EOFError."""
    async with asyncio.timeout(timeout):
        if "/" in target:
            reader, writer = await asyncio.open_unix_connection(target)
        else:
            host, _, port = target.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
    head, gap, body = answer.partition(b"\r\n\r\n")
    if not gap:
        raise EOFError("no answer")
    if b"transfer-encoding: chunked" in head.lower():
        body = _dechunk(body)
    return int(head.split(b" ", 2)[1]), body


def _dechunk(data: bytes) -> bytes:
    parts = []
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            break
        parts.append(data[:length])
        data = data[length + 2 :]
    return b"".join(parts)
