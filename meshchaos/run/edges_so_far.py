"""The samples of edges as they come to be known while a run lasts, for looks on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from meshchaos.checks.edge import samples_of
from meshchaos.checks.edge_stop import stop_edge
from meshchaos.checks.kind import Check
from meshchaos.checks.rate import RateCheck
from meshchaos.experiment.model import StopIf
from meshchaos.history.asks import EdgeAsk
from meshchaos.history.edges import SoFar
from meshchaos.run.rooms import Telling


def live_edges(checks: Sequence[Check], stop_if: StopIf | None = None) -> frozenset[EdgeAsk]:
    """Those that are looked at before the end: the steady state's, an early verdict's, and that of ``stopIf``."""
    edges = {check.edge for check in checks if isinstance(check, RateCheck)} | {stop_edge(stop_if)}
    return frozenset(edge for edge in edges if edge is not None)


@dataclass
class EdgesSoFar:
    _known: dict[EdgeAsk, SoFar] = field(default_factory=dict)

    def take(self, observers: Iterable[object]) -> None:
        """What those that tell have learnt since the last call."""
        import numpy as np

        for observer in observers:
            if not isinstance(observer, Telling):
                continue
            for ask, told in observer.told().items():
                fresh = samples_of(ask, told.lines, timeout=0.0)
                before = self._known.get(ask)
                if before is not None:
                    fresh = replace(fresh, rows=np.concatenate((before.samples.rows, fresh.rows)))
                self._known[ask] = SoFar(fresh, told.until, told.losses)

    def known(self) -> Mapping[EdgeAsk, SoFar]:
        return dict(self._known)

    def until(self, asks: Iterable[EdgeAsk]) -> float:
        """Up to when all of them are known (epoch s); infinity for none."""
        return min(
            (self._known[ask].until if ask in self._known else float("-inf") for ask in asks), default=float("inf")
        )
