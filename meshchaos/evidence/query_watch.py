"""Puts to the mesh's Prometheus what checks ask about the phases, once its answers can be whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from meshchaos.errors import EvidenceError
from meshchaos.evidence.prometheus import Prometheus
from meshchaos.history.asks import QueryAsk
from meshchaos.history.queries import Answer
from meshchaos.history.records import PhaseRecord


class QueryWatch:
    """Implements ``meshchaos.run.rooms.Observer`` and ``Patient``. ``warn`` is told at the start of a Prometheus that
    does not answer: the run will end without a verdict on what asks it.
    """

    def __init__(
        self,
        prometheus: Prometheus,
        asks: Sequence[QueryAsk],
        phases: Callable[[], Sequence[PhaseRecord]],
        now: Callable[[], float],
        *,
        answered: Callable[[Answer], None],
        warn: Callable[[str], None],
    ) -> None:
        self._prometheus = prometheus
        self._asks = tuple(asks)
        self._phases = phases
        self._now = now
        self._answered = answered
        self._warn = warn

    def start(self) -> None:
        try:
            self._prometheus.instant("1", self._now())
        except EvidenceError as error:
            self._warn(f"expectations that ask Prometheus will be INVALID: {error}")

    def collect(self) -> None:
        """Nothing: Prometheus keeps what it has."""

    def due(self) -> float:
        return max((phase.end + ask.settle for ask, phase in self._answerable()), default=0.0)

    def finish(self) -> None:
        for ask, phase in self._answerable():
            self._answered(self._answer(ask, phase))

    def close(self) -> None:
        self._prometheus.close()

    def _answerable(self) -> list[tuple[QueryAsk, PhaseRecord]]:
        """Asks about phases that are evidence."""
        by_name = {phase.name: phase for phase in self._phases() if not phase.broken_off}
        return [(ask, by_name[ask.phase]) for ask in self._asks if ask.phase in by_name]

    def _answer(self, ask: QueryAsk, phase: PhaseRecord) -> Answer:
        at = {"start": phase.start, "end": phase.end, "settled": phase.end + ask.settle}[ask.at]
        answer = Answer(ask, ask.query.replace("$phase", _duration(at - phase.start)), at)
        try:
            answer = replace(answer, series=self._prometheus.instant(answer.query, at))
            if ask.alert:
                answer = replace(answer, rules=self._prometheus.alert_rules(ask.alert))
        except EvidenceError as error:
            answer = replace(answer, problem=str(error))
        return answer


def _duration(seconds: float) -> str:
    """As PromQL writes it; never 0, which it refuses."""
    return f"{max(1, round(seconds * 1000))}ms"
