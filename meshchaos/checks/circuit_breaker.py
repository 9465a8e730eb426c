"""``circuitBreaker: {from, to, inFlight: 10, admitted: {...}}``: the excess is shed at once, and the rest is served.

Limits of a connectionPool hold for each cluster of each client proxy by itself, and every subset is a cluster. How many
requests one had in flight is rebuilt from the starts and durations in the proxy's log; a polled gauge misses what comes
and goes between two looks. What was never sent to the cluster (shed, an injected abort, no healthy host, no route) was
not in flight there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from meshchaos.checks import words
from meshchaos.checks.edge import EdgeCheck, UntestedError, shown
from meshchaos.checks.kind import Check, CheckContext, Finding, Verdict
from meshchaos.checks.latency import parse_quantile
from meshchaos.checks.measured import quantile_name
from meshchaos.checks.naming import edge_name, mistake, phases_of
from meshchaos.checks.rate import RateCheck
from meshchaos.checks.sentences import THIS_RUN
from meshchaos.checks.success import bad_share
from meshchaos.checks.tally import GOOD, Measure
from meshchaos.experiment.fields import About, OneOrMany, PositiveDuration, Share, Text, spec
from meshchaos.experiment.model import Expectation, SpecKind
from meshchaos.history.asks import EdgeAsk
from meshchaos.history.edges import Edge, EdgeLine, between
from meshchaos.history.records import History, PhaseRecord

AT_ONCE = 0.1
"""Seconds within which a request that is shed is answered: it waits for nobody, this is the machine's own noise."""
SLACK = 0.01
"""Of the requests that were shed, the share that may take longer than that, for the same reason."""
NOT_SENT = frozenset({"UO", "FI", "UH", "NR", "NC", "UAEX", "RL", "RLSE", "IH", "RFCF", "NFCF", "OM"})
"""Envoy's response flags of a request that its proxy answered without sending it to any host."""

_Place = tuple[str, str]
"""A client's proxy, a cluster of its."""


@spec
class AdmittedSpec:
    """What is expected of the requests that were let through."""

    success: Annotated[Share | None, About("the share of good responses among them")] = None
    latency: Annotated[
        Mapping[str, PositiveDuration] | None, About("the time within which this share of them has a good response")
    ] = None

    def check(self) -> None:
        if self.success is None and not self.latency:
            raise ValueError("say what is expected of them: success (99%), latency ({p99: 1.5s}), or both")


@spec
class CircuitBreakerSpec:
    to: Annotated[Text, About("the service that is called")]
    in_flight: Annotated[int, About("how many requests a client proxy may have in flight")]
    from_: Annotated[OneOrMany[Text], About("the workloads whose breaker is meant; all clients when left out")] = ()
    opens: Annotated[bool, About("whether it has to shed at least one request, or must shed none")] = True
    admitted: Annotated[AdmittedSpec | None, About("what holds for the requests that were let through")] = None

    def check(self) -> None:
        if self.in_flight < 1:
            raise ValueError("inFlight must be at least 1")


@dataclass(frozen=True)
class BreakerCheck(EdgeCheck):
    """``limit`` in flight in one cluster of a client proxy, and one more for each of the proxy's workers, which may all
    let one in at once.
    """

    limit: int = 1
    opens: bool = True

    def _judge_phase(self, edge: Edge, phase: PhaseRecord, history: History, alpha: float) -> Finding:
        lines = between(edge.sent, phase.start, phase.end)
        if not lines:
            raise self._untested(phase, f"no request on {self.ask}, so nothing was tested")
        shed = [one for one in lines if is_shed(one)]
        flown = [one for one in between(edge.sent, 0.0, phase.end) if was_in_flight(one)]
        peaks = peaks_of(flown, phase.start)
        place, peak = max(peaks.items(), key=lambda item: item[1], default=(("", ""), 0))
        # A request that was tried again held no place in the pauses between, and the log does not tell when those were.
        sure = peaks_of([one for one in flown if one.line.attempts == 1], phase.start)
        sure_place, sure_peak = max(sure.items(), key=lambda item: item[1], default=(("", ""), 0))
        slow = [one for one in shed if one.line.duration > AT_ONCE and one.line.attempts <= 1]
        most = self.limit + edge.record.workers
        if sure_peak > most:
            verdict = Verdict.FAIL
            text = f"{_place(sure_place)} had {sure_peak} requests in flight at once, at most {self.limit} asked"
        elif peak > most:
            verdict = Verdict.INCONCLUSIVE
            text = (
                f"{_place(place)} had up to {peak} requests in flight at once, at most {self.limit} asked, but only "
                f"{sure_peak} without those that were tried again, of which nobody tells the pauses in between"
            )
        else:
            verdict, text = self._within(len(lines), shed, slow, peak)
        found = Finding(
            kind=self.kind,
            name=self.name,
            during=(phase.name,),
            verdict=verdict,
            reason=text,
            threshold=float(self.limit),
            estimate=float(peak),
            n=len(lines),
            unit="requests",
            evidence=(
                *(f"{_place(where)}: at most {many} in flight" for where, many in sorted(peaks.items())),
                f"{words.count(len(shed))} of {words.plural(len(lines), 'request')} were shed (UO), the slowest after "
                f"{words.seconds(max((one.line.duration for one in shed), default=0.0))}",
                *shown(slow or shed),
            ),
            line=self.where.line,
        )
        if verdict is Verdict.INVALID:
            raise UntestedError(found)
        return found

    def _within(self, n: int, shed: Sequence[EdgeLine], slow: Sequence[EdgeLine], peak: int) -> tuple[Verdict, str]:
        """What the shedding says, where the limit itself held."""
        if not self.opens and shed:
            return Verdict.FAIL, f"{words.count(len(shed))} of {words.plural(n, 'request')} were shed, none may be"
        if len(slow) > max(1.0, SLACK * len(shed)):
            return Verdict.FAIL, (
                f"{words.count(len(slow))} of {words.count(len(shed))} requests that were shed waited for longer than "
                f"{words.seconds(AT_ONCE)} before"
            )
        if self.opens and not shed:
            return Verdict.INVALID, (
                f"no proxy had more than {peak} requests in flight, so nothing had to be shed ({self.limit} may be): "
                "more load, or a slower service, would test it"
            )
        text = f"{THIS_RUN} no proxy had more than {peak} in flight (at most {self.limit} asked)"
        if shed:
            text += f", and {words.count(len(shed))} of {words.plural(n, 'request')} were shed at once"
        return Verdict.PASS, text


