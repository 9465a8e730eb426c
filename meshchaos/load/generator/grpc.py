"""gRPC calls over a few HTTP/2 connections to one address, by the same callbacks as ``client``.

As a gRPC client's channel does: calls share a connection, another is opened only where the server takes no more of them
on those that are there. Nothing is retried here, what fails is counted. No ``grpc-timeout`` is sent unless the load's
own headers have it: it would change the proxies' timeouts.
"""

from __future__ import annotations

import errno
import os
import socket as original_socket
from collections.abc import Callable, Sequence
from typing import Any, Final

import gevent
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error

from meshchaos.history.samples import Outcome
from meshchaos.load.driver import LoadPlan
from meshchaos.load.generator.answers import Answer
from meshchaos.load.generator.client import READ, RECV, WRITE, Exchange, Pool, Socket
from meshchaos.mesh.grpc import CONTENT_TYPE, status_of
from meshchaos.mesh.http2 import LAST_STREAM, WINDOW, Farewell

MOST_STREAMS: Final = 100
"""Calls on one connection at once, where the server would take more: what the protocol recommends as the least
(RFC 9113, 5.1.2), and what gRPC's servers allow by themselves.
"""
Header = tuple[bytes, bytes]


class Call(Exchange):
    """One call on its way; ``data`` is its message, framed."""

    __slots__ = ("answered", "headers", "left", "size", "status", "stream")

    def __init__(self, data: bytes, headers: Sequence[Header], **more: Any) -> None:
        super().__init__(data, head=False, **more)
        self.headers = headers
        self.left = memoryview(data)
        self.stream = 0
        self.size = 0
        self.status = 0
        self.answered = -1


class Calls:
    """The calls of a load's arrivals."""

    def __init__(self, plan: LoadPlan, prefix: bytes) -> None:
        """``prefix``: of every x-request-id."""
        self._prefix = prefix
        self._requests = [
            (
                [
                    (b":method", b"POST"),
                    (b":scheme", b"http"),
                    (b":path", request.path.encode()),
                    (b":authority", plan.entry.host.encode()),
                    (b"content-type", CONTENT_TYPE.encode()),
                    (b"te", b"trailers"),
                    (b"user-agent", b"meshchaos"),
                    *((name.lower().encode(), value.encode()) for name, value in request.headers.items()),
                ],
                request.body or b"",
            )
            for request in plan.requests
        ]

    def __call__(self, seq: int, which: int, **more: Any) -> Call:
        headers, body = self._requests[which]
        return Call(body, [*headers, (b"x-request-id", b"%b%012x" % (self._prefix, seq))], **more)


