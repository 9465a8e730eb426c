"""Requests over kept connections to one address, by callbacks of gevent's event loop.

No greenlet a request and no watcher taken up and put down for each wait: at 2,000 requests/s beside a whole mesh on
two cores, what the generator uses is missing elsewhere. Nothing is sent twice, redirects are answers like any other.
Callbacks run in gevent's hub, so ``Exchange.done`` must not block.
"""

from __future__ import annotations

import errno
import os
import socket as original_socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import gevent
from gevent import monkey

from meshchaos.history.samples import Outcome
from meshchaos.load.driver import LoadPlan
from meshchaos.load.generator.answers import Answer, AnswerReader, BadAnswer, request_template
from meshchaos.load.generator.secured import Secured
from meshchaos.mesh.seam import Tls

RECV: Final = 64 * 1024
READ, WRITE = 1, 2
Socket: Any = monkey.get_original("socket", "socket")
"""Python's own socket class: these never block, gevent's cooperative one has nothing to add."""


class Carrier(Protocol):
    """What an exchange is on."""

    def give_up(self, exchange: Exchange) -> None: ...


Done = Callable[["Exchange", Outcome, Answer | None, BaseException | None], None]


PORTS_PER_SOURCE = 12_000
"""Connections from one address to one destination, kept under half of Linux's default ephemeral range."""
_IP_BIND_ADDRESS_NO_PORT = 24
"""Linux, ip(7): the port is chosen at connect(), for that destination, and not at bind()."""


class Exchange:
    """One request on its way. ``tag`` is the caller's own."""

    __slots__ = ("connection", "data", "deadline", "done", "finished", "head", "tag")

    def __init__(self, data: bytes, *, head: bool, deadline: float, tag: Any, done: Done) -> None:
        self.data = data
        self.head = head
        self.deadline = deadline
        self.tag = tag
        self.done = done
        self.finished = False
        self.connection: Carrier | None = None


class Requests:
    """The requests of a load's arrivals."""

    def __init__(self, plan: LoadPlan, prefix: bytes) -> None:
        """``prefix``: of every x-request-id."""
        self._prefix = prefix
        self._templates = [
            (
                *request_template(
                    request.method,
                    request.path,
                    scheme="http",  # said to proxies alone, and those speak plaintext
                    host=plan.entry.host,
                    proxied=plan.entry.proxied,
                    headers=request.headers,
                    body=request.body,
                ),
                request.method == "HEAD",
            )
            for request in plan.requests
        ]

    def __call__(self, seq: int, which: int, *, deadline: float, tag: Any, done: Done) -> Exchange:
        before, after, head = self._templates[which]
        data = b"%b%b%012x%b" % (before, self._prefix, seq, after)
        return Exchange(data, head=head, deadline=deadline, tag=tag, done=done)


