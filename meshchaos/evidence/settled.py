"""Up to when all requests that a proxy has sent are over and written down, while more go on.

A line is there when its request is over, so the log of the last seconds lacks the slow ones: a share taken from it
would be of quick answers alone. The proxy's own count of requests says how many have begun by a moment; once so many
lines of requests from before that moment are there, nothing of that time is open.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from meshchaos.history.edges import EdgeLine
from meshchaos.mesh.seam import ProxyLogLine


@dataclass(slots=True)
class Settled:
    """One proxy's outbound side, from ``since`` on, when it had had ``rest`` requests. ``total`` asks it how many it
    has had by now; None: it does not tell, and nothing is ever settled. Times are epoch seconds.
    """

    total: Callable[[], int | None]
    since: float
    rest: int | None
    """Of the proxy's count, what no line stands for: the least that was ever seen. While a request is open there is one
    more.
    """
    until: float = float("-inf")
    """Every request that began before is over and has its line."""
    clock: Callable[[], float] = time.time
    _counted: int = 0
    _later: list[float] = field(default_factory=list)
    _marks: list[tuple[float, int]] = field(default_factory=list)

    def line(self, line: ProxyLogLine) -> None:
        """One line of the log. TCP connections and tunnels are not among the requests that are counted."""
        if line.method in ("", "CONNECT") or line.start < self.since:
            return
        if line.start < self.until:
            self._counted += 1
        else:
            self._later.append(line.start)

    def look(self) -> None:
        """After lines were read: which of the moments remembered are settled now; and remembers this one. A request
        that begins while the proxy is being asked is in its count and not before the moment, which then settles
        nothing; the next one will.
        """
        before, total = self.clock(), self.total()
        if total is None or self.rest is None:
            return
        self._marks.append((before, total))
        for at, had in reversed(self._marks):
            counted = self._counted + sum(start < at for start in self._later)
            if had - counted <= self.rest:
                self.rest, self._counted, self.until = had - counted, counted, at
                self._later = [start for start in self._later if start >= at]
                self._marks = [mark for mark in self._marks if mark[0] > at]
                return


@dataclass(slots=True)
class Pending:
    """The clients' lines of one edge that wait until all of their time are there."""

    until: float = float("-inf")
    _lines: list[EdgeLine] = field(default_factory=list)

    def add(self, line: EdgeLine) -> None:
        self._lines.append(line)

    def take(self, untils: Iterable[float]) -> tuple[EdgeLine, ...]:
        """Those that came to be settled since the last call, by their starts; ``untils``: of each client's proxy."""
        since, self.until = self.until, max(self.until, min(untils, default=self.until))
        ready = [one for one in self._lines if since <= one.line.start < self.until]
        self._lines = [one for one in self._lines if one.line.start >= self.until]
        return tuple(sorted(ready, key=lambda one: one.line.start))