def is_shed(one: EdgeLine) -> bool:
    """Whether the client's own proxy answered because a limit of its connectionPool was reached."""
    return "UO" in one.line.flags


def was_in_flight(one: EdgeLine) -> bool:
    """Whether a request was sent to an upstream host at all."""
    return one.line.attempts > 1 or (one.line.attempts == 1 and NOT_SENT.isdisjoint(one.line.flags))


def peaks_of(lines: Sequence[EdgeLine], since: float) -> dict[_Place, int]:
    """The most requests that each proxy had in flight in each cluster at any moment from ``since`` on. A request that
    ends in the microsecond in which another starts is over.
    """
    moves: dict[_Place, list[tuple[float, int]]] = {}
    for one in lines:
        end = one.line.start + one.line.duration
        if end >= since:
            place = (one.proxy, one.line.cluster)
            moves.setdefault(place, []).extend(((max(one.line.start, since), 1), (end, -1)))
    found = {}
    for place, mine in moves.items():
        now = most = 0
        for _, step in sorted(mine):
            now += step
            most = max(most, now)
        found[place] = most
    return found


def _place(place: _Place) -> str:
    """``page-1.shop``, ``page-1.shop to subset v1``."""
    proxy, cluster = place
    subset = cluster.split("|")[2] if cluster.count("|") == 3 else ""
    return f"{proxy} to subset {subset}" if subset else proxy


class CircuitBreaker:
    kind = SpecKind("circuitBreaker", CircuitBreakerSpec, summary="the excess is shed at once, the rest is served")

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[Check]:
        wanted: CircuitBreakerSpec = expectation.spec
        where = expectation.where
        if expectation.load or expectation.request:
            raise mistake(where, "a breaker is judged on an edge (from, to), not on a load or a request")
        ask = EdgeAsk(wanted.to, tuple(wanted.from_))
        during = phases_of(expectation, context.experiment)

        def name(part: str = "") -> str:
            return edge_name("circuitBreaker", expectation, context, ask, part)

        found: list[Check] = [
            BreakerCheck("circuitBreaker", name(), during, where, ask, limit=wanted.in_flight, opens=wanted.opens)
        ]
        admitted = wanted.admitted
        common: dict[str, Any] = {
            "kind": "circuitBreaker",
            "during": during,
            "where": where,
            "edge": ask,
            "admitted": True,
        }
        if admitted is not None and admitted.success is not None:
            theta = bad_share(admitted.success, where)
            measure = Measure(GOOD, None, None, None)
            found.append(RateCheck(name=name("admitted success"), theta=theta, measure=measure, **common))
        for text, limit in ((admitted.latency or {}) if admitted is not None else {}).items():
            quantile = parse_quantile(text, where)
            found.append(
                RateCheck(
                    name=name(f"admitted latency {quantile_name(quantile)}"),
                    theta=round(1 - quantile, 12),
                    measure=Measure(GOOD, limit, None, None),
                    quantile=quantile,
                    **common,
                )
            )
        return tuple(found)

    def plan(self, expectation: Expectation, context: CheckContext) -> None:
        """How many requests go over the edge is not known beforehand."""


CIRCUIT_BREAKER = CircuitBreaker()
