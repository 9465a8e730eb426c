"""``ejection: {from, to, within: 15s, returns: 45s}``: a replica that fails is left out in time, and comes back.

Outlier detection is each client proxy's own. That it ejected is what its statistic says
(``outlier_detection.ejections_enforced_total``); that the replica took no requests meanwhile is what the servers' lines
say, each of which is joined to its client's (``joining``). A time of ejection ends: then the replica is tried again,
fails again and is left out again, so several such spells in one phase are right, each no longer than ``within``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated

from meshchaos.checks import words
from meshchaos.checks.edge import EdgeCheck, is_good
from meshchaos.checks.joining import calls_of
from meshchaos.checks.kind import Check, CheckContext, Finding, Verdict
from meshchaos.checks.naming import edge_name, mistake, phases_of
from meshchaos.checks.sentences import THIS_RUN
from meshchaos.experiment.fields import About, OneOrMany, PositiveDuration, Text, spec
from meshchaos.experiment.model import Expectation, SpecKind
from meshchaos.history.asks import EdgeAsk
from meshchaos.history.edges import Edge
from meshchaos.history.records import History, PhaseRecord

EJECTED = "outlier_detection.ejections_enforced_total"
SPELL = 1.0
"""Seconds without a request after which a replica is seen to be left out, at the least."""
USUAL = 10
"""Times the usual pause between two of its requests: with few requests, a pause says nothing sooner."""


@spec
class EjectionSpec:
    to: Annotated[Text, About("the service with the bad replica")]
    within: Annotated[PositiveDuration, About("how long after its first failure it still takes requests, at most")]
    from_: Annotated[OneOrMany[Text], About("the workloads that eject; all clients when left out")] = ()
    returns: Annotated[PositiveDuration | None, About("how long after the fault it takes requests again")] = None


@dataclass(frozen=True, slots=True)
class _Arrival:
    at: float
    good: bool


_Key = tuple[str, str]
"""A client's proxy, a server's replica."""
_Arrivals = Mapping[_Key, Sequence[_Arrival]]


@dataclass(frozen=True)
class EjectionCheck(EdgeCheck):
    """Times in s. An ejection lasts on when the next step of a ramp begins, so a phase is judged as a whole."""

    by_step = False
    within: float = 15.0
    returns: float | None = None

    def _judge_phase(self, edge: Edge, phase: PhaseRecord, history: History, alpha: float) -> Finding:
        arrivals = _arrivals(edge)
        during = {key: [one for one in some if phase.start <= one.at < phase.end] for key, some in arrivals.items()}
        bad = {key: some for key, some in during.items() if sum(not one.good for one in some) * 2 > len(some) > 0}
        if not bad:
            text = f"no replica of {edge.record.service} failed most of its requests, so none was to be ejected"
            raise self._untested(phase, text)
        healthy = [one for key, some in during.items() if key not in bad for one in some]
        found = [self._of_one(edge, key, bad, healthy, phase) for key in sorted(bad)]
        if self.returns is not None:
            found += [self._return(key, arrivals[key], history) for key in sorted(bad)]
        order = (Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE, Verdict.PASS)
        chosen = min(found, key=lambda one: order.index(one.verdict))
        return replace(
            chosen,
            n=sum(len(some) for some in during.values()),
            evidence=tuple(f"{one.verdict.value} {one.reason}" for one in found if one is not chosen),
        )

    def _of_one(
        self, edge: Edge, key: _Key, bad: _Arrivals, healthy: Sequence[_Arrival], phase: PhaseRecord
    ) -> Finding:
        """One replica as one client's proxy treated it."""
        (client, server), arrivals = key, bad[key]
        moved = _moved(edge, client, phase)
        if moved is None:
            text = (
                f"{client} does not show {EJECTED}; expose it with the annotation proxy.istio.io/config: "
                '{"proxyStatsMatcher": {"inclusionRegexps": [".*outlier_detection.*"]}}'
            )
            return self._bare(phase.name, Verdict.INVALID, text)
        pause = _pause(arrivals, healthy, phase)
        spells = _spells(arrivals, pause)
        longest = max(_lasted(spell) for spell in spells)
        quiet = phase.end - arrivals[-1].at
        who = f"{client} left {server} out"
        if longest > self.within or (not moved and phase.end - arrivals[0].at > self.within):
            text = (
                f"{client} sent requests to {server} for {words.seconds(longest)} after its first failure, at most "
                f"{words.seconds(self.within)} asked"
            )
            if not moved:
                text += f", and never ejected it ({EJECTED} did not move)"
            return self._finding(phase, Verdict.FAIL, text, longest)
        if not moved or (len(spells) < 2 and quiet < pause):
            text = f"the phase ended {words.seconds(phase.end - arrivals[0].at)} after the first failure, before {who}"
            return self._finding(phase, Verdict.INCONCLUSIVE, text, longest)
        if not healthy:
            text = f"{server} took no more requests, but no other replica took any either"
            return self._finding(phase, Verdict.INVALID, text, longest)
        again = f", and again when it came back ({len(spells) - 1}x)" if len(spells) > 1 else ""
        text = f"{THIS_RUN} {who} {words.seconds(longest)} after its first failure at the latest{again}"
        return self._finding(phase, Verdict.PASS, text, longest)

    def _return(self, key: tuple[str, str], arrivals: Sequence[_Arrival], history: History) -> Finding:
        """Whether the replica takes requests again after the fault."""
        assert self.returns is not None
        client, server = key
        phase = history.phase("recovery")
        gone = [fault.gone_at for fault in history.faults if fault.gone_at is not None]
        if phase is None or phase.broken_off or not gone:
            return self._bare("recovery", Verdict.INVALID, "there was no recovery to see the replica return in")
        since = max(gone)
        back = next((one.at - since for one in arrivals if one.at >= since), None)
        if back is not None and back <= self.returns:
            text = f"{THIS_RUN} {client} sent to {server} again {words.seconds(back)} after the fault"
            return self._finding(phase, Verdict.PASS, text, back)
        if back is None and phase.end - since < self.returns:
            text = (
                f"{server} was still left out when the recovery ended, {words.seconds(phase.end - since)} after the "
                f"fault; it has {words.seconds(self.returns)}: make phases.recovery longer"
            )
            return self._finding(phase, Verdict.INCONCLUSIVE, text, None)
        late = f"{words.seconds(back)} after the fault" if back is not None else "not at all"
        text = f"{client} sent to {server} again {late}, within {words.seconds(self.returns)} asked"
        return self._finding(phase, Verdict.FAIL, text, back)

    def _finding(self, phase: PhaseRecord, verdict: Verdict, text: str, estimate: float | None) -> Finding:
        found = self._bare(phase.name, verdict, text)
        return replace(found, threshold=self.within, estimate=estimate, unit="s")


