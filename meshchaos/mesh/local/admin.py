"""Envoy's admin interface and readiness probes on this machine: sockets kept open, no proxies.

Two forms: ``AdminClient`` blocks (the runner's side), ``AsyncClient`` is for the supervisor's event loop.
"""

from __future__ import annotations

import asyncio
import http.client
import socket

from meshchaos.mesh.admin import Admin


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class AdminClient(Admin):
    """One kept connection to an admin socket."""

    def __init__(self, path: str, name: str, timeout: float = 10.0) -> None:
        super().__init__(_UnixConnection(path, timeout), name)


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
