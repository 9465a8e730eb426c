"""The stub's HTTP server: one connection, its requests in order, handed to a function that answers when it likes."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Final

from meshchaos.mesh.local.http1 import MalformedError, Message, Reader, response

JSON: Final = "content-type: application/json\r\n"
MAX_PIPELINED: Final = 64

Respond = Callable[[int, bytes], None]
"""Status and JSON body; called once for each request."""
Handler = Callable[[Message, Respond], None]


class Connection(asyncio.Protocol):
    """The server's side of one connection: requests in order, one at a time (RFC 9112, 9.3.2)."""

    def __init__(self, handle: Handler, refused: Callable[[], None]) -> None:
        self._handle = handle
        self._refused = refused
        self._reader = Reader(server=True)
        self._waiting: deque[Message | MalformedError] = deque()
        self._current: Message | None = None
        self._transport: asyncio.Transport | None = None
        self._full = False
        self._held = False
        self._half_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream server's transport is a Transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        try:
            for request in self._reader.feed(data):
                self._waiting.append(request)  # one by one: those before a mistake are still answered
        except MalformedError as error:
            self._waiting.append(error)
        if self._reader.awaits_continue and not self._waiting and self._current is None and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(self._waiting) > MAX_PIPELINED and not self._held and self._transport:
            self._held = True
            self._transport.pause_reading()
        self._next()

    def eof_received(self) -> bool:
        self._half_closed = True
        return self._current is not None or bool(self._waiting)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._next()

    def _next(self) -> None:
        while self._current is None and self._waiting and not self._full and self._transport is not None:
            item = self._waiting.popleft()
            if isinstance(item, MalformedError):
                self._refused()
                body = json.dumps({"error": str(item)}).encode()
                self._transport.write(response(item.status, JSON, body, head=False, keep_alive=False))
                self._transport.close()
                return
            self._current = item
            self._handle(item, self._respond)
        if self._held and not self._waiting and self._transport is not None:
            self._held = False
            self._transport.resume_reading()

    def _respond(self, status: int, body: bytes) -> None:
        request, self._current = self._current, None
        transport = self._transport
        if request is None or transport is None or transport.is_closing():
            return
        keep_alive = request.keep_alive and not (self._half_closed and not self._waiting)
        transport.write(response(status, JSON, body, head=request.method == "HEAD", keep_alive=keep_alive))
        if not keep_alive:
            transport.close()
        elif self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
