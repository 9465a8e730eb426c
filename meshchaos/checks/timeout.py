"""``timeout: {from, to, after: 500ms, tolerance: 50ms, perTry: false}``: what is still open then is cut by the proxy.

From the clients' lines: the flag ``UT``, its details (``upstream_response_timeout`` of the route's timeout,
``upstream_per_try_timeout``) and the duration. A 504 alone proves nothing: any server may answer it.

A gRPC call carries its timeout on in ``grpc-timeout``, which Envoy writes, and the server's proxy cuts at the same
moment as the client's; whichever is first (measured: the server's in a third of the calls), it is the same timeout's
work. Then the client's line has grpc-status 4, and the server's proxy's own says ``max_duration_timeout``.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Annotated

from meshchaos.checks import words
from meshchaos.checks.edge import EdgeCheck, shown
from meshchaos.checks.kind import Check, CheckContext, Finding, Verdict
from meshchaos.checks.naming import edge_name, mistake, phases_of
from meshchaos.checks.sentences import THIS_RUN
from meshchaos.checks.tries import Tries, tries_of
from meshchaos.experiment.fields import About, OneOrMany, PositiveDuration, Text, spec
from meshchaos.experiment.model import Expectation, SpecKind
from meshchaos.history.asks import EdgeAsk
from meshchaos.history.edges import Edge, EdgeLine, between
from meshchaos.history.records import History, PhaseRecord

EARLY = 0.005
"""Seconds before the time asked at which a request counts as still open: Envoy's timers go by whole milliseconds and by
the time its event loop last looked at the clock; cuts after 197 ms were measured for 200.
"""
SLACK = 0.01
"""Of the requests still open at that time, the share that may get an answer within the tolerance instead of being cut:
one that arrives while the timer is due, on a busy machine.
"""
FEWEST = 5
"""Requests that must have been open long enough; fewer show nothing."""
DEADLINE, DEADLINE_EXCEEDED = "max_duration_timeout", 4
"""Envoy's details of a request whose ``grpc-timeout`` is over, and the grpc-status that it answers."""
BACKOFF = 0.25
"""Seconds between two attempts at most: Envoy's default ``max_interval``, ten times the base interval of 25 ms."""


@spec
class TimeoutSpec:
    to: Annotated[Text, About("the service that is called")]
    after: Annotated[PositiveDuration, About("when a request that is still open is cut")]
    from_: Annotated[OneOrMany[Text], About("the workloads whose timeout is meant; all clients when left out")] = ()
    tolerance: Annotated[PositiveDuration, About("how much sooner or later it may be")] = 0.05
    per_try: Annotated[bool, About("the timeout of each attempt (perTryTimeout), not of the request")] = False


