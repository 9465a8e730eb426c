"""HTTP/1.1 requests over kept connections, on gevent's sockets, for one address: as little Python a request as can be.

Requests are bytes made beforehand; of an answer only status, size and grpc-status are kept, its body is read to the
end and thrown away. Redirects are answers like any other. Nothing is sent twice.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from gevent import monkey, socket

MAX_HEAD: Final = 256 * 1024
_RECV: Final = 32 * 1024
_poll: Callable[[], select.poll] = monkey.get_original("select", "poll")


class ConnectFailed(Exception):
    """No connection to the entry."""


class BadAnswer(Exception):
    """Something came that is no HTTP answer."""


class Answer(NamedTuple):
    """``grpc`` is -1 without grpc-status."""

    status: int
    size: int
    grpc: int
    keep_alive: bool


class Connection:
    """One socket. ``alive`` tells whether the server has closed it while it was idle."""

    __slots__ = ("_poll", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        try:
            self.socket = socket.create_connection(address)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise ConnectFailed(str(error)) from error
        self._poll = _poll()
        self._poll.register(self.socket.fileno(), select.POLLIN | select.POLLHUP)

    def alive(self) -> bool:
        return not self._poll.poll(0)

    def close(self) -> None:
        self.socket.close()


class Pool:
    """Idle connections, the last used first, so that no more are kept busy than needed."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._idle: list[Connection] = []

    def exchange(self, data: bytes, *, head: bool) -> Answer:
        """Sends a request, reads the whole answer. Raises ConnectFailed, BadAnswer, OSError (reset, or closed
        before the answer was whole). Whatever is raised, a timeout thrown in from outside too, the connection is
        given up.
        """
        connection = self._take()
        try:
            connection.socket.sendall(data)
            answer = read_answer(connection.socket.recv, head=head)
        except BaseException:
            connection.close()
            raise
        if answer.keep_alive:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.alive():
                return connection
            connection.close()
        return Connection(self._address)


def read_answer(recv: Callable[[int], bytes], *, head: bool) -> Answer:
    """Reads one final answer (RFC 9112, 6.3). Bytes after its end make the connection unfit for another."""
    data = _more(recv)
    while True:
        end = data.find(b"\r\n\r\n")
        while end < 0:
            if len(data) > MAX_HEAD:
                raise BadAnswer("endless head")
            data += _more(recv)
            end = data.find(b"\r\n\r\n")
        if not data.startswith(b"HTTP/1.") or not data[9:12].isdigit():
            raise BadAnswer("no status line")
        status = int(data[9:12])
        lines = data[:end].lower()
        data = data[end + 4 :]
        if status >= 200:
            break
        data = data or _more(recv)
    connection = _header(lines, b"connection")
    keep_alive = connection != b"close" if lines[7:8] == b"1" else connection == b"keep-alive"
    grpc_status = _header(lines, b"grpc-status")
    grpc = int(grpc_status) if grpc_status and grpc_status.isdigit() else -1
    if head or status in (204, 304):
        return Answer(status, 0, grpc, keep_alive and not data)
    length = _header(lines, b"content-length")
    if length is not None and length.isdigit():
        left = int(length) - len(data)
        while left > 0:
            left -= len(_more(recv))
        return Answer(status, int(length), grpc, keep_alive and left == 0)
    coding = _header(lines, b"transfer-encoding")
    if coding is not None and coding.endswith(b"chunked"):
        size, rest = _skip_chunks(recv, data)
        return Answer(status, size, grpc, keep_alive and not rest)
    size = len(data)
    while part := recv(_RECV):
        size += len(part)
    return Answer(status, size, grpc, keep_alive=False)


def _more(recv: Callable[[int], bytes]) -> bytes:
    part = recv(_RECV)
    if not part:
        raise ConnectionResetError("closed before the answer was whole")
    return part


def _header(lines: bytes, name: bytes) -> bytes | None:
    at = lines.find(b"\r\n" + name + b":")
    if at < 0:
        return None
    begin = at + len(name) + 3
    end = lines.find(b"\r\n", begin)
    return (lines[begin:] if end < 0 else lines[begin:end]).strip()


def _skip_chunks(recv: Callable[[int], bytes], data: bytes) -> tuple[int, bytes]:
    """RFC 9112, 7.1: the sum of the chunks, and what follows the last one and its trailers."""
    size = 0
    while True:
        data, line = _line(recv, data)
        try:
            chunk = int(line.partition(b";")[0], 16)
        except ValueError:
            raise BadAnswer("no chunk size") from None
        if chunk == 0:
            while line:
                data, line = _line(recv, data)
            return size, data
        size += chunk
        left = chunk + 2
        while len(data) < left:
            left -= len(data)
            data = _more(recv)
        data = data[left:]


def _line(recv: Callable[[int], bytes], data: bytes) -> tuple[bytes, bytes]:
    while (end := data.find(b"\r\n")) < 0:
        if len(data) > MAX_HEAD:
            raise BadAnswer("endless line")
        data += _more(recv)
    return data[end + 2 :], data[:end]


def request_template(
    method: str, path: str, *, scheme: str, host: str, proxied: bool, headers: Any, body: bytes | None
) -> tuple[bytes, bytes]:
    """The bytes of a request before and after the value of its ``x-request-id``."""
    given = {str(name).lower(): str(value) for name, value in headers.items()}
    host = given.pop("host", host)
    target = f"{scheme}://{host}{path}" if proxied else path
    lines = {"host": host, "user-agent": "meshchaos", "accept": "*/*", **given}
    if body is not None or method in ("POST", "PUT", "PATCH"):
        lines["content-length"] = str(len(body or b""))
    text = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return text.encode("utf-8") + b"x-request-id: ", b"\r\n\r\n" + (body or b"")
