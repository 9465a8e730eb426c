"""The stub's HTTP client: kept connections to its sidecar's proxy, or to plain addresses of this machine.

Never leaves the machine: a name that is neither in ``hosts`` nor a loopback address is not looked up.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from meshchaos.experiment.scalars import GRPC_STATUSES
from meshchaos.mesh.local.http1 import MalformedError, Message, Reader
from meshchaos.mesh.local.stub_grpc import Channel

DEFAULT_TIMEOUT: Final = 60.0
"""Of a call that has none: long enough to be none for any experiment, and still bounded. Seconds."""
MAX_IDLE: Final = 256
_REPEATABLE: Final = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))


class CallFailed(Exception):
    """No answer; ``str()`` says why."""


class _Lost(CallFailed):
    """The connection ended before any of the answer."""


def split_address(address: str) -> tuple[str, int]:
    """``host:port``. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ValueError(f"{address!r} is not host:port")
    return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a stub makes for each request. ``timeout`` in seconds."""

    url: str
    method: str
    host: str
    port: int
    path: str
    timeout: float
    optional: bool
    grpc: bool = False

    @staticmethod
    def of(spec: Any) -> Call:
        """From a spec: a URL, or {url, timeout, optional, method}. Raises ValueError."""
        given: Mapping[str, Any] = {"url": spec} if isinstance(spec, str) else spec
        url = str(given["url"])
        parts = urlsplit(url)
        if parts.scheme not in ("http", "grpc") or not parts.hostname:
            raise ValueError(f"{url!r} is not an http:// URL")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        timeout = given.get("timeout")
        return Call(
            url=url,
            method=str(given.get("method") or "GET").upper(),
            host=parts.hostname,
            port=parts.port or 80,
            path=path,
            timeout=float(timeout) if timeout is not None else DEFAULT_TIMEOUT,
            optional=bool(given.get("optional", False)),
            grpc=parts.scheme == "grpc",
        )

    @property
    def authority(self) -> str:
        return self.host if self.port == 80 else f"{self.host}:{self.port}"


class _Channel(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.used = False
        self._reader = Reader(server=False)
        self._answer: asyncio.Future[Message] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream connection's transport is a Transport

    def data_received(self, data: bytes) -> None:
        try:
            messages = list(self._reader.feed(data))
        except MalformedError as error:
            self._fail(CallFailed(f"not HTTP: {error}"))
            return
        if len(messages) == 1 and self._answer is not None and not self._answer.done():
            self._answer.set_result(messages[0])
        elif messages:
            self._fail(CallFailed("an answer that nobody asked for"))

    def eof_received(self) -> bool:
        self._closed()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._closed()

    def _closed(self) -> None:
        if self._answer is None or self._answer.done():
            return
        message = self._reader.end()
        if message is not None:
            self._answer.set_result(message)
        elif self._reader.started:
            self._fail(CallFailed("connection closed in mid-answer"))
        else:
            self._fail(_Lost("connection reset"))

    def _fail(self, error: CallFailed) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.close()

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def send(self, data: bytes, method: str) -> Message:
        if self.transport is None:
            raise _Lost("connection reset")
        self._answer = asyncio.get_running_loop().create_future()
        self._reader.expect(method)
        self.transport.write(data)
        try:
            message = await self._answer
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._answer = None
        self.used = True
        if not message.keep_alive:
            self.close()
        return message


class Client:
    """``proxy``: "host:port" of the sidecar, or None; ``hosts``: "name:port" to "host:port" without one.
    Connections come from the address ``source``, the replica's own.
    """

    def __init__(self, proxy: str | None, hosts: Mapping[str, str], *, source: str) -> None:
        self._proxy = split_address(proxy) if proxy else None
        self._hosts = {name: split_address(address) for name, address in hosts.items()}
        self._source = (source, 0)
        self._idle: dict[tuple[str, int], list[_Channel]] = {}
        self._grpc: dict[tuple[str, int], Channel] = {}

    async def send(self, call: Call, headers: Mapping[str, str]) -> Message:
        """The whole answer. Raises CallFailed."""
        address = self._address(call)
        if call.grpc:
            return await self._call(call, address, headers)
        target = f"http://{call.authority}{call.path}" if self._proxy else call.path
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        length = "" if call.method in ("GET", "HEAD", "OPTIONS", "DELETE") else "content-length: 0\r\n"
        head = f"{call.method} {target} HTTP/1.1\r\nhost: {call.authority}\r\n{lines}{length}\r\n"
        data = head.encode("latin-1")
        try:
            async with asyncio.timeout(call.timeout):
                channel = await self._channel(address)
                reused = channel.used
                try:
                    answer = await channel.send(data, call.method)
                except _Lost:
                    # A kept connection may have been closed as we wrote: once more, on a new one (RFC 9110, 9.2.2).
                    if not reused or call.method not in _REPEATABLE:
                        raise
                    channel = await self._connect(address)
                    answer = await channel.send(data, call.method)
        except TimeoutError:
            raise CallFailed(f"no answer within {call.timeout:g} s") from None
        except OSError as error:
            raise CallFailed(f"cannot connect: {error.strerror or error}") from error
        idle = self._idle.setdefault(address, [])
        if channel.open and len(idle) < MAX_IDLE:
            idle.append(channel)
        else:
            channel.close()
        return answer

    async def _call(self, call: Call, address: tuple[str, int], headers: Mapping[str, str]) -> Message:
        try:
            async with asyncio.timeout(call.timeout):
                channel = self._grpc.get(address)
                if channel is None or not channel.free:
                    _, channel = await asyncio.get_running_loop().create_connection(
                        lambda: Channel(CallFailed), *address, local_addr=self._source
                    )
                    self._grpc[address] = channel
                answer = await channel.call(call.authority, call.path, headers)
        except TimeoutError:
            raise CallFailed(f"no answer within {call.timeout:g} s") from None
        except OSError as error:
            raise CallFailed(f"cannot connect: {error.strerror or error}") from error
        if answer.status:
            name = GRPC_STATUSES[answer.status] if answer.status < len(GRPC_STATUSES) else str(answer.status)
            raise CallFailed(f"grpc-status {name}" + (f": {answer.why}" if answer.why else ""))
        return Message(status=answer.http, body=bytes(answer.body))

    def _address(self, call: Call) -> tuple[str, int]:
        if self._proxy:
            return self._proxy
        known = self._hosts.get(f"{call.host}:{call.port}")
        if known:
            return known
        try:
            loopback = call.host == "localhost" or ipaddress.ip_address(call.host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise CallFailed(f"no such host in this mesh: {call.host}:{call.port}")
        return (call.host, call.port)

    async def _channel(self, address: tuple[str, int]) -> _Channel:
        idle = self._idle.get(address)
        while idle:
            channel = idle.pop()
            if channel.open:
                return channel
        return await self._connect(address)

    async def _connect(self, address: tuple[str, int]) -> _Channel:
        _, channel = await asyncio.get_running_loop().create_connection(_Channel, *address, local_addr=self._source)
        return channel
