"""Counts a proxy's log: reads what is new in it and adds it up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from meshchaos.mesh.local.metrics.families import Series, rendered
from meshchaos.mesh.local.metrics.labels import Labeller, Labels, is_tcp
from meshchaos.mesh.local.translate.access_log import CONNECTED
from meshchaos.mesh.local.translate.clusters import TUNNEL_CLUSTER
from meshchaos.mesh.log_format import end_of

_BLOCK: Final = 128 * 1024
"""Bytes between two turns of the event loop: some 200 lines, 2 ms."""


class LogCounts:
    """What a proxy did since this was made, by its ``access.log`` and ``connected.log`` in ``folder``."""

    def __init__(self, folder: Path, labeller: Labeller) -> None:
        self._labeller = labeller
        self._ended = _Tail(folder / "access.log")
        self._begun = _Tail(folder / CONNECTED)
        self._by_key: dict[tuple[Any, ...], Series] = {}
        self._series: dict[Labels, Series] = {}
        self._open: set[int] = set()
        self._closed: set[int] = set()
        """TCP connections whose beginning, whose end was not read yet."""

    async def read(self) -> None:
        """Takes in what the proxy has written by now. Raises OSError, and ValueError for a line that Envoy did not
        write whole; nothing behind it is counted, now or later.
        """
        await self._begun.read(self._begin)
        await self._ended.read(self._end)

    def text(self) -> str:
        return rendered(list(self._series.values()))

    def _begin(self, line: Mapping[str, Any]) -> None:
        number = line.get("connection") or 0
        if number in self._closed:
            self._closed.discard(number)  # its end was read first, and counted as its beginning, too
            return
        self._open.add(number)
        self._of(line).count("istio_tcp_connections_opened_total")

    def _end(self, line: Mapping[str, Any]) -> None:
        if line.get("cluster") == TUNNEL_CLUSTER:
            return  # what went through the tunnel has lines of its own
        series = self._of(line)
        received = line.get("wire_received") or 0
        sent = line.get("wire_sent") or 0
        if is_tcp(line):
            number = line.get("connection") or 0
            if number in self._open:
                self._open.discard(number)
            else:
                series.count("istio_tcp_connections_opened_total")
                if not line.get("method"):
                    self._closed.add(number)
            series.count("istio_tcp_connections_closed_total")
            series.count("istio_tcp_received_bytes_total", received)
            series.count("istio_tcp_sent_bytes_total", sent)
            return
        series.count("istio_requests_total")
        series.observe("istio_request_duration_milliseconds", line.get("ms") or 0)
        series.observe("istio_request_bytes", received)
        series.observe("istio_response_bytes", sent)

    def _of(self, line: Mapping[str, Any]) -> Series:
        key = self._labeller.key(line)
        found = self._by_key.get(key)
        if found is None:
            labels = self._labeller.labels(line)
            found = self._by_key[key] = self._series.setdefault(labels, Series(labels))
        return found


class _Tail:
    """A log that grows, from its present end on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = end_of(path)

    async def read(self, take: Callable[[Mapping[str, Any]], None]) -> None:
        while True:
            try:
                with self._path.open("rb") as file:
                    file.seek(self._at)
                    block = file.read(_BLOCK)
            except FileNotFoundError:
                return
            end = block.rfind(b"\n") + 1
            if not end:
                return
            lines = [json.loads(line) for line in block[:end].splitlines()]  # all of them, or none is counted
            self._at += end
            for line in lines:
                take(line)
            await asyncio.sleep(0)
