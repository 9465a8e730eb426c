"""Envoy's REST xDS as a long poll over a Unix socket: the supervisor's end, one ``ProxyFeed`` for each Envoy.

Envoy asks ``POST /v3/discovery:<kind>`` with the version that it runs; the answer waits until there is a newer one.
The next poll of the same subscription tells what became of it: the version offered is an acceptance, the one before
a refusal. (Protocol: "REST-JSON long polling" of Envoy's xDS documents; body: DiscoveryRequest/Response as JSON.)
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from meshchaos.mesh.local.world import route_file

Kind = Literal["listeners", "clusters", "endpoints", "routes", "secrets"]
Resource = Mapping[str, Any]
Issue = Callable[[str], Resource | None]
Key = tuple[Kind, str]
"""Name of a subscription; listeners and clusters come as one set, whose name is empty."""

TYPES: Final[Mapping[str, str]] = {
    "listeners": "type.googleapis.com/envoy.config.listener.v3.Listener",
    "clusters": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    "endpoints": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    "routes": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
    "secrets": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
}


_AGAIN: Final = 3
"""How often Envoy is answered anew before a poll from no version counts as a refusal."""


class Refusal(Exception):
    """Envoy refused a version."""

    def __init__(self, proxy: str, key: Key) -> None:
        super().__init__(f"{proxy} refused {key[0]} {key[1]}")
        self.proxy = proxy
        self.key = key


@dataclass(slots=True)
class _Subscription:
    """``offered``: latest version there is; ``polls``: who waits for a newer one.

    Envoy may hold several subscriptions of one name: a changed cluster asks for its endpoints anew, from no version,
    while the one it replaces still waits. ``sent`` counts the answers with ``offered`` that nobody reported on yet,
    by the version they were given to: a poll that comes back with that version is a refusal, any other a newcomer.
    From no version at all both come: a cluster that is replaced within Envoy's 5 ms between two polls never reports,
    and its successor asks anew. Such a poll is answered again; ``again`` counts how often.
    """

    offered: int = 0
    body: bytes = b""
    sent: Counter[int] = field(default_factory=Counter)
    again: int = 0
    accepted: int = 0
    refused: int = 0
    polls: list[_Poll] = field(default_factory=list)
    asked: bool = False
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    def wake(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()


class ProxyFeed:
    """What one Envoy is offered. Versions rise through the whole life of the mesh (shared ``versions``)."""

    def __init__(self, proxy: str, versions: Iterable[int], folder: str = "", issue: Issue | None = None) -> None:
        """``folder``: of the inbound route configurations that come by file (``world.route_source``), if any.
        ``issue``: makes a secret that Envoy asks for and nobody has offered; None for one that it does not know.
        """
        self.proxy = proxy
        self._issue = issue
        self._folder = folder
        self._versions = iter(versions)
        self._subscriptions: dict[Key, _Subscription] = {}
        self._server: asyncio.Server | None = None

    async def listen(self, path: str) -> None:
        """Serves on a Unix socket, mode 0600."""
        loop = asyncio.get_running_loop()
        before = os.umask(0o177)
        try:
            self._server = await loop.create_unix_server(lambda: _Poll(self), path)
        finally:
            os.umask(before)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for subscription in self._subscriptions.values():
            for poll in subscription.polls:
                poll.hang_up()

    def offer(self, key: Key, resources: Sequence[Mapping[str, Any]]) -> int:
        """Offers a new version of a subscription, at once where Envoy waits for it. Returns the version.
        Raises OSError where it is a file that cannot be written.
        """
        found = self._subscriptions.setdefault(key, _Subscription())
        found.offered = next(self._versions)
        found.sent.clear()
        found.again = 0
        answer = {"version_info": str(found.offered), "resources": resources, "type_url": TYPES[key[0]]}
        found.body = json.dumps(answer, separators=(",", ":")).encode()
        if self.by_file(key):
            found.asked = True
            path = route_file(self._folder, key[1])
            with open(f"{path}.new", "wb") as file:  # noqa: PTH123 - on the way of each fault; half the cost of a Path
                file.write(found.body)
            os.rename(f"{path}.new", path)  # noqa: PTH104
        else:
            self._answer(found)
        return found.offered

    def by_file(self, key: Key) -> bool:
        """Whether this one comes by file: no poll tells what became of it, ``accept`` and ``refuse`` do."""
        return bool(self._folder) and key[0] == "routes" and key[1].startswith("inbound|")

    def refuse(self, key: Key) -> None:
        """Envoy was seen to refuse what was offered last."""
        found = self._subscriptions[key]
        found.refused = found.offered
        found.wake()

    def withdraw(self, key: Key) -> None:
        """Forgets a subscription that nothing refers to any more."""
        found = self._subscriptions.get(key)
        if found is not None:
            found.offered, found.body = 0, b""
            if self.by_file(key):
                Path(route_file(self._folder, key[1])).unlink(missing_ok=True)
            if not found.polls:
                del self._subscriptions[key]

    def offered(self, key: Key) -> int:
        """The version offered last; 0 for none."""
        found = self._subscriptions.get(key)
        return found.offered if found else 0

    def version(self, key: Key) -> int:
        """The version Envoy accepted last; 0 for none."""
        found = self._subscriptions.get(key)
        return found.accepted if found else 0

    def pending(self, keys: Iterable[Key]) -> dict[Key, int]:
        """Those of ``keys`` that Envoy subscribes to and has not taken yet, with the version offered."""
        found = {key: self._subscriptions[key] for key in keys if key in self._subscriptions}
        return {key: sub.offered for key, sub in found.items() if sub.asked and sub.accepted < sub.offered}

    def accept(self, key: Key, version: int) -> None:
        """Envoy was seen to run this version, before its next poll says so."""
        found = self._subscriptions.get(key)
        if found is not None and found.offered == version:
            found.accepted = version
            found.wake()

    async def settled(self, keys: Iterable[Key], timeout: float) -> None:
        """Waits until Envoy took what was offered last of ``keys``; what Envoy does not subscribe to is left out.

        Raises Refusal, TimeoutError.
        """
        async with asyncio.timeout(timeout):
            for key in keys:
                found = self._subscriptions.get(key)
                if found is None or not found.asked:
                    continue
                wanted = found.offered
                while found.asked and found.accepted < wanted:
                    if found.refused >= wanted:
                        raise Refusal(self.proxy, key)
                    waiter = asyncio.get_running_loop().create_future()
                    found.waiters.append(waiter)
                    await waiter

    def _polled(self, kind: Kind, name: str, version: str, poll: _Poll) -> None:
        if kind == "secrets" and self._issue is not None and not self.offered((kind, name)):
            made = self._issue(name)
            if made is not None:
                self.offer((kind, name), [made])
        found = self._subscriptions.setdefault((kind, name), _Subscription())
        found.polls.append(poll)
        found.asked = True
        poll.subscription, poll.version = found, int(version or 0)
        poll.refused = 0
        if poll.version == found.offered:
            found.accepted = found.offered
            found.sent -= Counter(list(found.sent)[:1])
            found.again = 0
        elif found.sent[poll.version]:
            found.sent[poll.version] -= 1
            if poll.version == 0 and found.again < _AGAIN:
                found.again += 1
            else:
                found.refused = poll.refused = found.offered
        found.wake()
        self._answer(found)

    def _answer(self, subscription: _Subscription) -> None:
        offered = subscription.offered
        behind = [poll for poll in subscription.polls if offered not in (0, poll.version, poll.refused)]
        for poll in behind:
            subscription.polls.remove(poll)
            subscription.sent[poll.version] += 1
            poll.answer(subscription.body)


class _Poll(asyncio.Protocol):
    """One HTTP/1.1 connection from Envoy, which holds one poll at a time."""

    def __init__(self, feed: ProxyFeed) -> None:
        self._feed = feed
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._body_from = 0
        self._body_to = 0
        self._kind = ""
        self.subscription: _Subscription | None = None
        self.version = 0
        """What the waiting poll runs; ``refused``: what it was given and did not take."""
        self.refused = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        found = self.subscription
        if found is not None and self in found.polls:
            # Envoy gave the subscription up (nothing refers to it now), or ended.
            found.polls.remove(self)
            found.asked = bool(found.polls) or bool(+found.sent)
            found.wake()

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def answer(self, body: bytes) -> None:
        assert self._transport is not None
        self.subscription = None
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            if not self._body_to:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    return
                head = bytes(self._buffer[:end]).decode("latin-1").lower()
                self._kind = head.split(" ", 2)[1].rpartition(":")[2]
                length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
                self._body_from = end + 4
                self._body_to = self._body_from + int(length.partition(":")[2])
            if len(self._buffer) < self._body_to:
                return
            body = bytes(self._buffer[self._body_from : self._body_to])
            del self._buffer[: self._body_to]
            self._body_to = 0
            name, version = _read_request(body)
            self._feed._polled(self._kind, name, version, self)  # type: ignore[arg-type]


_VERSION = b'{"version_info":"'
_NAMES = b'"resource_names":'


def _read_request(body: bytes) -> tuple[str, str]:
    """Name and version of a DiscoveryRequest. Its node alone is 77 kB (every extension of Envoy), so only the two
    fields are looked at: the version is the first field, the names come after the node.
    """
    version = ""
    if body.startswith(_VERSION):
        version = body[len(_VERSION) : body.index(b'"', len(_VERSION))].decode()
    at = body.rfind(_NAMES, max(0, len(body) - 4096))
    if at < 0:
        return "", version
    names, _ = json.JSONDecoder().raw_decode(body[at + len(_NAMES) :].decode())
    if len(names) != 1:
        raise ValueError(f"one name a subscription expected, not {names}")
    return str(names[0]), version
