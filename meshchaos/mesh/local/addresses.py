"""Loopback addresses of a mesh's own: a block of 127.64.0.0/10 that no other mesh on this machine has.

The block is taken by binding a guard socket on its first address: a lock across users and containers of one network
namespace, which the kernel drops with the process. Linux answers on all of 127.0.0.0/8 without any set-up.
"""

from __future__ import annotations

import errno
import os
import socket

from meshchaos.errors import MeshError, UserError

GUARD_PORT = 15000
SILENT_PORT = 15002
_BLOCK = 1 << 12
_BLOCKS = 1 << 10
_BASE = (127 << 24) | (64 << 16)
_SERVICES = 1 << 10


class AddressBlock:
    """4,096 addresses: the first is the guard's, the last 1,024 are virtual addresses of Services.

    An address is never given twice: a replica that comes back has a new one, as a Pod has.
    """

    def __init__(self) -> None:
        self._guard, self._first = _take()
        self._silent = _silent(_text(self._first))
        self._next = self._first + 1
        self._next_service = self._first + _BLOCK - _SERVICES

    @property
    def network(self) -> str:
        return f"{_text(self._first)}/20"

    @property
    def silent(self) -> str:
        """``host:port`` of a place that answers nobody who connects to it."""
        return f"{_text(self._first)}:{SILENT_PORT}"

    def fileno(self) -> int:
        return self._guard.fileno()

    def replica(self) -> str:
        """Raises MeshError when the block is used up (3,071 replicas in the mesh's life)."""
        if self._next >= self._first + _BLOCK - _SERVICES:
            raise MeshError("the mesh has used all its 3071 replica addresses: start it anew")
        self._next += 1
        return _text(self._next - 1)

    def service(self) -> str:
        """Raises MeshError after 1,023 Services."""
        if self._next_service >= self._first + _BLOCK - 1:
            raise MeshError("the mesh has used all its 1023 Service addresses: start it anew")
        self._next_service += 1
        return _text(self._next_service - 1)

    def close(self) -> None:
        self._guard.close()
        for one in self._silent:
            one.close()


def _silent(address: str) -> tuple[socket.socket, socket.socket]:
    """A server that accepts nobody, and the one connection that its queue has room for: Linux drops the packets of
    whoever tries further (``tcp_conn_request`` while the accept queue is full), so that they wait until they give up.
    """
    server = socket.create_server((address, SILENT_PORT), backlog=0)
    return server, socket.create_connection((address, SILENT_PORT), timeout=5)


def _text(number: int) -> str:
    return socket.inet_ntoa(number.to_bytes(4, "big"))


def _take() -> tuple[socket.socket, int]:
    start = int.from_bytes(os.urandom(2), "big") % _BLOCKS
    for step in range(_BLOCKS):
        first = _BASE + ((start + step) % _BLOCKS) * _BLOCK
        guard = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # No SO_REUSEADDR: exclusive is the point. Never listened on.
            guard.bind((_text(first), GUARD_PORT))
        except OSError as error:
            guard.close()
            if error.errno == errno.EADDRINUSE:
                continue
            raise UserError(
                f"cannot bind {_text(first)}: {error.strerror}; the local mesh needs 127.64.0.0/10"
            ) from error
        return guard, first
    raise UserError("all 1024 address blocks of 127.64.0.0/10 are taken by other meshes")


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody had a moment ago, outside what is handed to outgoing connections again soon."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
