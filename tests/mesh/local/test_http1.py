"""HTTP/1.1 off the wire: whole, in pieces, and wrong."""

from __future__ import annotations

import pytest

from meshchaos.mesh.local.http1 import MAX_BODY, MAX_HEAD, MalformedError, Message, Reader


def feed(reader: Reader, data: bytes, size: int) -> list[Message]:
    return [message for at in range(0, len(data), size) for message in reader.feed(data[at : at + size])]


@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_pipelined_requests_come_out_in_order(size: int) -> None:
    data = (
        b"\r\nGET /a HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a:  2 \r\n\r\n"
        b"POST http://y:1/b?c=d HTTP/1.1\r\nhost: y:1\r\ncontent-length: 3\r\n\r\nabc"
        b"PUT /c HTTP/1.1\r\nhost: z\r\ntransfer-encoding: Chunked\r\n\r\n2;e=f\r\nhi\r\n3\r\n yo\r\n0\r\nt: u\r\n\r\n"
        b"GET /d HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"
        b"HEAD * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    messages = feed(Reader(server=True), data, size)
    assert [(m.method, m.target, m.body, m.keep_alive) for m in messages] == [
        ("GET", "/a", b"", True),
        ("POST", "http://y:1/b?c=d", b"abc", True),
        ("PUT", "/c", b"hi yo", True),
        ("GET", "/d", b"", True),
        ("HEAD", "*", b"", False),
    ]
    assert messages[0].headers == {"host": "x", "x-a": "1, 2"}


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\nx: y\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: " + b"x" * MAX_HEAD + b"\r\n\r\n", 431),
    ],
)
def test_what_is_wrong_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(MalformedError) as caught:
        feed(Reader(server=True), data, 4096)
    assert caught.value.status == status


@pytest.mark.parametrize("size", [1, 10_000])
def test_responses(size: int) -> None:
    reader = Reader(server=False)
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    [message] = feed(reader, data, size)
    assert (message.status, message.body, message.keep_alive) == (200, b"ok", True)
    reader.expect("HEAD")
    [message] = feed(reader, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", size)
    assert message.body == b""
    reader.expect("GET")
    assert len(feed(reader, b"HTTP/1.1 204\r\n\r\n", size)) == 1
    assert not reader.started
    assert feed(reader, b"HTTP/1.1 200 OK\r\n\r\nuntil the end", size) == []
    ended = reader.end()
    assert ended is not None
    assert (ended.body, ended.keep_alive) == (b"until the end", False)


def test_a_torn_response_is_none() -> None:
    reader = Reader(server=False)
    assert list(reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell")) == []
    assert reader.end() is None
    assert reader.started
