"""A small HTTP server that can be made to misbehave, and waiting with a deadline."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from meshchaos.mesh.local.http1 import Message
from meshchaos.mesh.local.stub_server import Connection, Respond

RUN_ID = "00ab12cd"


class Server:
    """Answers 200 at once; ``mode`` may be ``silent`` (never answers), ``reset``, or a status. ``seen`` are the
    requests with the time they came.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.mode: str | int = 200
        self.body = b"{}"
        self._tls = tls
        self.stall = (0.0, 0.0)
        self.seen: list[tuple[float, Message]] = []
        self._loop = asyncio.new_event_loop()
        self._connections: list[Any] = []
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.address = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    async def _listen(self) -> str:
        self._server = await self._loop.create_server(self._connection, "127.0.0.1", 0, ssl=self._tls)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def _connection(self) -> Connection:
        connection = Connection(lambda request, respond: self._handle(connection, request, respond), lambda: None)
        self._connections.append(connection)
        return connection

    def _handle(self, connection: Connection, request: Message, respond: Respond) -> None:
        now = time.time()
        self.seen.append((now, request))
        if self.mode == "reset":
            assert connection._transport is not None
            connection._transport.abort()
        elif self.mode != "silent":
            begin, end = self.stall
            wait = end - now if begin <= now < end else 0.0
            self._loop.call_later(wait, respond, self.mode, self.body)

    def close(self) -> None:
        async def shut() -> None:
            self._server.close()
            for connection in self._connections:
                if connection._transport is not None:
                    connection._transport.abort()

        asyncio.run_coroutine_threadsafe(shut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def until(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Waits for a condition; fails at the deadline."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "still not true at the deadline"
        time.sleep(0.02)