def _arrivals(edge: Edge) -> dict[tuple[str, str], list[_Arrival]]:
    """(client proxy, server replica) -> what arrived there, by time. What was refused or given up on arrived, too, and
    what a proxy had not written when it was killed: the client's line names the host.
    """
    found: dict[tuple[str, str], list[_Arrival]] = {}
    for call in calls_of(edge):
        for one in call.arrived:
            found.setdefault((call.sent.proxy, one.proxy), []).append(_Arrival(one.line.start, is_good(one.line)))
        if call.server is not None and not call.reached and "UO" not in call.sent.line.flags:
            arrival = _Arrival(call.sent.line.start, is_good(call.sent.line))
            found.setdefault((call.sent.proxy, call.server), []).append(arrival)
    return {key: sorted(some, key=lambda one: one.at) for key, some in found.items()}


def _pause(arrivals: Sequence[_Arrival], healthy: Sequence[_Arrival], phase: PhaseRecord) -> float:
    """How long a replica must be without requests to be seen as left out: by what a healthy one got."""
    length = max(phase.end - phase.start, 1e-9)
    rate = max(len(healthy), len(arrivals)) / length
    return max(SPELL, USUAL / rate if rate > 0 else length)


def _spells(arrivals: Sequence[_Arrival], pause: float) -> list[list[_Arrival]]:
    """Arrivals with no pause between them that long."""
    spells: list[list[_Arrival]] = [[arrivals[0]]]
    for before, one in pairwise(arrivals):
        if one.at - before.at >= pause:
            spells.append([])
        spells[-1].append(one)
    return spells


def _lasted(spell: Sequence[_Arrival]) -> float:
    """From a spell's first failure to its last request, s; 0 for one without failures."""
    return next((spell[-1].at - one.at for one in spell if not one.good), 0.0)


def _moved(edge: Edge, client: str, phase: PhaseRecord) -> bool | None:
    """Whether the proxy ejected anybody in the phase; None where it does not tell."""
    points = [one for one in edge.stats if one.proxy == client and one.name.endswith(EJECTED)]
    if not points:
        return None
    totals: dict[float, int] = {}
    for one in points:
        totals[one.at] = totals.get(one.at, 0) + one.value
    before = [value for at, value in totals.items() if at <= phase.start]
    after = [value for at, value in totals.items() if phase.start < at]
    return max(after, default=0) > (before[-1] if before else 0)


class Ejection:
    kind = SpecKind("ejection", EjectionSpec, summary="a replica that fails is left out in time, and comes back")

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[Check]:
        wanted: EjectionSpec = expectation.spec
        where = expectation.where
        if expectation.load or expectation.request:
            raise mistake(where, "an ejection is judged on an edge (from, to), not on a load or a request")
        if wanted.returns is not None and context.experiment.phase("recovery") is None:
            raise mistake(where, "returns needs a phase to look at: give phases.recovery a length")
        ask = EdgeAsk(wanted.to, tuple(wanted.from_), (r"outlier_detection\.ejections_enforced_total",))
        name = edge_name("ejection", expectation, context, ask)
        during = phases_of(expectation, context.experiment)
        return (EjectionCheck("ejection", name, during, where, ask, within=wanted.within, returns=wanted.returns),)

    def plan(self, expectation: Expectation, context: CheckContext) -> None:
        """Nothing to count."""


EJECTION = Ejection()
