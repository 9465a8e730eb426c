"""``edges.jsonl`` in a run's folder: the lines of the edges that were watched, written as they are read.

A JSON array a line: ``["line", edges sent on, edges received on, proxy, fields of ProxyLogLine...]`` or
``["stat", edge, at, proxy, name, value]``; edges by their position among the records. A crash may cut the last line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, Final

from meshchaos.errors import EvidenceError
from meshchaos.history.asks import EdgeAsk
from meshchaos.history.edges import Edge, EdgeLine, EdgeRecord, StatPoint
from meshchaos.mesh.seam import ProxyLogLine

FILE: Final = "edges.jsonl"

_NAMES: Final = tuple(field.name for field in fields(ProxyLogLine))
_values = attrgetter(*_NAMES)


class EdgeFile:
    """Appends. Raises EvidenceError where the disk does not take it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._file: IO[str] | None = None

    def line(self, sent: Sequence[int], received: Sequence[int], proxy: str, line: ProxyLogLine) -> None:
        """One line of a log, for the edges (by position) whose client or server wrote it."""
        self._write(["line", sent, received, proxy, *_values(line)])

    def stat(self, edge: int, point: StatPoint) -> None:
        self._write(["stat", edge, point.at, point.proxy, point.name, point.value])

    def flush(self) -> None:
        """What was written is in the file when this returns."""
        try:
            if self._file is not None:
                self._file.flush()
        except OSError as error:
            raise EvidenceError(f"cannot write {self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Idempotent."""
        try:
            if self._file is not None:
                self._file.close()
        except OSError as error:
            raise EvidenceError(f"cannot write {self._path}: {error.strerror}") from error
        finally:
            self._file = None

    def _write(self, row: list[Any]) -> None:
        try:
            if self._file is None:
                self._file = self._path.open("a", encoding="utf-8")
            self._file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
        except OSError as error:
            raise EvidenceError(f"cannot write {self._path}: {error.strerror}") from error


def read_edges(folder: Path, records: Sequence[EdgeRecord]) -> dict[EdgeAsk, Edge]:
    """The edges of a run; ``records`` in the order in which they were watched. Raises EvidenceError."""
    sent: list[list[EdgeLine]] = [[] for _ in records]
    received: list[list[EdgeLine]] = [[] for _ in records]
    stats: list[list[StatPoint]] = [[] for _ in records]
    path = folder / FILE
    try:
        text = path.read_text("utf-8") if path.exists() else ""
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror}") from error
    rows = text.split("\n")
    for number, row in enumerate(rows[:-1], start=1):  # what follows the last newline was cut
        try:
            kind, *rest = json.loads(row)
            if kind == "stat":
                stats[rest[0]].append(StatPoint(*rest[1:]))
                continue
            line = EdgeLine(rest[2], _line(rest[3:]))
            for position in rest[0]:
                sent[position].append(line)
            for position in rest[1]:
                received[position].append(line)
        except (ValueError, TypeError, IndexError) as error:
            raise EvidenceError(f"{path}:{number}: not as a run writes it ({error})") from error
    return {
        record.ask: Edge(record, _sorted(sent[at]), _sorted(received[at]), tuple(stats[at]))
        for at, record in enumerate(records)
    }


def _sorted(lines: list[EdgeLine]) -> tuple[EdgeLine, ...]:
    return tuple(sorted(lines, key=lambda one: one.line.start))


def _line(values: Sequence[Any]) -> ProxyLogLine:
    found = dict(zip(_NAMES, values, strict=True))
    return ProxyLogLine(**{**found, "flags": tuple(found["flags"]), "hosts_attempted": tuple(found["hosts_attempted"])})
