"""``prometheus: {query, atMost or atLeast}``: a query of the user's own stays within its limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from meshchaos.checks.asking import answered, bare, lived, no_scope, over_phases
from meshchaos.checks.kind import CheckContext, Finding, Verdict
from meshchaos.checks.naming import full_name, phases_of
from meshchaos.experiment.fields import About, Duration, Text, spec
from meshchaos.experiment.model import Expectation, PhaseName, SpecKind, Where
from meshchaos.history.asks import QueryAsk
from meshchaos.history.queries import Answer, Series
from meshchaos.history.records import History

SETTLE = 30.0
SHOWN = 5
"""Series in the evidence."""
_LONGEST = 60


@spec
class PrometheusSpec:
    query: Annotated[Text, About("PromQL; $phase is the phase's duration: rate(x[$phase])")]
    at_most: Annotated[float | None, About("no series may be above this at the phase's end")] = None
    at_least: Annotated[float | None, About("no series may be below this at the phase's end")] = None
    settle: Annotated[Duration, About("how long after the phase the query is put, so that all is scraped")] = SETTLE

    def check(self) -> None:
        if self.at_most is None and self.at_least is None:
            raise ValueError("needs `atMost` or `atLeast`: what the query's value may be")
        if self.at_most is not None and self.at_least is not None and self.at_least > self.at_most:
            raise ValueError("atLeast is above atMost, so that nothing could hold")


@dataclass(frozen=True)
class PrometheusCheck:
    """Every series of the query, about each phase's end, within the limits."""

    name: str
    query: str
    at_most: float | None
    at_least: float | None
    settle: float
    during: tuple[PhaseName, ...]
    where: Where
    kind: str = "prometheus"

    @property
    def asks(self) -> tuple[QueryAsk, ...]:
        return tuple(QueryAsk(self.query, phase, self.settle) for phase in self.during)

    def judge(self, history: History, *, alpha: float) -> Finding:
        """By the numbers as they are; nothing is known of their error."""
        return over_phases(self, [self._judged(ask, history) for ask in self.asks])

    def _judged(self, ask: QueryAsk, history: History) -> Finding:
        phase = lived(self, ask.phase, history)
        if isinstance(phase, Finding):
            return phase
        answer = answered(self, ask, history)
        if isinstance(answer, Finding):
            return answer
        lines = (f"{answer.query} {_when(answer)}", *(f"{one}: {_text(one)}" for one in answer.series[:SHOWN]))
        verdict, reason, chosen = self._decided(answer)
        found = bare(self, verdict, reason, during=ask.phase)
        limit = self.at_most if self.at_most is not None else self.at_least
        estimate = None if chosen is None else _number(chosen)
        known = estimate is not None and math.isfinite(estimate)
        return replace(
            found, threshold=limit, estimate=estimate if known else None, n=len(answer.series), evidence=lines
        )

    def _decided(self, answer: Answer) -> tuple[Verdict, str, Series | None]:
        """With the series that decides."""
        if not answer.series:
            return Verdict.INVALID, "the query found no series, so nothing was looked at", None
        for one in answer.series:
            if len(one.points) != 1:
                return Verdict.INVALID, "the query gives a range, not a number: wrap it, as in rate(x[$phase])", one
            if math.isnan(_number(one)):
                return Verdict.INVALID, f"{one} is not a number (NaN)", one
        broken = [one for one in answer.series if not self._holds(_number(one))]
        if broken:
            first = max(broken, key=lambda one: self._excess(_number(one)))
            of = f"; {len(broken)} of {len(answer.series)} series do not hold" if len(answer.series) > 1 else ""
            text = f"{_text(first)} for {first}, {self._asked()}{of}"
            return Verdict.FAIL, text, first
        endless = next((one for one in answer.series if math.isinf(_number(one))), None)
        if endless is not None:
            return Verdict.INVALID, f"{_text(endless)} for {endless}: something was divided by 0", endless
        nearest = max(answer.series, key=lambda one: self._excess(_number(one)))
        return Verdict.PASS, f"{_text(nearest)} for {nearest}, {self._asked()}", nearest

    def _holds(self, value: float) -> bool:
        if self.at_most is not None and value > self.at_most:
            return False
        return self.at_least is None or value >= self.at_least

    def _excess(self, value: float) -> float:
        """How far beyond the limits, below 0 within them."""
        over = -math.inf if self.at_most is None else value - self.at_most
        under = -math.inf if self.at_least is None else self.at_least - value
        return max(over, under)

    def _asked(self) -> str:
        limits = [f"at least {self.at_least:g}"] if self.at_least is not None else []
        limits += [f"at most {self.at_most:g}"] if self.at_most is not None else []
        return f"{' and '.join(limits)} asked"


class PrometheusKind:
    kind = SpecKind("prometheus", PrometheusSpec, summary="a query to the mesh's Prometheus stays within its limits")

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[PrometheusCheck]:
        wanted: PrometheusSpec = expectation.spec
        no_scope(expectation)
        return (
            PrometheusCheck(
                name=full_name(f"prometheus {_short(wanted.query)}", expectation, context),
                query=wanted.query,
                at_most=wanted.at_most,
                at_least=wanted.at_least,
                settle=wanted.settle,
                during=phases_of(expectation, context.experiment),
                where=expectation.where,
            ),
        )


PROMETHEUS = PrometheusKind()


def _short(query: str) -> str:
    line = " ".join(query.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _when(answer: Answer) -> str:
    return f"at {answer.at:.3f} (the phase's {answer.ask.at})"


def _number(series: Series) -> float:
    return float(series.points[-1].value)


def _text(series: Series) -> str:
    return f"{_number(series):g}"
