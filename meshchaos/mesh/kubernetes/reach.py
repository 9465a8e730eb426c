"""Whether this machine reaches an address of a cluster's: asked once, before anything is done."""

from __future__ import annotations

import socket
from typing import Final

_WAIT: Final = 1.0
"""Seconds until a connection counts as impossible: networks that drop what they do not know say nothing."""


class Reach:
    """Keeps what was found out: a run must not change its way in."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def here(self, address: str) -> bool:
        """Whether somebody takes a connection to ``host:port``."""
        if address not in self._known:
            host, _, port = address.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=_WAIT).close()
                self._known[address] = True
            except OSError:
                self._known[address] = False
        return self._known[address]
