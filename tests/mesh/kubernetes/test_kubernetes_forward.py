"""A port-forward whose Pod ends."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import closing

import pytest
from websocket import WebSocketConnectionClosedException, WebSocketException

from meshchaos.mesh.kubernetes.forward import Forward

PORT = 15000


class Cut:
    """A WebSocket that has something to read, which is an error."""

    def __init__(self, error: Exception) -> None:
        self.connected = True
        self.sock, self._peer = socket.socketpair()
        self._error = error
        self._peer.send(b"cut")

    def fileno(self) -> int:
        return self.sock.fileno()

    def recv_data_frame(self, _control_frame: bool) -> tuple[int, object]:
        raise self._error

    def shutdown(self) -> None:
        self.connected = False
        self.sock.close()
        self._peer.close()


@pytest.mark.parametrize(
    "error",
    [
        ssl.SSLEOFError("EOF"),
        ConnectionResetError(104, "reset"),
        WebSocketException("x"),
        WebSocketConnectionClosedException("gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_it_ends_without_a_word_and_who_waits_is_told(error: Exception) -> None:
    """A traceback of its thread would make this test fail, a socket that is left open, too."""
    cut = Cut(error)
    before = set(threading.enumerate())
    forward = Forward(cut, [PORT])
    with closing(forward.socket(PORT)) as ours:
        ours.settimeout(30)
        assert ours.recv(1) == b""
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
    assert not cut.connected
    assert cut.sock.fileno() == -1
