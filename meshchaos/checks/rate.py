"""The check behind ``success``, ``latency``, ``slo`` and ``recovery``: a share of bad requests against a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from meshchaos.checks import closed, sentences, words
from meshchaos.checks.decide import EARLY_PART, Decision, Rule, decide
from meshchaos.checks.edge import ADMITTED, samples_of, with_losses
from meshchaos.checks.kind import Finding, Verdict
from meshchaos.checks.measured import measure_latency, measure_success
from meshchaos.checks.phases import over_phases
from meshchaos.checks.ramp import cuts, judge_steps, partly
from meshchaos.checks.silence import silence
from meshchaos.checks.statistics.planner import clean_minimum
from meshchaos.checks.tally import Counter, Measure, Tally
from meshchaos.experiment.model import PhaseName, Where
from meshchaos.history.asks import Ask, EdgeAsk
from meshchaos.history.edges import EdgeLine
from meshchaos.history.records import History, PhaseRecord, PhaseStep
from meshchaos.history.samples import Samples

EARLIEST = 10.0
"""No early verdict before so many seconds of a phase are resolved."""


@dataclass(frozen=True)
class RateCheck:
    """At most a share ``theta`` of the requests may be bad, in each of the phases ``during``.

    ``quantile`` is set for a latency limit (theta = 1 - quantile, ``measure.limit`` in s) and None for
    success. Both are the same test of one Bernoulli rate.
    """

    kind: str
    name: str
    during: tuple[PhaseName, ...]
    theta: float
    measure: Measure
    where: Where
    quantile: float | None = None
    edge: EdgeAsk | None = None
    admitted: bool = False
    _counter: Counter = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_counter", Counter(self.measure))

    @property
    def asks(self) -> tuple[Ask, ...]:
        return (self.edge,) if self.edge is not None else ()

    @property
    def threshold(self) -> float:
        """As the user wrote it: the share asked, or the limit in s."""
        return 1 - self.theta if self.measure.limit is None else self.measure.limit

    def judge(self, history: History, *, alpha: float) -> Finding:
        """Each phase by itself (FAIL at alpha / number of phases), the worst is the finding.

        A phase that the data cut short (early verdict, ``stopIf``) is judged by the e-process: the
        exact test is valid only for a length that was not chosen by what was seen.
        """
        return over_phases(self.during, lambda name: self._judge_phase(name, history, alpha / len(self.during)))

    def judge_window(self, history: History, start: float, end: float, *, alpha: float, sequential: bool) -> Finding:
        """The requests whose intended start lies in [start, end)."""
        untold = self._untold(history)
        if untold is not None:
            return self._bare(self.during, Verdict.INVALID, untold)
        counts = Counter(self.measure).count(self.samples(history), start, end)
        rule = Rule(self.theta, 1 - history.confidence, alpha, sequential)
        return self._with_losses(self._finding(history, counts, rule), history, start, end)

    def seen(self, history: History) -> bool:
        """Whether there is anything to look at: of an edge, once its proxies have told how far they are."""
        return self.edge is None or self.edge in history.edges or self.edge in history.so_far

    def look(self, history: History, *, alpha: float) -> Finding:
        """The phase that is going on (the last record) by the e-process; INCONCLUSIVE within its first
        10 s, and while failures come in clusters. Without bounds: those come with the verdict on the
        phase, when it is over.
        """
        phase = history.phases[-1]
        so_far = history.so_far.get(self.edge) if self.edge is not None else None
        end = phase.end if so_far is None else max(phase.start, so_far.until)
        counts = self._counter.count(self.samples(history), phase.start, end)
        rule = _rule(history, phase, self.theta, alpha / len(self.during), sequential=True)
        if counts.n == 0 or counts.seconds < EARLIEST:
            return self._looked(phase, counts, Verdict.INCONCLUSIVE, "too early to say")
        decision = decide_early(counts, rule)
        if decision is None:
            return self._looked(phase, counts, Verdict.INCONCLUSIVE, "not decided yet")
        if decision.clusters is not None:
            return self._looked(phase, counts, Verdict.INCONCLUSIVE, "failures come in clusters")
        if so_far is not None and so_far.losses and decision.verdict is Verdict.PASS:
            return self._looked(phase, counts, Verdict.INCONCLUSIVE, "a client's proxy ended with requests in flight")
        if self.edge and not self.admitted and decision.verdict is Verdict.PASS:
            silent = silence(self.samples(history), phase.start, end)
            if silent:
                return self._looked(phase, counts, Verdict.INCONCLUSIVE, f"no request came {silent}")
        return self._looked(phase, counts, decision.verdict, "decided early")

    def samples(self, history: History) -> list[Samples]:
        """What is judged: the loads' samples, or the lines of the edge."""
        if self.edge is None:
            return list(history.samples.values())
        edge = history.edges.get(self.edge)
        if edge is not None:
            found = samples_of(self.edge, edge.sent, max_duration(edge.sent))
        else:
            found = history.so_far[self.edge].samples
        if self.admitted:
            found = found.of_request(ADMITTED)
        timeout = max((some.timeout for some in history.samples.values()), default=found.timeout)
        return [replace(found, timeout=timeout, closed=any(some.closed for some in history.samples.values()))]

    def _untold(self, history: History) -> str | None:
        """Why the proxies of the edge do not tell; None where they do, and for a check on the loads."""
        if self.edge is None:
            return None
        edge = history.edges.get(self.edge)
        if (edge is not None and edge.record.problem is None) or (edge is None and self.edge in history.so_far):
            return None
        why = edge.record.problem if edge is not None else "nothing was written down"
        return f"the proxies of {self.edge} do not tell: {why}"

    def _with_losses(self, found: Finding, history: History, start: float, end: float) -> Finding:
        edge = history.edges.get(self.edge) if self.edge is not None else None
        return found if edge is None else with_losses(found, edge, start, end)

    def clean(self, confidence: float) -> int:
        """The fewest requests a phase that PASS when none is bad."""
        return clean_minimum(self.theta, 1 - confidence)

    def _judge_phase(self, name: PhaseName, history: History, alpha: float) -> Finding:
        phase = history.phase(name)
        if phase is None:
            return self._bare((name,), Verdict.INVALID, f"the phase {name} did not take place")
        if phase.broken_off:
            return self._bare((name,), Verdict.INVALID, f"the phase {name} was broken off: {phase.cut}")
        sequential = phase.cut_by_data
        untold = self._untold(history)
        if untold is not None:
            return self._bare((name,), Verdict.INVALID, untold)
        if phase.steps:

            def judge(step: PhaseStep) -> Finding:
                share = alpha / len(phase.steps)
                return self.judge_window(history, step.start, step.end, alpha=share, sequential=sequential)

            found = judge_steps(phase, judge)
            return replace(found, during=(name,), evidence=found.evidence + partly(history, phase))
        rule = _rule(history, phase, self.theta, alpha, sequential=sequential)
        counts = Counter(self.measure).count(self.samples(history), phase.start, phase.end)
        found = self._finding(history, counts, rule, cuts(history, phase))
        found = self._with_losses(found, history, phase.start, phase.end)
        return replace(found, during=(name,), evidence=found.evidence + partly(history, phase))

    def _finding(self, history: History, counts: Tally, rule: Rule, changes: Sequence[float] = ()) -> Finding:
        if counts.n == 0:
            return self._bare(self.during, Verdict.INVALID, "no request was started, so nothing was tested")
        decision = decide(counts, rule, changes)
        samples = self.samples(history)
        if self.quantile is None:
            measured = measure_success(counts, rule, decision.verdict)
            lines: tuple[str, ...] = ()
        else:
            measured = measure_latency(
                self.measure, self.quantile, samples, counts=counts, rule=rule, verdict=decision.verdict
            )
            lines = (sentences.slow_line(counts, self.theta, self.threshold),)
        text = sentences.reason(decision, measured, rule, counts)
        lines += sentences.evidence(counts, decision, rule)
        verdict = decision.verdict
        if any(some.closed for some in self.measure.select(samples)):
            lines += (closed.LABEL,)
            stalled = closed.stalled(self.measure, history, counts) if self.quantile is not None else None
            if stalled and verdict is Verdict.PASS:
                verdict, text = Verdict.INCONCLUSIVE, f"{stalled}: {text}"
        silent = silence(samples, counts.start, counts.end) if self.edge and not self.admitted else None
        if silent and verdict is Verdict.PASS:
            verdict, text = Verdict.INVALID, f"no request took {self.edge} {silent}; of the others: {text}"
        return Finding(
            kind=self.kind,
            name=self.name,
            during=self.during,
            verdict=verdict,
            reason=text,
            threshold=self.threshold,
            estimate=measured.estimate,
            interval=measured.interval,
            n=counts.n,
            unit="share" if self.quantile is None else "s",
            evidence=lines,
            needs=decision.needs,
            censored_at=measured.censored_at,
            line=self.where.line,
            edge=str(self.edge) if self.edge is not None else "",
        )

    def _looked(self, phase: PhaseRecord, counts: Tally, verdict: Verdict, text: str) -> Finding:
        if counts.n:
            held = words.percent(1 - counts.bad / counts.n)
            text += (
                f": {held} of {words.plural(counts.n, 'request')} held, at least {words.percent(1 - self.theta)} asked"
            )
        return replace(self._bare((phase.name,), verdict, text), n=counts.n)

    def _bare(self, during: tuple[PhaseName, ...], verdict: Verdict, text: str) -> Finding:
        return Finding(
            kind=self.kind,
            name=self.name,
            during=during,
            verdict=verdict,
            reason=text,
            threshold=self.threshold,
            unit="share" if self.quantile is None else "s",
            line=self.where.line,
            edge=str(self.edge) if self.edge is not None else "",
        )


def max_duration(lines: Sequence[EdgeLine]) -> float:
    return max((one.line.duration for one in lines), default=0.0)


def _rule(history: History, phase: PhaseRecord, theta: float, alpha: float, *, sequential: bool) -> Rule:
    """Where an early verdict may end a phase, the looks and the test at its end share the error rate."""
    share = 1.0
    if phase.at_least is not None:
        share = EARLY_PART if sequential else 1 - EARLY_PART
    return Rule(theta, (1 - history.confidence) * share, alpha * share, sequential)


def decide_early(counts: Tally, rule: Rule) -> Decision | None:
    """As ``decide`` without the planning; None while undecided."""
    if not rule.passes(counts.bad, counts.n) and not rule.fails(counts.sent_bad, counts.sent):
        return None
    return decide(counts, rule)
