"""Requests of one window, reduced to good and bad, in all and by the second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from meshchaos.errors import UserError
from meshchaos.history.samples import Samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Statuses = tuple[tuple[int, int], ...]

GOOD: Statuses = ((200, 399),)
"""HTTP statuses of a good response, inclusive ranges (semantics: 200-399, and grpc-status 0 where there is one)."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What makes a request bad: no good status, or, with ``limit`` (s), slower than that. Of all loads
    and requests, or of those named.
    """

    good: Statuses = GOOD
    limit: float | None = None
    load: str | None = None
    request: str | None = None

    def select(self, samples: Sequence[Samples]) -> list[Samples]:
        """Those of the load and request meant. Raises UserError when the load sent no such request."""
        chosen = [some for some in samples if self.load in (None, some.load)]
        if self.request is not None:
            chosen = [some.of_request(self.request) for some in chosen if self.request in some.requests]
        if not chosen:
            msg = f"no load sends {self.request or self.load or 'anything'}"
            raise UserError(msg)
        return chosen

    def bad(self, samples: Samples) -> NDArray[np.bool_]:
        """Which rows are bad. The limit is compared in the samples' own precision (float32), so that a
        request of exactly the limit is within it.
        """
        import numpy as np

        bad: NDArray[np.bool_] = ~samples.good(self.good)
        if self.limit is not None:
            bad |= samples.rows["latency"] > np.float32(self.limit)
        return bad


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one window. ``bad`` of ``n`` with the ``dropped`` among them: arrivals at the in-flight
    cap, which are bad for PASS and left out for FAIL. The ``by_second`` arrays (int64, one entry a
    second from ``start``) add up to them.
    """

    start: float
    end: float
    n: int
    bad: int
    dropped: int
    n_by_second: NDArray[np.int64]
    bad_by_second: NDArray[np.int64]
    dropped_by_second: NDArray[np.int64]

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.start)

    @property
    def sent(self) -> int:
        """Without the dropped arrivals."""
        return self.n - self.dropped

    @property
    def sent_bad(self) -> int:
        return self.bad - self.dropped

    @property
    def rate(self) -> float:
        """Arrivals per second; 0 for an empty window."""
        return self.n / self.seconds if self.seconds > 0 else 0.0


@dataclass(slots=True)
class _Seen:
    """How much of one load's rows is counted: their number, and the first and the last of them, byte for
    byte, to know them again by.
    """

    rows: int
    ends: tuple[bytes, bytes]


@dataclass
class Counter:
    """Counts one window whose samples grow at the end, each row once, so that a look costs what came
    since the last one. A window that did not grow from the last one is counted afresh.
    """

    measure: Measure
    _start: float = 0.0
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _counts: Any = None

    def count(self, samples: Sequence[Samples], start: float, end: float) -> Tally:
        """``samples`` of all loads, all phases; rows of [start, end) are counted."""
        import numpy as np

        windows = [some.between(start, end) for some in samples]
        if self._counts is None or start != self._start or not all(self._grew(some) for some in windows):
            self._start, self._seen = start, {}
            self._counts = np.zeros((3, 0), dtype=np.int64)
        fresh = [self._unseen(some) for some in windows]
        for some in windows:
            if len(some):
                self._seen[some.load] = _Seen(len(some), (some.rows[0].tobytes(), some.rows[-1].tobytes()))
        for some in self.measure.select(fresh):
            self._add(some)
        return self._tally(end)

    def _unseen(self, window: Samples) -> Samples:
        seen = self._seen.get(window.load)
        return window if seen is None else replace(window, rows=window.rows[seen.rows :])

    def _grew(self, window: Samples) -> bool:
        seen = self._seen.get(window.load)
        if seen is None:
            return True
        if len(window) < seen.rows:
            return False
        return seen.ends == (window.rows[0].tobytes(), window.rows[seen.rows - 1].tobytes())

    def _add(self, samples: Samples) -> None:
        import numpy as np

        if not len(samples):
            return
        second = (samples.rows["start"] - self._start).astype(np.int64)
        length = max(int(second.max()) + 1, self._counts.shape[1])
        bad, dropped = self.measure.bad(samples), samples.dropped()
        grown = np.zeros((3, length), dtype=np.int64)
        grown[:, : self._counts.shape[1]] = self._counts
        grown[0] += np.bincount(second, minlength=length)
        grown[1] += np.bincount(second[bad], minlength=length)
        grown[2] += np.bincount(second[dropped], minlength=length)
        self._counts = grown

    def _tally(self, end: float) -> Tally:
        totals = self._counts.sum(axis=1)
        return Tally(
            start=self._start,
            end=end,
            n=int(totals[0]),
            bad=int(totals[1]),
            dropped=int(totals[2]),
            n_by_second=self._counts[0],
            bad_by_second=self._counts[1],
            dropped_by_second=self._counts[2],
        )


def tally(measure: Measure, samples: Sequence[Samples], start: float, end: float) -> Tally:
    """Counts of the requests whose intended start lies in [start, end)."""
    return Counter(measure).count(samples, start, end)


def good_latencies(measure: Measure, samples: Sequence[Samples], start: float, end: float) -> NDArray[Any]:
    """Latencies (s) of the good responses of a window, any order."""
    import numpy as np

    chosen = measure.select([some.between(start, end) for some in samples])
    return np.concatenate([some.rows["latency"][some.good(measure.good)] for some in chosen])
