"""HTTP/1.1 as the generator needs it: requests made into bytes beforehand, and of an answer only status, size and
grpc-status; its body is counted and thrown away (RFC 9112).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

MAX_HEAD: Final = 256 * 1024


class BadAnswer(Exception):
    """Something came that is no HTTP answer."""


class Answer(NamedTuple):
    """``grpc`` is -1 without grpc-status."""

    status: int
    size: int
    grpc: int
    keep_alive: bool


class AnswerReader:
    """One answer out of a stream. Fast where the whole of it, with a Content-Length, comes in one piece."""

    __slots__ = ("_chunk", "_data", "_grpc", "_head", "_keep_alive", "_left", "_size", "_state", "_status")

    def __init__(self, *, head: bool) -> None:
        self._head = head
        self._data = b""
        self._state = "head"
        self._left = 0
        self._size = 0
        self._chunk = ""
        self._status = 0
        self._grpc = -1
        self._keep_alive = True

    def feed(self, data: bytes) -> Answer | None:
        """The answer when it is whole. Bytes after its end make the connection unfit for another.
        Raises BadAnswer.
        """
        if self._state == "head":
            data = self._data + data
            while True:
                end = data.find(b"\r\n\r\n")
                if end < 0:
                    if len(data) > MAX_HEAD or not b"HTTP/1.".startswith(data[:7]):
                        raise BadAnswer("no HTTP answer")
                    self._data = data
                    return None
                lines, data = data[:end].lower(), data[end + 4 :]
                if not lines.startswith(b"http/1.") or not lines[9:12].isdigit():
                    raise BadAnswer("no status line")
                self._status = int(lines[9:12])
                if self._status >= 200:
                    break
            self._begin(lines)
        if self._state == "sized":
            self._left -= len(data)
            return self._done(fit=self._left == 0) if self._left <= 0 else None
        if self._state == "chunked":
            return self._chunks(self._data + data)
        self._size += len(data)
        return None

    def end(self) -> Answer | None:
        """The server closed: the answer that ended with it, None where it is torn."""
        self._keep_alive = False
        return self._done(fit=False) if self._state == "closed" else None

    def _done(self, *, fit: bool) -> Answer:
        return Answer(self._status, self._size, self._grpc, self._keep_alive and fit)

    def _begin(self, lines: bytes) -> None:
        """RFC 9112, 6.3: how long the body is."""
        self._data = b""
        connection = _header(lines, b"connection")
        if connection is not None or lines[7:8] != b"1":
            self._keep_alive = connection != b"close" if lines[7:8] == b"1" else connection == b"keep-alive"
        grpc = _header(lines, b"grpc-status")
        if grpc is not None and grpc.isdigit():
            self._grpc = int(grpc)
        if self._head or self._status in (204, 304):
            self._state, self._left = "sized", 0
            return
        length = _header(lines, b"content-length")
        coding = _header(lines, b"transfer-encoding")
        if coding is not None and coding.endswith(b"chunked"):
            self._state, self._chunk = "chunked", "size"
        elif length is not None and length.isdigit():
            self._state, self._left = "sized", int(length)
            self._size = self._left
        else:
            self._state = "closed"

    def _chunks(self, data: bytes) -> Answer | None:
        """RFC 9112, 7.1. ``_left`` is what is still to come of a chunk and its line end."""
        while True:
            if self._chunk == "data":
                if len(data) < self._left:
                    self._left -= len(data)
                    self._data = b""
                    return None
                data = data[self._left :]
                self._chunk = "size"
            end = data.find(b"\r\n")
            if end < 0:
                if len(data) > MAX_HEAD:
                    raise BadAnswer("endless line")
                self._data = data
                return None
            line, data = data[:end], data[end + 2 :]
            if self._chunk == "trailers":
                if not line:
                    return self._done(fit=not data)
                continue
            try:
                size = int(line.partition(b";")[0], 16)
            except ValueError:
                raise BadAnswer("no chunk size") from None
            self._size += size
            self._left = size + 2
            self._chunk = "data" if size else "trailers"


def _header(lines: bytes, name: bytes) -> bytes | None:
    at = lines.find(b"\r\n" + name + b":")
    if at < 0:
        return None
    begin = at + len(name) + 3
    end = lines.find(b"\r\n", begin)
    return (lines[begin:] if end < 0 else lines[begin:end]).strip()


def request_template(
    method: str,
    path: str,
    *,
    scheme: str,
    host: str,
    proxied: bool,
    headers: Mapping[str, str],
    body: bytes | None,
) -> tuple[bytes, bytes]:
    """The bytes of a request before and after the value of its ``x-request-id``."""
    given = {name.lower(): value for name, value in headers.items()}
    host = given.pop("host", host)
    target = f"{scheme}://{host}{path}" if proxied else path
    lines = {"host": host, "user-agent": "meshchaos", "accept": "*/*", **given}
    if body is not None or method in ("POST", "PUT", "PATCH"):
        lines["content-length"] = str(len(body or b""))
    text = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return text.encode("utf-8") + b"x-request-id: ", b"\r\n\r\n" + (body or b"")
