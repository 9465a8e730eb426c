"""HTTP/2 as far as h2 leaves something to say; pure (RFC 9113)."""

from __future__ import annotations

from typing import Final

HEADER, GOAWAY = 9, 7
"""Bytes of a frame's header, and the type of that frame (RFC 9113, 4.1 and 6.8)."""
WINDOW: Final = 1 << 24
"""Bytes that the other side may send on a connection ahead of our reading."""
LAST_STREAM: Final = 1 << 30
"""Numbers of streams end; a connection is given up before."""


class Farewell:
    """Takes GOAWAY frames out of what a server sends, since h2 holds the connection for over with the first. It says
    only that no new call may begin: those up to the number that it names are answered (RFC 9113, 6.8), as by an Envoy
    whose listener is drained.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> tuple[bytes, int | None]:
        """Whole frames without them; the last stream that the server will answer, where it said so."""
        data = self._rest + data
        kept, at, last = [], 0, None
        while len(data) - at >= HEADER:
            end = at + HEADER + int.from_bytes(data[at : at + 3], "big")
            if end > len(data):
                break
            if data[at + 3] == GOAWAY:
                last = int.from_bytes(data[at + HEADER : at + HEADER + 4], "big") & 0x7FFFFFFF
            else:
                kept.append(data[at:end])
            at = end
        self._rest = data[at:]
        return b"".join(kept), last
