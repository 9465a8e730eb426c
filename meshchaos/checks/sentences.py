"""Why a rate check found what it found: one plain sentence with its numbers, and lines of evidence."""

from __future__ import annotations

from dataclasses import dataclass

from meshchaos.checks import words
from meshchaos.checks.decide import Decision, Rule
from meshchaos.checks.kind import Verdict
from meshchaos.checks.statistics.binomial import tail_at_least
from meshchaos.checks.tally import Tally

THIS_RUN = "during this run"
"""A PASS says so: nothing is claimed about another hour."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured, in the expectation's own terms.

    ``estimate`` and ``interval`` as they go into the finding; ``found`` ("99.83 % of 11,998 requests
    were good"), ``bounds`` ("99.74-99.89 %", empty: none to show) and ``asked`` ("at least 99.5 %
    asked") are parts of the sentence.
    """

    estimate: float | None
    interval: tuple[float | None, float | None]
    found: str
    bounds: str
    asked: str
    censored_at: float | None = None


def reason(decision: Decision, measured: Measured, rule: Rule, tally: Tally) -> str:
    """One sentence without a full stop."""
    fact = measured.found
    if measured.bounds:
        fact += f" ({words.level(rule.shown(decision.verdict))} bounds {measured.bounds})"
    fact += f", {measured.asked}"
    if decision.downgraded is not None:
        assert decision.clusters is not None
        word = "PASS" if decision.downgraded is Verdict.PASS else "FAIL"
        return (
            f"failures came in clusters (by the second they scatter {decision.clusters.phi:.3g} times as widely as "
            f"independent ones), which is too little to say {word}: {fact}"
        )
    if decision.verdict is Verdict.PASS:
        return f"{THIS_RUN} {fact}"
    if decision.verdict is Verdict.FAIL:
        return fact
    return f"{fact}: {_undecided(decision, rule, tally)}"


def placed(text: str, where: str) -> str:
    """A reason with the place it is about ("under the fault", "from 10 s after the fault on") put first."""
    rest = text.removeprefix(f"{THIS_RUN} ")
    return f"{where}: {text}" if rest == text else f"{THIS_RUN}, {where}: {rest}"


def _undecided(decision: Decision, rule: Rule, tally: Tally) -> str:
    text = "not decided"
    if rule.fails_alone(tally):
        text = f"not decided, as a FAIL takes {words.level(rule.alpha_fail)} where several expectations are judged"
    if decision.needs is None:
        return f"{text}, and so close to the limit that no number of requests would do"
    text += f", about {words.plural(decision.needs, 'more request')} would"
    if tally.rate > 0:
        text += f" ({words.seconds(decision.needs / tally.rate)} at this rate)"
    return text


def evidence(tally: Tally, decision: Decision, rule: Rule) -> tuple[str, ...]:
    """Lines to show below the reason: dropped arrivals, clusters, the worst second, how it was tested."""
    lines = []
    if tally.dropped:
        lines.append(
            f"{words.plural(tally.dropped, 'arrival')} dropped at the in-flight cap: bad for PASS, left out for FAIL"
        )
    if decision.clusters is not None:
        lines.append(
            f"failures per second scatter {decision.clusters.phi:.3g} times as widely as independent ones "
            f"(flagged above {decision.clusters.limit:.3g}, {decision.clusters.blocks} s)"
        )
    if decision.verdict is not Verdict.FAIL:
        lines += _transient(tally, rule)
    if rule.sequential:
        lines.append("the phase was cut short by what was seen, so the test is the e-process, valid under looks")
    return tuple(lines)


def slow_line(tally: Tally, theta: float, limit: float) -> str:
    return (
        f"{words.count(tally.bad)} of {words.count(tally.n)} ({words.percent(tally.bad / tally.n)}) were slower than "
        f"{words.seconds(limit)}, timed out or failed; {words.percent(theta)} may be"
    )


def _transient(tally: Tally, rule: Rule) -> list[str]:
    """The worst second, where that second alone breaks the limit for sure (0.1 % over all seconds)."""
    if not tally.bad:
        return []
    import numpy as np

    second = int(np.argmax(tally.bad_by_second / np.maximum(tally.n_by_second, 1)))
    bad, n = int(tally.bad_by_second[second]), int(tally.n_by_second[second])
    if tail_at_least(bad, n, rule.theta) >= 0.001 / len(tally.n_by_second):
        return []
    return [f"a transient: {words.count(bad)} of {words.count(n)} were bad in the second from {second} s on"]
