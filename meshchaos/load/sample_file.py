"""Sample files from the reader's side: made with their header, then read as they grow, in time that depends on
the new rows only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from meshchaos.errors import EvidenceError, LoadError
from meshchaos.history.samples import ROW, RowKind, Samples
from meshchaos.load.driver import LoadPlan, Pulse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT: Final = "meshchaos-samples"
VERSION: Final = 1
_ROW_BYTES: Final = 32
_MARGIN: Final = 0.001
"""Seconds by which ``Pulse.resolved`` stays on the safe side of the age's four bytes."""


def create(plan: LoadPlan) -> None:
    """The file with its header, which holds names and numbers only. Raises LoadError."""
    header = {
        "format": FORMAT,
        "version": VERSION,
        "load": plan.name,
        "index": plan.index,
        "runId": plan.run_id,
        "requests": [request.name for request in plan.requests] if plan.locustfile is None else [],
        "timeout": plan.timeout,
        "rate": plan.rate,
        "closed": plan.locustfile is not None,
    }
    try:
        with plan.samples.open("xb") as file:
            file.write(json.dumps(header).encode() + b"\n")
        if plan.locustfile is not None:
            names_file(plan.samples).touch()
    except OSError as error:
        raise LoadError(f"load {plan.name}: cannot write {plan.samples}: {error.strerror}") from error


def names_file(samples: Path) -> Path:
    """Where a closed model notes its requests' names as they turn up, one JSON string a line."""
    return samples.with_suffix(".names")


class SampleFile:
    """A sample file, read from where the last ``read`` ended. A torn last row waits for its rest."""

    def __init__(self, path: Path) -> None:
        """Raises EvidenceError where it is none."""
        import numpy as np

        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise EvidenceError(f"cannot read {path}: {error.strerror}") from error
        try:
            header = json.loads(self._file.readline(1 << 20))
            known = header["format"] == FORMAT and header["version"] == VERSION
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            self._file.close()
            raise EvidenceError(f"{path} is no sample file of this version")
        self.load = str(header["load"])
        self.timeout = float(header["timeout"])
        self.closed = bool(header["closed"])
        self._requests = tuple(str(name) for name in header["requests"])
        self._dtype = np.dtype(ROW)
        self._torn = b""
        self._rows: NDArray[Any] = np.empty(4096, dtype=self._dtype)
        self._count = 0
        self._beats: list[NDArray[Any]] = []
        self.pulse: Pulse | None = None

    def read(self) -> int:
        """Takes in what has come; how many rows that were, beats included. Nothing once closed."""
        import numpy as np

        if self._file.closed:
            return 0
        data = self._torn + self._file.read()
        whole = len(data) - len(data) % _ROW_BYTES
        self._torn = data[whole:]
        if not whole:
            return 0
        rows = np.frombuffer(data[:whole], dtype=self._dtype)
        is_beat = rows["kind"] == RowKind.BEAT
        beats = rows[is_beat]
        if len(beats):
            self._beats.append(beats)
            self.pulse = _pulse(beats[-1])
        self._take(rows[~is_beat])
        return len(rows)

    def _take(self, new: NDArray[Any]) -> None:
        """Sorts rows in: they come in order of their ends, so only the tail moves."""
        import numpy as np

        if not len(new):
            return
        old = self._rows[: self._count]
        keep = int(np.searchsorted(old["start"], new["start"].min(), side="left"))
        tail = np.concatenate((old[keep:], new))
        tail = tail[np.argsort(tail["start"], kind="stable")]
        count = keep + len(tail)
        if count > len(self._rows):
            grown = np.empty(max(count, 2 * len(self._rows)), dtype=self._dtype)
            grown[:keep] = old[:keep]
            self._rows = grown
        self._rows[keep:count] = tail
        self._count = count

    def samples(self) -> Samples:
        """Every sample read so far; a view that the next ``read`` may change."""
        return Samples(self.load, self._rows[: self._count], self._names(), self.timeout, self.closed)

    def beats(self) -> NDArray[np.void]:
        """Every beat read so far."""
        import numpy as np

        if len(self._beats) > 1:
            self._beats = [np.concatenate(self._beats)]
        return self._beats[0] if self._beats else np.empty(0, dtype=self._dtype)

    def _names(self) -> tuple[str, ...]:
        if not self.closed:
            return self._requests
        text = names_file(self.path).read_text(encoding="utf-8")
        return tuple(json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n"))

    def close(self) -> None:
        """What was read stays."""
        self._file.close()


def _pulse(beat: Any) -> Pulse:
    at = float(beat["start"])
    oldest = float(beat["lag"])
    finished = int(beat["status"]) == 1
    return Pulse(
        at=at,
        in_flight=int(beat["bytes"]),
        oldest=oldest,
        resolved=float("inf") if finished else at - oldest - _MARGIN,
        due=int(beat["seq"]),
        finished=finished,
    )
