"""The stub's gRPC client: calls side by side on one HTTP/2 connection, each with a message that has nothing set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import H2Error

from meshchaos.mesh.grpc import CONTENT_TYPE, frame, status_of
from meshchaos.mesh.http2 import LAST_STREAM, WINDOW, Farewell


@dataclass(slots=True)
class Answer:
    """``status``: gRPC's. ``why``: its message."""

    status: int = -1
    http: int = 0
    why: str = ""
    body: bytearray = field(default_factory=bytearray)


class Channel(asyncio.Protocol):
    """One connection. ``lost`` makes the error of a call that the connection took with it."""

    def __init__(self, lost: Callable[[str], Exception]) -> None:
        self._lost = lost
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
        self._farewell = Farewell()
        self._transport: asyncio.Transport | None = None
        self._calls: dict[int, tuple[Answer, asyncio.Future[Answer]]] = {}
        self._closing = False

    @property
    def free(self) -> bool:
        """Whether another call may begin."""
        most = self._h2.remote_settings.max_concurrent_streams
        return self._transport is not None and not self._closing and len(self._calls) < most

    async def call(self, authority: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Raises what ``lost`` makes."""
        stream = self._h2.get_next_available_stream_id()
        self._closing = self._closing or stream >= LAST_STREAM
        future = asyncio.get_running_loop().create_future()
        self._calls[stream] = (Answer(), future)
        head = {":method": "POST", ":scheme": "http", ":path": path, ":authority": authority}
        self._h2.send_headers(stream, list({**head, "content-type": CONTENT_TYPE, "te": "trailers", **headers}.items()))
        self._h2.send_data(stream, frame(b""), end_stream=True)
        self._flush()
        try:
            return cast("Answer", await future)
        except asyncio.CancelledError:
            if self._calls.pop(stream, None) is not None:
                self._h2.reset_stream(stream, ErrorCodes.CANCEL)
                self._flush()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream connection's transport is a Transport
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail("connection reset")

    def data_received(self, data: bytes) -> None:
        frames, last = self._farewell.feed(data)
        try:
            for event in self._h2.receive_data(frames):
                self._take(event)
        except H2Error as error:
            self._fail(f"not HTTP/2: {error}")
            self._close()
            return
        if last is not None:
            self._closing = True
            for stream in [one for one in self._calls if one > last]:
                self._settle(stream, error="the server went away (GOAWAY)")
        if self._closing and not self._calls:
            self._close()
            return
        self._flush()

    def _take(self, event: Event) -> None:
        stream = getattr(event, "stream_id", 0) or 0
        if isinstance(event, DataReceived) and event.flow_controlled_length:
            self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
        if stream not in self._calls:
            return
        answer, _ = self._calls[stream]
        if isinstance(event, (ResponseReceived, TrailersReceived)):
            for name, value in cast("list[tuple[str, str]]", event.headers):  # decoded, as was asked for
                if name == ":status":
                    answer.http = int(value)
                elif name == "grpc-status" and value.isdigit():
                    answer.status = int(value)
                elif name == "grpc-message":
                    answer.why = unquote(value)
        elif isinstance(event, DataReceived):
            answer.body += event.data
        elif isinstance(event, StreamEnded):
            if answer.status < 0:
                answer.status = status_of(answer.http)
            self._settle(stream)
        elif isinstance(event, StreamReset):
            self._settle(stream, error=f"stream reset ({event.error_code})")

    def _settle(self, stream: int, *, error: str = "") -> None:
        answer, future = self._calls.pop(stream)
        if future.done():
            return
        if error:
            future.set_exception(self._lost(error))
        else:
            future.set_result(answer)

    def _fail(self, why: str) -> None:
        self._closing = True
        for stream in list(self._calls):
            self._settle(stream, error=why)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    def _close(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.close()