class Connection:
    """One socket, at most one exchange on it."""

    __slots__ = (
        "_connected", "_exchange", "_out", "_pool", "_reader", "_reading", "_secured", "_socket", "_way", "_writing",
    )  # fmt: skip

    def __init__(self, pool: Pool) -> None:
        """Raises OSError when not even the attempt can be made."""
        self._pool = pool
        self._exchange: Exchange | None = None
        self._reader: AnswerReader | None = None
        self._out: bytes | memoryview = b""
        self._connected = False
        self._socket = Socket(pool.family, original_socket.SOCK_STREAM)
        self._way: Any = self._socket
        """What sends and receives: the socket, or TLS over it."""
        self._secured: Secured | None = None
        self._socket.setblocking(False)
        self._socket.setsockopt(original_socket.IPPROTO_TCP, original_socket.TCP_NODELAY, 1)
        loop = gevent.get_hub().loop
        self._reading = loop.io(self._socket.fileno(), READ)
        self._writing = loop.io(self._socket.fileno(), WRITE)

    def connect(self, exchange: Exchange) -> None:
        """Begins with the connection, goes on with the request."""
        self._exchange = exchange
        source = self._pool.source()
        if source is not None:
            self._socket.setsockopt(original_socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            self._socket.bind((source, 0))
        code = self._socket.connect_ex(self._pool.address)
        if code not in (0, errno.EINPROGRESS):
            self._end(Outcome.CONNECT, OSError(code, os.strerror(code)))
            return
        self._writing.start(self._on_writable)

    def send(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._reader = AnswerReader(head=exchange.head)
        try:
            sent = self._way.send(exchange.data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._end(Outcome.RESET, error)
            return
        if self._unsent:
            self._writing.start(self._on_writable)
        if sent < len(exchange.data):
            self._out = memoryview(exchange.data)[sent:]
            self._writing.start(self._on_writable)

    def give_up(self, exchange: Exchange) -> None:
        """Its exchange has timed out."""
        self._end(Outcome.TIMEOUT, TimeoutError("timed out"))

    def _on_writable(self) -> None:
        self._writing.stop()
        exchange = self._exchange
        assert exchange is not None
        if not self._connected:
            code = self._socket.getsockopt(original_socket.SOL_SOCKET, original_socket.SO_ERROR)
            if code:
                self._end(Outcome.CONNECT, OSError(code, os.strerror(code)))
                return
            self._connected = True
            if self._pool.tls is not None:
                self._way = self._secured = Secured(self._socket, self._pool.tls)
                self._shake_hands()
                return
            self._reading.start(self._on_readable)
            self.send(exchange)
            return
        try:
            self._out = self._out[self._way.send(self._out) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._end(Outcome.RESET, error)
            return
        if self._out or self._unsent:
            self._writing.start(self._on_writable)

    @property
    def _unsent(self) -> bool:
        return self._secured is not None and self._secured.unsent

    def _shake_hands(self) -> None:
        """The time that takes is the first request's on the connection."""
        exchange, secured = self._exchange, self._secured
        assert exchange is not None
        assert secured is not None
        self._reading.stop()
        self._writing.stop()
        try:
            secured.shake_hands()
        except BlockingIOError:
            self._reading.start(self._shake_hands)
            if secured.unsent:
                self._writing.start(self._shake_hands)
            return
        except OSError as error:
            self._end(Outcome.CONNECT, error)
            return
        self._reading.start(self._on_readable)
        self.send(exchange)

    def _on_readable(self) -> None:
        try:
            data = self._way.recv(RECV)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(Outcome.RESET, error)
            return
        exchange, reader = self._exchange, self._reader
        if exchange is None or reader is None:  # idle: the server closes, or says what nobody asked for
            self._close()
            return
        try:
            answer = reader.feed(data) if data else reader.end()
        except BadAnswer as error:
            self._end(Outcome.OTHER, error)
            return
        if answer is None:
            if not data:
                self._end(Outcome.RESET, ConnectionResetError("closed before the answer was whole"))
            return
        self._exchange = self._reader = None
        if answer.keep_alive and not self._out:
            self._pool.idle[self] = None
        else:
            self._close()
        self._pool.finish(exchange, Outcome.ANSWERED, answer, None)

    def _end(self, outcome: Outcome, error: BaseException) -> None:
        exchange, self._exchange = self._exchange, None
        self._close()
        if exchange is not None:
            self._pool.finish(exchange, outcome, None, error)

    def _close(self) -> None:
        self._pool.forget(self)
        for watcher in (self._reading, self._writing):
            watcher.stop()
            watcher.close()
        self._socket.close()


class Pool:
    """Connections to one address; the idle one used last is taken first, so that no more are kept busy than needed.

    Exchanges have the same time to run, so they time out in the order in which they began.
    """

    def __init__(self, address: tuple[str, int], *, clock: Callable[[], float], tls: Tls | None = None) -> None:
        """Raises OSError when the host is unknown."""
        self.tls = tls
        self.family: int
        self.address: Any
        self.family, _, _, _, self.address = original_socket.getaddrinfo(*address, type=original_socket.SOCK_STREAM)[0]
        self.idle: dict[Connection, None] = {}
        self._clock = clock
        self._running: deque[Exchange] = deque()
        self._timer = gevent.get_hub().loop.timer(0.0)

    def source(self) -> str | None:
        """The address to connect from; None: the kernel's choice.

        connect() takes every second port of the ephemeral range first; once those are in use towards one destination
        it searches port by port, 2 to 3 ms for each connection (measured at 14,116 of 28,232), and everything stands
        still. On the loopback there are more addresses to come from.
        """
        full = len(self._running) // PORTS_PER_SOURCE
        if not full or not str(self.address[0]).startswith("127."):
            return None
        return f"127.0.0.{1 + full}"

    def begin(self, exchange: Exchange) -> None:
        """``exchange.done`` is called once, perhaps before this returns."""
        self._running.append(exchange)
        if not self._timer.active:
            self._arm()
        try:
            self.carry(exchange)
        except OSError as error:
            self.finish(exchange, Outcome.CONNECT, None, error)

    def carry(self, exchange: Exchange) -> None:
        """On a connection that is there, or another one. Raises OSError where not even the attempt can be made."""
        if self.idle:
            connection = self.idle.popitem()[0]
            exchange.connection = connection
            connection.send(exchange)
            return
        connection = Connection(self)
        exchange.connection = connection
        connection.connect(exchange)

    def finish(self, exchange: Exchange, outcome: Outcome, answer: Answer | None, error: BaseException | None) -> None:
        exchange.finished = True
        exchange.connection = None
        running = self._running
        while running and running[0].finished:
            running.popleft()
        exchange.done(exchange, outcome, answer, error)

    def forget(self, connection: Connection) -> None:
        """An idle connection has ended."""
        self.idle.pop(connection, None)

    def _arm(self) -> None:
        """Wakes up when the oldest exchange has run its time; those that ended meanwhile cost nothing."""
        self._timer.stop()
        if self._running:
            wait = max(self._running[0].deadline - self._clock(), 0.001)
            self._timer = gevent.get_hub().loop.timer(wait)
            self._timer.start(self._expire)

    def _expire(self) -> None:
        now = self._clock()
        running = self._running
        while running and (running[0].finished or running[0].deadline <= now):
            exchange = running.popleft()
            if not exchange.finished and exchange.connection is not None:
                exchange.connection.give_up(exchange)
        self._arm()
