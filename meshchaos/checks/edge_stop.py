"""``stopIf`` on an edge: by its clients' proxies, as far as nothing is open any more.

Slower than a load's own samples by what the slowest requests take, and blind for a hang until that ends: the loads'
silence (``stop``) goes on being looked at.
"""

from __future__ import annotations

from meshchaos.checks.kind import Finding
from meshchaos.checks.stop import WINDOW, below
from meshchaos.checks.tally import GOOD, Counter, Measure, tally
from meshchaos.experiment.model import StopIf
from meshchaos.history.asks import EdgeAsk
from meshchaos.history.edges import SoFar


def stop_edge(rule: StopIf | None) -> EdgeAsk | None:
    """The edge that a ``stopIf`` is about; None: loads, or there is none."""
    return None if rule is None or rule.to is None else EdgeAsk(rule.to, rule.sources)


class EdgeStopRule:
    """Whether to stop, look by look. ``since``: when the fault went live, epoch s."""

    def __init__(self, rule: StopIf, since: float) -> None:
        self._rule = rule
        self._since = since
        self._counter = Counter(Measure(GOOD))

    def look(self, edge: SoFar | None) -> Finding | None:
        """FAIL where success is below the limit for sure, since the fault or in the last 10 s of what is known."""
        if edge is None or edge.until <= self._since:
            return None
        samples = [edge.samples]
        recent = max(self._since, edge.until - WINDOW)
        for counts, since in (
            (self._counter.count(samples, self._since, edge.until), "since the fault"),
            (tally(self._counter.measure, samples, recent, edge.until), "in the last 10 s that are known"),
        ):
            found = below(self._rule, counts.bad, counts.n, since)
            if found is not None:
                return found
        return None
