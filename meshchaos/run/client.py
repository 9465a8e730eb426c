"""HTTP clients inside of a mesh: what they send goes the way that a workload's own requests go."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

import httpx

from meshchaos.errors import UserError
from meshchaos.mesh.client_tls import context_of
from meshchaos.mesh.seam import Entry

EntryOf = Callable[[str], Entry]
"""URL -> how a client gets into the mesh for it (``Mesh.entry``)."""


@dataclass
class Ways:
    """The ways into the mesh for one client, by scheme, host and port: asked once, and again when nobody answers there.

    ``source``: whose client it is. ``limits`` of httpx hold for each way by itself.
    """

    source: str
    entry: EntryOf
    known: dict[str, Entry] = field(default_factory=dict)

    def to(self, url: httpx.URL) -> Entry:
        """Raises UserError where a client at ``source`` cannot request the URL, and lists what exists."""
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        if origin not in self.known:
            found = self.entry(f"{origin}/")
            if found.at:
                raise UserError(
                    f"mesh.client(from_={self.source!r}): {found.words}: this machine cannot send that by itself; "
                    "use from_='gateway', or an experiment, whose load and probes are sent by a Pod"
                )
            self.known[origin] = found
        return self.known[origin]

    def moved(self, url: httpx.URL, before: Entry) -> Entry | None:
        """Asked anew, after a connection was refused: another way than before, or None."""
        self.known.pop(f"{url.scheme}://{url.netloc.decode('ascii')}", None)
        now = self.to(url)
        return now if now != before else None


def _proxy(entry: Entry) -> httpx.Proxy | None:
    return httpx.Proxy(f"http://{entry.address}") if entry.proxied else None


def _trust(entry: Entry) -> ssl.SSLContext | bool:
    """Whom the client believes; nobody is asked where it is in plaintext."""
    if entry.tls is None:
        return False
    found: ssl.SSLContext = context_of(entry.tls)
    return found


def _aim(request: httpx.Request, entry: Entry) -> httpx.Request:
    """The request as it goes there; its Host stays what the caller's URL says."""
    if entry.proxied:
        return request
    host, _, port = entry.address.rpartition(":")
    url = request.url.copy_with(host=host.strip("[]"), port=int(port))
    more = {} if entry.tls is None else {"sni_hostname": entry.tls.server_name}
    extensions = {**request.extensions, **more}
    return httpx.Request(request.method, url, headers=request.headers, stream=request.stream, extensions=extensions)


class MeshTransport(httpx.BaseTransport):
    """Sends each request by the way of its host; connections are kept for each way."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._transports: dict[Entry, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        entry = self._ways.to(request.url)
        try:
            return self._of(entry).handle_request(_aim(request, entry))
        except httpx.ConnectError:
            moved = self._ways.moved(request.url, entry)  # nothing was sent: it may be asked elsewhere
            if moved is None:
                raise
            return self._of(moved).handle_request(_aim(request, moved))

    def _of(self, entry: Entry) -> httpx.HTTPTransport:
        if entry not in self._transports:
            self._transports[entry] = httpx.HTTPTransport(proxy=_proxy(entry), trust_env=False, verify=_trust(entry))
        return self._transports[entry]

    def close(self) -> None:
        for transport in self._transports.values():
            transport.close()


class AsyncMeshTransport(httpx.AsyncBaseTransport):
    """The same for ``httpx.AsyncClient``; what the mesh is asked takes milliseconds, once for a host."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._transports: dict[Entry, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        entry = self._ways.to(request.url)
        try:
            return await self._of(entry).handle_async_request(_aim(request, entry))
        except httpx.ConnectError:
            moved = self._ways.moved(request.url, entry)
            if moved is None:
                raise
            return await self._of(moved).handle_async_request(_aim(request, moved))

    def _of(self, entry: Entry) -> httpx.AsyncHTTPTransport:
        if entry not in self._transports:
            self._transports[entry] = httpx.AsyncHTTPTransport(
                proxy=_proxy(entry), trust_env=False, verify=_trust(entry)
            )
        return self._transports[entry]

    async def aclose(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()
