"""TLS over a socket that never blocks: what ``ssl.SSLSocket`` does, which cannot be used under gevent's patches."""

from __future__ import annotations

import contextlib
import ssl
from typing import Any, Final

from gevent import monkey

from meshchaos.mesh.client_tls import context_of
from meshchaos.mesh.seam import Tls

_RECV: Final = 64 * 1024
_Context: Any = monkey.get_original("ssl", "SSLContext")


class Secured:
    """``send`` and ``recv`` as a socket has them, with BlockingIOError where they would wait. OSError (SSLError) where
    there is no TLS, or a certificate is not believed.
    """

    def __init__(self, raw: Any, tls: Tls) -> None:
        self._raw = raw
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context_of(tls, _Context).wrap_bio(
            self._incoming, self._outgoing, server_hostname=tls.server_name
        )
        self._rest = b""

    @property
    def unsent(self) -> bool:
        """Whether ``send`` has to be called again, with nothing, once the socket takes more."""
        return bool(self._rest)

    def shake_hands(self) -> None:
        """Until it returns, to be called again whenever there is something to read, or to write if there is
        something ``unsent``.
        """
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._fetch()
                continue
            except ssl.SSLError:
                self._flush()  # it is told why
                raise
            self._flush()
            return

    def send(self, data: bytes | memoryview) -> int:
        """All of it is taken."""
        if data:
            self._object.write(data)
        self._flush()
        return len(data)

    def recv(self, _most: int) -> bytes:
        """All that has come; nothing at its end."""
        found = b""
        while True:
            try:
                found += self._object.read(_RECV)
            except ssl.SSLWantReadError:
                if found:
                    return found
                self._fetch()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return found

    def _fetch(self) -> None:
        data = self._raw.recv(_RECV)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        self._rest += self._outgoing.read()
        if self._rest:
            with contextlib.suppress(BlockingIOError):
                self._rest = self._rest[self._raw.send(self._rest) :]
