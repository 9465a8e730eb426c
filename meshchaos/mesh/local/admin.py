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


class AsyncClient:
    """One kept connection for the event loop: ``target`` is ``host:port``, or the path of a Unix socket."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._lock = asyncio.Lock()

    async def get(self, path: str, *, timeout: float = 5.0) -> tuple[int, bytes]:
        """Status and body of one GET. Raises OSError, TimeoutError, EOFError."""
        return await self.send("GET", path, b"", timeout=timeout)

    async def send(self, method: str, path: str, content: bytes, *, timeout: float = 5.0) -> tuple[int, bytes]:
        """Status and body of one request, idempotent: it may be sent twice. Raises as ``get``."""
        async with self._lock, asyncio.timeout(timeout):
            kept = self._streams is not None
            try:
                return await self._exchange(method, path, content)
            except (OSError, EOFError):
                self.close()
                if not kept:
                    raise
                # The kept connection may have been closed under us: once more on a new one.
                return await self._exchange(method, path, content)
            except BaseException:
                self.close()
                raise

    async def _exchange(self, method: str, path: str, content: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            if "/" in self._target:
                self._streams = await asyncio.open_unix_connection(self._target)
            else:
                host, _, port = self._target.rpartition(":")
                self._streams = await asyncio.open_connection(host, int(port))
        reader, writer = self._streams
        length = f"content-length: {len(content)}\r\n" if content else ""
        writer.write(f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{length}\r\n".encode() + content)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        if "transfer-encoding: chunked" in head:
            return status, await _read_chunks(reader)
        lengths = [line.partition(":")[2] for line in head.split("\r\n") if line.startswith("content-length:")]
        return status, await reader.readexactly(int(lengths[0]) if lengths else 0)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        data = await reader.readexactly(size + 2)
        if size == 0:
            return b"".join(parts)
        parts.append(data[:-2])
