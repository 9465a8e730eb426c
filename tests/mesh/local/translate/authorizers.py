"""External authorizers for tests: one that is asked by HTTP, one by gRPC (Envoy's ``Authorization/Check``)."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Asked:
    """``address``: where it listens. ``paths``: of each question by HTTP; ``bodies``: of each by gRPC, as sent.
    ``allows``: what the one by gRPC says; the one by HTTP allows what has ``x-token: good``.
    """

    address: str
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    allows: bool = True


@contextlib.contextmanager
def by_http() -> Iterator[Asked]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.paths.append(self.path)
            asked.headers.append({name.lower(): value for name, value in self.headers.items()})
            good = self.headers.get("x-token") == "good"
            self.send_response(200 if good else 418)
            self.send_header("x-by", "authorizer")
            self.send_header("x-private", "secret")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    asked = Asked(f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


_HEADERS, _DATA, _SETTINGS, _PING = 1, 0, 4, 6
_END_STREAM, _END_HEADERS, _ACK = 0x1, 0x4, 0x1
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_ALLOW, _DENY = b"", b"\x0a\x02\x08\x07"
"""CheckResponse: without a status (which is OK), and with ``status.code`` 7, PERMISSION_DENIED."""


def _literal(name: bytes, value: bytes) -> bytes:
    """A header without any table (RFC 7541, 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


@contextlib.contextmanager
def by_grpc() -> Iterator[Asked]:
    """Just enough of HTTP/2 (RFC 9113) to be asked by Envoy: what a request says is not even unpacked."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked = Asked(f"127.0.0.1:{listener.getsockname()[1]}")
    peers: list[socket.socket] = []

    def serve(peer: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), peer, peer.makefile("rb") as stream:
            if stream.read(len(_PREFACE)) != _PREFACE:
                return
            peer.sendall(_frame(_SETTINGS, 0, 0))
            bodies: dict[int, bytes] = {}
            while head := stream.read(9):
                length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                number = int.from_bytes(head[5:9], "big")
                payload = stream.read(length)
                if kind in {_SETTINGS, _PING} and not flags & _ACK:
                    peer.sendall(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
                elif kind == _DATA:
                    bodies[number] = bodies.get(number, b"") + payload
                    if flags & _END_STREAM:
                        asked.bodies.append(bodies.pop(number))
                        answer = _ALLOW if asked.allows else _DENY
                        head_block = b"\x88" + _literal(b"content-type", b"application/grpc")
                        peer.sendall(
                            _frame(_HEADERS, _END_HEADERS, number, head_block)
                            + _frame(_DATA, 0, number, b"\x00" + struct.pack(">I", len(answer)) + answer)
                            + _frame(_HEADERS, _END_HEADERS | _END_STREAM, number, _literal(b"grpc-status", b"0"))
                        )

    def accept() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            peers.append(peer)
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        thread.join()