@dataclass(frozen=True)
class TimeoutCheck(EdgeCheck):
    """Times in s."""

    after: float = 1.0
    tolerance: float = 0.05
    per_try: bool = False

    def _judge_phase(self, edge: Edge, phase: PhaseRecord, history: History, alpha: float) -> Finding:
        lines = between(edge.sent, phase.start, phase.end)
        reached = [one for one in lines if one.line.duration >= self.after - EARLY or "UT" in one.line.flags]
        tries = Tries()
        if self.per_try:
            tries = tries_of(edge, phase, after=self.after, tolerance=self.tolerance, early=EARLY)
        if not reached and not tries.hasty:
            longest = max((one.line.duration for one in lines), default=0.0)
            text = (
                f"none of {words.plural(len(lines), 'request')} on {self.ask} was still open after "
                f"{words.seconds(self.after)} (the longest took {words.seconds(longest)}), so no timeout was tested"
            )
            raise self._untested(phase, text)
        ended = {one.line.request_id for one in edge.received if DEADLINE in one.line.details}
        late = [one for one in reached if one.line.duration > self._latest(one)] + list(tries.late)
        early = [one for one in reached if "UT" in one.line.flags and one.line.duration < self.after - self.tolerance]
        cut = [one for one in reached if self._is_cut(one, ended)]
        let = [one for one in reached if not self._is_cut(one, ended) and self._is_let(one)] + list(tries.let)
        flagged = sum("UT" in one.line.flags for one in cut)
        cuts = len(cut) + len(tries.cut)
        # With a timeout for each attempt it is attempts that are open then, of as many as anybody tells.
        opened = cuts + len(let) + len(late) if self.per_try else len(reached)
        noun = "attempt" if self.per_try else "request"
        longest = max(one.line.duration for one in (*reached, *tries.hasty))
        verdict, text = Verdict.PASS, ""
        if late:
            verdict = Verdict.FAIL
            text = (
                f"{words.count(len(late))} of {words.plural(opened, noun)} still open after "
                f"{words.seconds(self.after)} lasted longer than {words.seconds(self._latest(late[0]))}, up to "
                f"{words.seconds(max(one.line.duration for one in late))}"
            )
        elif tries.hasty:
            verdict = Verdict.FAIL
            text = (
                f"{words.plural(len(tries.hasty), 'request')} whose attempts were cut ended too soon for each to have "
                f"had {words.seconds(self.after)}: {words.plural(tries.hasty[0].line.attempts, 'attempt')} took "
                f"{words.seconds(tries.hasty[0].line.duration)}"
            )
        elif early:
            verdict = Verdict.FAIL
            text = (
                f"{words.plural(len(early), 'request')} were cut already after "
                f"{words.seconds(min(one.line.duration for one in early))}, before {words.seconds(self.after)}"
            )
        elif len(let) > max(1.0, SLACK * opened):
            verdict = Verdict.FAIL
            text = (
                f"{words.count(len(let))} of {words.plural(opened, noun)} still open after "
                f"{words.seconds(self.after)} were not cut by the proxy: they got an answer, up to "
                f"{words.seconds(max(one.line.duration for one in let))}"
            )
        elif cuts < FEWEST:
            verdict = Verdict.INCONCLUSIVE
            text = f"only {words.plural(cuts, noun)} were cut, which shows too little (at least {FEWEST})"
            if tries.untold:
                text += (
                    f"; of {words.plural(tries.untold, 'more attempt')} that were tried again no server's proxy tells"
                )
        else:
            text = (
                f"{THIS_RUN} {words.count(cuts)} of {words.plural(opened, noun)} still open after "
                f"{words.seconds(self.after)} were cut by the proxy, within {words.seconds(self.tolerance)}; "
                f"the longest request lasted {words.seconds(longest)}"
            )
        return Finding(
            kind=self.kind,
            name=self.name,
            during=(phase.name,),
            verdict=verdict,
            reason=text,
            threshold=self.after,
            estimate=longest,
            n=opened,
            unit="s",
            evidence=(
                f"{words.count(flagged)} with the flag UT and details {self._details()}"
                + (
                    f", {words.count(len(cut) - flagged)} at that deadline by the server's proxy"
                    if flagged < len(cut)
                    else ""
                )
                + f", of {words.plural(len(lines), 'request')} in all",
                *(
                    [f"{words.count(len(tries.cut))} cut before another attempt, as the servers' proxies tell (DC)"]
                    if self.per_try
                    else []
                ),
                *shown(late or early or tries.hasty or let or cut or tries.cut),
            ),
            line=self.where.line,
        )

    def _latest(self, one: EdgeLine) -> float:
        """When a request must have ended. With a timeout for each attempt, those before it and the pauses count."""
        if not self.per_try:
            return self.after + self.tolerance
        attempts = max(1, one.line.attempts) if one.line.side == "outbound" else 1
        return attempts * (self.after + self.tolerance) + (attempts - 1) * BACKOFF

    def _is_cut(self, one: EdgeLine, ended: Container[str]) -> bool:
        """``ended``: ids of requests that a server's proxy cut at their deadline."""
        line = one.line
        if line.grpc == DEADLINE_EXCEEDED and line.request_id in ended:
            return line.duration <= self._latest(one)
        return "UT" in line.flags and self._details() in line.details

    def _is_let(self, one: EdgeLine) -> bool:
        """Whether it was open after the time asked and ended by itself. One that its client left ends with nobody's
        timeout; of one that was tried again, the log does not tell the attempts' own times.
        """
        if "DC" in one.line.flags or (self.per_try and one.line.attempts > 1):
            return False
        return one.line.duration > self.after + EARLY

    def _details(self) -> str:
        return "per_try_timeout" if self.per_try else "response_timeout"


class Timeout:
    kind = SpecKind("timeout", TimeoutSpec, summary="requests still open then are cut, and none lasts longer")

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[Check]:
        wanted: TimeoutSpec = expectation.spec
        if expectation.load or expectation.request:
            raise mistake(expectation.where, "a timeout is judged on an edge (from, to), not on a load or a request")
        self._check_reach(expectation, context)
        ask = EdgeAsk(wanted.to, tuple(wanted.from_))
        name = edge_name("timeout", expectation, context, ask)
        return (
            TimeoutCheck(
                kind="timeout",
                name=name,
                during=phases_of(expectation, context.experiment),
                where=expectation.where,
                ask=ask,
                after=wanted.after,
                tolerance=wanted.tolerance,
                per_try=wanted.per_try,
            ),
        )

    def plan(self, expectation: Expectation, context: CheckContext) -> None:
        """Which requests stay open is not known beforehand."""

    def _check_reach(self, expectation: Expectation, context: CheckContext) -> None:
        """Raises FileError where no request could be open that long, or the load gives up before the proxy does."""
        wanted: TimeoutSpec = expectation.spec
        after = words.seconds(wanted.after)
        for fault in context.experiment.faults:
            delay = getattr(fault.spec, "fixed_delay", None)
            same = str(getattr(fault.spec, "to", "")).partition(".")[0] == wanted.to.partition(".")[0]
            if delay is not None and same and delay <= wanted.after:
                raise mistake(
                    expectation.where,
                    f"spec.faults[{fault.index}] delays by {words.seconds(delay)} only, so that no request is open "
                    f"after {after}: make fixedDelay longer",
                )
        for load in context.experiment.loads:
            if load.timeout <= wanted.after + wanted.tolerance:
                raise mistake(
                    expectation.where,
                    f"load {load.name!r} gives up after {words.seconds(load.timeout)}, before the proxy's timeout of "
                    f"{after} and its tolerance are over: raise `timeout` in the load",
                )


TIMEOUT = Timeout()