class Channel:
    """One HTTP/2 connection with the calls on it."""

    def __init__(self, pool: GrpcPool) -> None:
        """Raises OSError when not even the attempt can be made."""
        self._pool = pool
        self._calls: dict[int, Call] = {}
        self._waiting: list[Call] = []
        """Begun before the connection was made."""
        self._blocked: dict[int, Call] = {}
        """Their messages are not out yet: the server's windows are full."""
        self._out = bytearray()
        self._farewell = Farewell()
        self._connected = False
        self._closing = False
        self._h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
            )
        )
        self._socket = Socket(pool.family, original_socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(original_socket.IPPROTO_TCP, original_socket.TCP_NODELAY, 1)
        loop = gevent.get_hub().loop
        self._reading = loop.io(self._socket.fileno(), READ)
        self._writing = loop.io(self._socket.fileno(), WRITE)
        code = self._socket.connect_ex(pool.address)
        if code not in (0, errno.EINPROGRESS):
            self._socket.close()
            raise OSError(code, os.strerror(code))
        self._writing.start(self._on_writable)

    @property
    def free(self) -> bool:
        """Whether another call may begin."""
        return not self._closing and len(self._calls) + len(self._waiting) < self._most

    @property
    def _most(self) -> int:
        return min(MOST_STREAMS, self._h2.remote_settings.max_concurrent_streams)

    def begin(self, call: Call) -> None:
        if not self._connected:
            self._waiting.append(call)
            return
        self._send(call)
        self._flush()

    def give_up(self, call: Exchange) -> None:
        """It has timed out."""
        assert isinstance(call, Call)
        if call.stream:
            self._forget(call)
            self._h2.reset_stream(call.stream, ErrorCodes.CANCEL)
            self._flush()
        elif call in self._waiting:
            self._waiting.remove(call)
        self._pool.finish(call, Outcome.TIMEOUT, None, TimeoutError("timed out"))

    def _send(self, call: Call) -> None:
        call.stream = self._h2.get_next_available_stream_id()
        self._closing = self._closing or call.stream >= LAST_STREAM
        self._calls[call.stream] = call
        self._h2.send_headers(call.stream, call.headers)
        self._send_message(call)

    def _send_message(self, call: Call) -> None:
        """As much of it as the server's windows allow."""
        while True:
            room = min(self._h2.local_flow_control_window(call.stream), self._h2.max_outbound_frame_size)
            piece, rest = call.left[:room], call.left[room:]
            if not piece and rest:
                self._blocked[call.stream] = call
                return
            self._h2.send_data(call.stream, bytes(piece), end_stream=not rest)
            call.left = rest
            if not rest:
                self._blocked.pop(call.stream, None)
                return

    def _on_writable(self) -> None:
        self._writing.stop()
        if not self._connected:
            code = self._socket.getsockopt(original_socket.SOL_SOCKET, original_socket.SO_ERROR)
            if code:
                self._end(Outcome.CONNECT, OSError(code, os.strerror(code)))
                return
            self._connected = True
            self._h2.initiate_connection()
            self._h2.increment_flow_control_window(WINDOW)
            self._reading.start(self._on_readable)
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                self._send(call)
        self._flush()

    def _flush(self) -> None:
        self._out += self._h2.data_to_send()
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
        except BlockingIOError:
            self._writing.start(self._on_writable)
        except OSError as error:
            self._end(Outcome.RESET, error)

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(RECV)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(Outcome.RESET, error)
            return
        if not data:
            self._end(Outcome.RESET, ConnectionResetError("closed before the answer was whole"))
            return
        try:
            frames, last = self._farewell.feed(data)
            for event in self._h2.receive_data(frames):
                self._take(event)
        except H2Error as error:
            self._end(Outcome.OTHER, error)
            return
        if last is not None:
            self._closing = True
            for call in [one for one in self._calls.values() if one.stream > last]:
                self._done(call, Outcome.RESET, None, ConnectionResetError("the server went away (GOAWAY)"))
        if self._closing and not self._calls:
            self._close()
            return
        self._flush()

    def _take(self, event: Event) -> None:
        if isinstance(event, (WindowUpdated, RemoteSettingsChanged)):
            for call in list(self._blocked.values()):
                self._send_message(call)
            return
        if isinstance(event, DataReceived) and event.flow_controlled_length:
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        call_ = self._calls.get(getattr(event, "stream_id", 0) or 0)
        if call_ is None:
            return
        if isinstance(event, (ResponseReceived, TrailersReceived)):
            for name, value in event.headers:
                if name == b":status":
                    call_.status = int(value)
                elif name == b"grpc-status" and value.isdigit():
                    call_.answered = min(int(value), 0x7FFF)
        elif isinstance(event, DataReceived):
            call_.size += len(event.data)
        elif isinstance(event, StreamEnded):
            status = call_.answered if call_.answered >= 0 else status_of(call_.status)
            self._done(call_, Outcome.ANSWERED, Answer(call_.status, call_.size, status, keep_alive=True), None)
        elif isinstance(event, StreamReset):
            self._done(call_, Outcome.RESET, None, ConnectionResetError(f"stream reset ({event.error_code})"))

    def _forget(self, call: Call) -> None:
        self._calls.pop(call.stream, None)
        self._blocked.pop(call.stream, None)

    def _done(self, call: Call, outcome: Outcome, answer: Answer | None, error: BaseException | None) -> None:
        self._forget(call)
        self._pool.finish(call, outcome, answer, error)

    def _end(self, outcome: Outcome, error: BaseException) -> None:
        calls = [*self._calls.values(), *self._waiting]
        self._calls, self._waiting, self._blocked = {}, [], {}
        self._close()
        for call in calls:
            self._pool.finish(call, outcome, None, error)

    def _close(self) -> None:
        self._closing = True
        self._pool.drop(self)
        for watcher in (self._reading, self._writing):
            watcher.stop()
            watcher.close()
        self._socket.close()


class GrpcPool(Pool):
    """Channels to one address."""

    def __init__(self, address: tuple[str, int], *, clock: Callable[[], float]) -> None:
        """Raises OSError when the host is unknown."""
        super().__init__(address, clock=clock)
        self.channels: list[Channel] = []

    def carry(self, exchange: Exchange) -> None:
        assert isinstance(exchange, Call)
        channel = next((one for one in self.channels if one.free), None)
        if channel is None:
            channel = Channel(self)
            self.channels.append(channel)
        exchange.connection = channel
        channel.begin(exchange)

    def drop(self, channel: Channel) -> None:
        """It takes no more."""
        if channel in self.channels:
            self.channels.remove(channel)
