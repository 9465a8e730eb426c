"""One HTTP/1.1 request on a connection of its own, from one event loop among many of the kind; proxies of the
environment are never asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from meshchaos.history.probes import Failure
from meshchaos.mesh.client_tls import context_of
from meshchaos.mesh.seam import Entry

_HEAD = 64 * 1024
"""Bytes that an answer's head may have."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` 0: none came, and ``failure`` says why."""

    status: int
    failure: Failure = ""


async def ask(entry: Entry, method: str, url: str, headers: Mapping[str, str], timeout: float) -> Answer:
    """Sends it and waits for the head of the answer; the body is nobody's. Never raises but to be cancelled."""
    host, _, port = entry.address.rpartition(":")
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout):
            tls = entry.tls
            reader, writer = await asyncio.open_connection(
                host.strip("[]"),
                int(port),
                limit=_HEAD,
                ssl=context_of(tls) if tls is not None else None,
                server_hostname=tls.server_name if tls is not None else None,
            )
            writer.write(_head(entry, method, url, headers))
            await writer.drain()
            return _answer(await reader.readuntil(b"\r\n\r\n"))
    except TimeoutError:
        return Answer(0, "timeout")
    except (ConnectionResetError, BrokenPipeError, asyncio.IncompleteReadError):
        return Answer(0, "reset" if writer is not None else "connect")
    except OSError:
        return Answer(0, "connect" if writer is None else "other")
    except (asyncio.LimitOverrunError, ValueError):
        return Answer(0, "other")
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _head(entry: Entry, method: str, url: str, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"{method} {f'{parts.scheme}://{parts.netloc}{target}' if entry.proxied else target} HTTP/1.1",
        f"Host: {entry.host}",
        *(f"{name}: {value}" for name, value in headers.items()),
        "User-Agent: meshchaos",
        "Connection: close",
        *([] if method in ("GET", "HEAD", "OPTIONS") else ["Content-Length: 0"]),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _answer(head: bytes) -> Answer:
    version, _, rest = head.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        return Answer(0, "other")
    return Answer(int(rest[:3]))
