"""Every request of a load, as rows of fixed size: the generator appends them to a file, the runner
reads them as they come, and the verdict is drawn from them.

One file a load, ``samples-<load>.bin`` in the run's folder: a header line of JSON ending in a
newline (``{"format": "meshchaos-samples", "version": 1, ...}``), then rows of ``ROW``. The file is
the channel: a slow or dead reader never holds the generator up, and a crash leaves the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROW = [
    ("start", "<f8"),  # intended start, epoch seconds
    ("lag", "<f4"),  # actual minus intended start, s
    ("latency", "<f4"),  # end minus intended start, s; of a request without an answer, until it was given up
    ("seq", "<u4"),  # number of the arrival in its load, from 0; the request id is made from it
    ("status", "<u2"),  # HTTP status; 0: no answer
    ("request", "<u2"),  # index into Load.requests
    ("outcome", "u1"),  # Outcome
    ("kind", "u1"),  # RowKind
    ("grpc", "<i2"),  # grpc-status, -1: none
    ("bytes", "<u4"),  # of the body
]
"""numpy dtype of a row, 32 bytes. struct format: ``<dffIHHBBhI``."""

STRUCT = "<dffIHHBBhI"


GRPC = 1000
"""In ranges of statuses, gRPC's follow HTTP's: 1000 and the code."""


def split_statuses(statuses: tuple[tuple[int, int], ...]) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """HTTP's ranges (200..399 where there are none), and the codes of gRPC (0 where there are none)."""
    http = tuple(one for one in statuses if one[0] < GRPC)
    return http or ((200, 399),), tuple(low - GRPC for low, _ in statuses if low >= GRPC) or (0,)


class RowKind(IntEnum):
    """SAMPLE: one request. BEAT: the generator's pulse, at least every 100 ms while it runs: ``start`` is
    now; ``lag`` the age in s of the oldest request in flight (0: none); ``latency`` the scheduler's
    present lag in s; ``seq`` arrivals due so far; ``bytes`` requests in flight; ``request`` the share of a core
    used since the last beat, in thousandths; ``status`` 1 in the last beat of all, when arrivals have ended and
    every request was resolved.
    """

    SAMPLE = 0
    BEAT = 1


class Outcome(IntEnum):
    """How a request ended. Only ANSWERED has a status. DROPPED was never sent: the in-flight cap was
    reached, which is the target's fault (bad for PASS, left out for FAIL).
    """

    ANSWERED = 0
    TIMEOUT = 1
    RESET = 2
    CONNECT = 3
    DROPPED = 4
    OTHER = 5


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of one load: a numpy array of dtype ``ROW``, SAMPLE rows only, sorted by ``start``.

    ``requests`` are the names that ``request`` indexes. ``good`` statuses are 200..399 unless the load
    says otherwise.
    """

    load: str
    rows: NDArray[Any]
    requests: tuple[str, ...]
    timeout: float
    closed: bool = False

    def between(self, start: float, end: float) -> Samples:
        """Those whose intended start lies in [start, end)."""
        import numpy as np

        lo, hi = np.searchsorted(self.rows["start"], [start, end], side="left")
        return Samples(self.load, self.rows[lo:hi], self.requests, self.timeout, self.closed)

    def of_request(self, name: str | None) -> Samples:
        """Those of one named request; all for None."""
        if name is None:
            return self
        index = self.requests.index(name)
        return Samples(self.load, self.rows[self.rows["request"] == index], self.requests, self.timeout, self.closed)

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def good(self, statuses: tuple[tuple[int, int], ...] = ((200, 399),)) -> NDArray[np.bool_]:
        """Which rows are good responses: answered, status in one of the inclusive ranges, and
        grpc-status absent or 0, or one of those that are given (``GRPC``).
        """
        import numpy as np

        rows = self.rows
        status = rows["status"]
        fits = np.zeros(status.shape, dtype=bool)
        http, codes = split_statuses(statuses)
        for low, high in http:
            fits |= (status >= low) & (status <= high)
        good: NDArray[np.bool_] = fits & (rows["outcome"] == Outcome.ANSWERED) & np.isin(rows["grpc"], (-1, *codes))
        return good

    def dropped(self) -> NDArray[np.bool_]:
        """Which rows were dropped at the in-flight cap."""
        dropped: NDArray[np.bool_] = self.rows["outcome"] == Outcome.DROPPED
        return dropped


def request_id(run_id: str, load_index: int, seq: int) -> str:
    """The x-request-id of an arrival, a version-4-shaped UUID: run id (8 hex digits), load, sequence number.

    Envoy may rewrite the 13th nibble (its trace reason).
    """
    digits = f"{int(run_id, 16):08x}{load_index:04x}4{0:03x}8{0:03x}{seq:012x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def of_run(run_id: str, seen: str) -> bool:
    """Whether an x-request-id found in a log was made by this run's load."""
    return seen[:8] == f"{int(run_id, 16):08x}" and seen[19:20] == "8"


def sample_file(folder: Path, load: str) -> Path:
    return folder / f"samples-{load}.bin"
