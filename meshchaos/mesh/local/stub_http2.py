"""The stub's HTTP/2 server, spoken to by a sidecar where the Service's port is ``grpc`` or ``http2``: requests side by
side on one connection, each handed to the function that answers.

A gRPC call, of whatever service, is answered by a message that has nothing set, which is one of every type; the health
check says SERVING. What the stub would answer as another HTTP status is the gRPC status that it stands for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Final, cast
from urllib.parse import quote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error

from meshchaos.mesh.grpc import CONTENT_TYPE, HEALTH_CHECK, OK, SERVING, frame, is_grpc, status_of
from meshchaos.mesh.http2 import WINDOW
from meshchaos.mesh.local.http1 import MAX_BODY, Message
from meshchaos.mesh.local.stub_server import Connection, Handler

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client that speaks HTTP/2 begins with (RFC 9113, 3.4)."""
ERROR_LENGTH: Final = 512
"""Characters of a reason that go into ``grpc-message``: headers are not for books."""


class Front(asyncio.Protocol):
    """A connection of which nobody knows yet which HTTP it speaks; the first bytes tell."""

    def __init__(self, handle: Handler, refused: Callable[[], None]) -> None:
        self._make = (lambda: Http2Connection(handle, refused)), (lambda: Connection(handle, refused))
        self._seen = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream server's transport is a Transport

    def data_received(self, data: bytes) -> None:
        seen = self._seen = self._seen + data
        http2 = seen.startswith(PREFACE)
        if self._transport is None or (not http2 and PREFACE.startswith(seen)):
            return
        protocol: asyncio.Protocol = self._make[0]() if http2 else self._make[1]()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(seen)


class Http2Connection(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, handle: Handler, refused: Callable[[], None]) -> None:
        self._handle = handle
        self._refused = refused
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self._transport: asyncio.Transport | None = None
        self._requests: dict[int, tuple[Message, bytearray]] = {}
        self._blocked: dict[int, tuple[bytes, list[tuple[str, str]]]] = {}
        """Body and trailers that the client's windows have no room for yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream server's transport is a Transport
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._requests.clear()
        self._blocked.clear()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except H2Error:
            self._refused()
            self._flush()
            if self._transport is not None:
                self._transport.close()
            return
        self._flush()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    def _take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._requests[event.stream_id or 0] = (_request(event), bytearray())
        elif isinstance(event, DataReceived):
            stream = event.stream_id or 0
            if event.flow_controlled_length:
                self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
            if stream in self._requests:
                body = self._requests[stream][1]
                body += event.data
                if len(body) > MAX_BODY:
                    self._refused()
                    del self._requests[stream]
                    self._h2.reset_stream(stream)
        elif isinstance(event, StreamEnded):
            stream = event.stream_id or 0
            if stream in self._requests:
                request, body = self._requests[stream]
                request.body = bytes(body)
                self._handle(request, lambda status, text: self._respond(stream, status, text))
        elif isinstance(event, StreamReset):
            self._requests.pop(event.stream_id or 0, None)
            self._blocked.pop(event.stream_id or 0, None)
        elif isinstance(event, (WindowUpdated, RemoteSettingsChanged)):
            for stream, (rest, trailers) in list(self._blocked.items()):
                self._send(stream, rest, trailers)

    def _respond(self, stream: int, status: int, body: bytes) -> None:
        """Nothing where the client has gone, or taken its request back."""
        found = self._requests.pop(stream, None)
        if found is None or self._transport is None or self._transport.is_closing():
            return
        request, _ = found
        if not is_grpc(request.headers):
            headers = [(":status", str(status)), ("content-type", "application/json")]
            body = b"" if request.method == "HEAD" else body
            self._h2.send_headers(stream, headers, end_stream=not body)
            if body:
                self._send(stream, body, [])
        elif status == 200:
            self._h2.send_headers(stream, [(":status", "200"), ("content-type", CONTENT_TYPE)])
            message = SERVING if request.target == HEALTH_CHECK else b""
            self._send(stream, frame(message), [("grpc-status", str(OK))])
        else:
            why = quote(str(json.loads(body).get("error", ""))[:ERROR_LENGTH], safe=" /:,()'")
            failed = [("grpc-status", str(status_of(status))), ("grpc-message", why)]
            self._h2.send_headers(
                stream, [(":status", "200"), ("content-type", CONTENT_TYPE), *failed], end_stream=True
            )
        self._flush()

    def _send(self, stream: int, body: bytes, trailers: list[tuple[str, str]]) -> None:
        """As much of it as the windows allow, and the end of the stream with the last of it."""
        self._blocked.pop(stream, None)
        while body:
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if room <= 0:
                self._blocked[stream] = (body, trailers)
                return
            piece, body = body[:room], body[room:]
            self._h2.send_data(stream, piece, end_stream=not body and not trailers)
        if trailers:
            self._h2.send_headers(stream, trailers, end_stream=True)


def _request(event: RequestReceived) -> Message:
    message = Message()
    for name, value in cast("Sequence[tuple[str, str]]", event.headers or ()):  # decoded, as was asked for
        if name == ":method":
            message.method = value
        elif name == ":path":
            message.target = value
        elif name == ":authority":
            message.headers["host"] = value
        elif not name.startswith(":"):
            known = message.headers.get(name)
            message.headers[name] = value if known is None else f"{known}, {value}"
    return message
