"""``probes.jsonl`` in a run's folder: every probe as it ended, and what applications counted.

A JSON array a line: ``["probe", matrix, cell, phase, id, start, end, status, failure]`` or ``["hits", matrix, replica,
at, value]``; matrices by their position among the records. No token is ever in it. A crash may cut the last line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

from meshchaos.errors import EvidenceError
from meshchaos.history.asks import ProbeAsk
from meshchaos.history.probes import Hits, Probe, Probed, ProbeRecord

FILE: Final = "probes.jsonl"


class ProbeFile:
    """Appends, a line at once. Raises EvidenceError where the disk does not take it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._file: IO[str] | None = None

    def probe(self, matrix: int, probe: Probe) -> None:
        found = probe
        self._write(
            ["probe", matrix, found.cell, found.phase, found.id, found.start, found.end, found.status, found.failure]
        )

    def hits(self, matrix: int, hits: Hits) -> None:
        self._write(["hits", matrix, hits.replica, hits.at, hits.value])

    def close(self) -> None:
        """Idempotent."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _write(self, row: list[Any]) -> None:
        try:
            if self._file is None:
                self._file = self._path.open("a", encoding="utf-8", buffering=1)
            self._file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
        except OSError as error:
            raise EvidenceError(f"cannot write {self._path}: {error.strerror}") from error


def read_probes(folder: Path, records: Sequence[ProbeRecord]) -> dict[ProbeAsk, Probed]:
    """The matrices of a run; ``records`` in the order in which they were probed. Raises EvidenceError."""
    probes: list[list[Probe]] = [[] for _ in records]
    hits: list[list[Hits]] = [[] for _ in records]
    path = folder / FILE
    try:
        text = path.read_text("utf-8") if path.exists() else ""
    except (OSError, ValueError) as error:
        raise EvidenceError(f"{path} cannot be read: {error}") from error
    for number, row in enumerate(text.split("\n")[:-1], start=1):  # what follows the last newline was cut
        try:
            kind, matrix, *rest = json.loads(row)
            if kind == "hits":
                hits[matrix].append(Hits(*rest))
                continue
            probe = Probe(*rest)
            records[matrix].cells[probe.cell]
            probes[matrix].append(probe)
        except (ValueError, TypeError, IndexError) as error:
            raise EvidenceError(f"{path}:{number}: not as a run writes it ({error})") from error
    return {
        record.ask: Probed(record, tuple(sorted(probes[at], key=lambda one: one.start)), tuple(hits[at]))
        for at, record in enumerate(records)
    }
