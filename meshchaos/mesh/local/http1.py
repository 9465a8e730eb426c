"""HTTP/1.1 messages off the wire, for the stub's server and client: small, strict, no I/O (RFC 9112).

Strict where leniency would let two parsers disagree about where a message ends: both Content-Length and
Transfer-Encoding, repeated lengths, folded or nameless headers and bare line feeds are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

MAX_HEAD: Final = 64 * 1024
"""Bytes of request line and headers; Envoy's own default limit is 60 KiB."""
MAX_BODY: Final = 16 * 1024 * 1024
_MAX_CHUNK_LINE: Final = 4096

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEX = re.compile(rb"[0-9A-Fa-f]{1,15}")
_REQUEST_LINE = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([^\s\x00-\x20\x7f]+) HTTP/1\.([01])")
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: (.*))?")

REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}


class MalformedError(Exception):
    """The peer does not speak HTTP/1.1 as written. ``status`` is what a server answers to it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(slots=True)
class Message:
    """A request (``method``, ``target``) or a response (``status``). Header names are lower case; repeated
    ones are joined with ``", "``.
    """

    method: str = ""
    target: str = ""
    status: int = 0
    keep_alive: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class _Body:
    """Takes one body off the front of a buffer. Subclasses know where it ends."""

    def __init__(self) -> None:
        self.data = bytearray()

    def take(self, buffer: bytearray) -> bool:
        """Moves what is there; True when the body is whole."""
        raise NotImplementedError

    def _grow(self, data: bytes | bytearray) -> None:
        self.data += data
        if len(self.data) > MAX_BODY:
            raise MalformedError(413, f"body over {MAX_BODY} bytes")


class _Sized(_Body):
    def __init__(self, length: int) -> None:
        super().__init__()
        if length > MAX_BODY:
            raise MalformedError(413, f"body over {MAX_BODY} bytes")
        self._left = length

    def take(self, buffer: bytearray) -> bool:
        part = buffer[: self._left]
        del buffer[: self._left]
        self._left -= len(part)
        self._grow(part)
        return self._left == 0


class _Chunked(_Body):
    """RFC 9112, 7.1: chunks, then trailers, which are dropped."""

    def __init__(self) -> None:
        super().__init__()
        self._left = 0
        self._state = "size"

    def take(self, buffer: bytearray) -> bool:
        while True:
            if self._state == "data":
                part = buffer[: self._left]
                del buffer[: self._left]
                self._left -= len(part)
                self._grow(part)
                if self._left:
                    return False
                self._state = "end"
            line_end = buffer.find(b"\r\n")
            if line_end < 0:
                if len(buffer) > _MAX_CHUNK_LINE:
                    raise MalformedError(400, "chunk line too long")
                return False
            line = bytes(buffer[:line_end])
            del buffer[: line_end + 2]
            if self._state == "end":
                if line:
                    raise MalformedError(400, "chunk longer than its size")
                self._state = "size"
            elif self._state == "size":
                size = line.partition(b";")[0].strip()
                if not _HEX.fullmatch(size):
                    raise MalformedError(400, "chunk size is not a number")
                self._left = int(size, 16)
                self._state = "data" if self._left else "trailers"
            elif not line:
                return True


class _UntilClosed(_Body):
    def take(self, buffer: bytearray) -> bool:
        self._grow(buffer)
        buffer.clear()
        return False


class Reader:
    """Cuts a byte stream into messages: ``feed`` yields those that became whole, in order.

    A client says with ``expect`` which method each coming response answers (HEAD has no body).
    """

    def __init__(self, *, server: bool) -> None:
        self._server = server
        self._buffer = bytearray()
        self._message: Message | None = None
        self._body: _Body | None = None
        self._method = "GET"

    def expect(self, method: str) -> None:
        self._method = method

    @property
    def started(self) -> bool:
        """Whether part of a message has come."""
        return self._message is not None or bool(self._buffer)

    @property
    def awaits_continue(self) -> bool:
        """Whether the peer holds its body back until ``100 Continue``."""
        message = self._message
        return message is not None and message.headers.get("expect", "").lower() == "100-continue"

    def feed(self, data: bytes) -> Iterator[Message]:
        """To be consumed to its end. Raises MalformedError where the stream goes wrong, after the messages that came
        whole before that; it is of no use from there on.
        """
        buffer = self._buffer
        buffer += data
        while True:
            if self._message is None:
                while self._server and buffer.startswith(b"\r\n"):  # RFC 9112, 2.2
                    del buffer[:2]
                end = buffer.find(b"\r\n\r\n")
                if end > MAX_HEAD or (end < 0 and len(buffer) > MAX_HEAD):
                    raise MalformedError(431, f"head over {MAX_HEAD} bytes")
                if end < 0:
                    return
                text = buffer[:end].decode("latin-1")
                del buffer[: end + 4]
                self._message = self._head(text)
                if not self._server and self._message.status < 200:
                    self._message = None
                    continue
                self._body = self._framing(self._message)
            if self._body is not None:
                if not self._body.take(buffer):
                    return
                self._message.body = bytes(self._body.data)
            message, self._message, self._body = self._message, None, None
            yield message

    def end(self) -> Message | None:
        """The peer closed: the response that ended with it, None if there is none or it is torn."""
        if self._message is not None and isinstance(self._body, _UntilClosed):
            self._message.body = bytes(self._body.data)
            return self._message
        return None

    def _head(self, text: str) -> Message:
        first, *lines = text.split("\r\n")
        message = Message()
        if self._server:
            match = _REQUEST_LINE.fullmatch(first)
            if match is None:
                if re.search(r" HTTP/\d", first) and not first.endswith(("HTTP/1.0", "HTTP/1.1")):
                    raise MalformedError(505, "not HTTP/1.1")
                raise MalformedError(400, "not a request line")
            message.method, message.target, minor = match[1], match[2], match[3]
        else:
            match = _STATUS_LINE.fullmatch(first)
            if match is None:
                raise MalformedError(502, "not a status line")
            minor, message.status = match[1], int(match[2])
        headers = message.headers
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not _TOKEN.fullmatch(name) or "\n" in value or "\0" in value or "\r" in value:
                raise MalformedError(400, "a header that is none")
            name = name.lower()
            value = value.strip(" \t")
            if name in headers:
                if name in ("host", "content-length", "transfer-encoding"):
                    raise MalformedError(400, f"two {name} headers")
                value = f"{headers[name]}, {value}"
            headers[name] = value
        connection = headers.get("connection", "").lower()
        message.keep_alive = "close" not in connection if minor == "1" else "keep-alive" in connection
        if self._server and minor == "1" and "host" not in headers:
            raise MalformedError(400, "no Host header")
        return message

    def _framing(self, message: Message) -> _Body | None:
        """RFC 9112, 6.3."""
        headers = message.headers
        encoding = headers.get("transfer-encoding")
        length = headers.get("content-length")
        if not self._server and (self._method == "HEAD" or message.status in (204, 304)):
            return None
        if encoding is not None:
            if length is not None:
                raise MalformedError(400, "both Content-Length and Transfer-Encoding")
            if encoding.lower() != "chunked":
                raise MalformedError(501, "a transfer coding other than chunked")
            return _Chunked()
        if length is not None:
            if not (length.isascii() and length.isdigit()):
                raise MalformedError(400, "Content-Length is not a number")
            if len(length) > 15:
                raise MalformedError(413, f"body over {MAX_BODY} bytes")
            return _Sized(int(length)) if int(length) else None
        if self._server:
            return None
        message.keep_alive = False
        return _UntilClosed()


def response(status: int, headers: str, body: bytes, *, head: bool, keep_alive: bool) -> bytes:
    """A response as bytes. ``headers`` are whole lines ending in CRLF; to HEAD the body's length only."""
    reason = REASONS.get(status, "Status")
    close = "" if keep_alive else "connection: close\r\n"
    text = f"HTTP/1.1 {status} {reason}\r\n{headers}{close}content-length: {len(body)}\r\n\r\n"
    return text.encode("latin-1") + (b"" if head else body)
