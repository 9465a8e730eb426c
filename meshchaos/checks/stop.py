"""``stopIf``: when a run does more harm than it may, for sure, it is healed at once.

Fed a few times a second while the fault is live; pure but for its memory of what it was fed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from meshchaos.checks import words
from meshchaos.checks.kind import Finding, Verdict
from meshchaos.checks.statistics import eprocess
from meshchaos.checks.tally import GOOD, Counter, Measure, Tally, tally
from meshchaos.experiment.model import StopIf
from meshchaos.history.samples import Samples

ALPHA = 0.001
"""Error rate of one look at one window. The e-process makes it hold for all looks since the fault; the
window of the last 10 s starts anew with every look, so it is a guard and not a verdict's test."""

WINDOW = 10.0
SILENCE = 2.0


class Beat(Protocol):
    """A generator's pulse, as the load driver's ``Pulse`` has it: at ``at`` (epoch s) ``due`` arrivals had
    come due, ``in_flight`` were open, the ``oldest`` for so many s; all that started before ``resolved``
    have their samples.
    """

    @property
    def at(self) -> float: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def oldest(self) -> float: ...
    @property
    def resolved(self) -> float: ...
    @property
    def due(self) -> int: ...


class StopRule:
    """Whether to stop, look by look.

    ``since``: when the fault went live, epoch s. ``slow_after``: the loosest latency limit of the
    experiment, s: a request in flight for longer counts as bad; None: only when it has ended.
    """

    def __init__(self, rule: StopIf, since: float, *, slow_after: float | None = None) -> None:
        self._rule = rule
        self._since = since
        self._slow_after = slow_after
        self._about = Counter(Measure(GOOD, None, rule.load, rule.request))
        self._any = Counter(Measure())
        self._beats: dict[str, deque[Beat]] = {}
        self._answers = -1
        self._heard = since

    def look(self, now: float, samples: Sequence[Samples], beats: Mapping[str, Beat]) -> Finding | None:
        """None: go on. FAIL: success is below the limit for sure. INCONCLUSIVE: no answer at all for 2 s,
        which stops the run too and proves nothing. ``samples`` of all loads, all so far; ``beats`` the last
        pulse of each load.
        """
        for load, beat in beats.items():
            kept = self._beats.setdefault(load, deque(maxlen=20_000))
            if not kept or beat.at > kept[-1].at:
                kept.append(beat)
        if self._rule.to is not None:
            return self._silent(now, samples, beats)
        whole = self._counts(self._about, now, samples, beats)
        recent = max(self._since, now - WINDOW)
        window = tally(self._about.measure, samples, recent, now)
        for (bad, n), start in ((whole, self._since), (_sent(window), recent)):
            overdue = self._overdue(start, now, samples, beats)
            when = "since the fault" if start == self._since else f"in the last {words.seconds(now - start)}"
            found = below(self._rule, bad + overdue, n + overdue, when, overdue)
            if found is not None:
                return found
        return self._silent(now, samples, beats)

    def _counts(
        self, counter: Counter, now: float, samples: Sequence[Samples], beats: Mapping[str, Beat]
    ) -> tuple[int, int]:
        """Bad and all since the fault. What is settled is counted once, only the rest at each look."""
        settled = max(self._since, min([now, *(beat.resolved for beat in beats.values())]))
        bad, n = _sent(counter.count(samples, self._since, settled))
        more_bad, more = _sent(tally(counter.measure, samples, settled, now))
        return bad + more_bad, n + more

    def _overdue(self, start: float, now: float, samples: Sequence[Samples], beats: Mapping[str, Beat]) -> int:
        """Requests since ``start`` that are in flight for longer than ``slow_after``: arrivals that came due
        between two beats less the samples of that time. Not told for one request of several.
        """
        if self._slow_after is None:
            return 0
        total = 0
        for some in samples:
            if self._rule.load not in (None, some.load) or some.load not in beats:
                continue
            if self._rule.request is not None and len(some.requests) > 1:
                continue
            kept = [beat for beat in self._beats.get(some.load, ()) if start <= beat.at <= now - self._slow_after]
            if len(kept) > 1:
                ended = len(some.between(kept[0].at, kept[-1].at))
                open_ = kept[-1].due - kept[0].due - ended
                total += max(0, min(open_, beats[some.load].in_flight))
        return total

    def _silent(self, now: float, samples: Sequence[Samples], beats: Mapping[str, Beat]) -> Finding | None:
        _, answers = self._counts(self._any, now, samples, beats)
        if answers != self._answers:
            self._answers, self._heard = answers, now
            return None
        if now - self._heard < SILENCE:
            return None
        waiting = [beat for beat in beats.values() if beat.oldest >= SILENCE]
        mute = [load for load, beat in beats.items() if now - beat.at >= SILENCE]
        if not waiting and not mute:
            return None
        why = f"{words.plural(sum(beat.in_flight for beat in waiting), 'request')} in flight" if waiting else "no pulse"
        text = f"no answer at all for {words.seconds(now - self._heard)} ({why}): healed at once"
        return finding_of(self._rule, Verdict.INCONCLUSIVE, text)


def below(rule: StopIf, bad: int, n: int, when: str, waiting: int = 0) -> Finding | None:
    """FAIL where so many of ``n`` requests (``waiting`` of them without an end yet) are bad that success is below the
    limit for sure.
    """
    if not eprocess.crossed(bad, n, round(1 - rule.success_below, 12), "fail", ALPHA):
        return None
    low, high = eprocess.bounds(bad, n, ALPHA, ALPHA)
    still = f", {words.count(waiting)} of them still waiting" if waiting else ""
    text = (
        f"{words.percent(1 - bad / n)} of {words.plural(n, 'request')} {when} were good{still} "
        f"({words.level(ALPHA)} bounds {words.percent_range(1 - high, 1 - low)}), "
        f"below {words.percent(rule.success_below)}: healed at once"
    )
    found = finding_of(rule, Verdict.FAIL, text)
    return replace(found, estimate=1 - bad / n, interval=(1 - high, 1 - low), n=n)


def finding_of(rule: StopIf, verdict: Verdict, reason: str) -> Finding:
    """Without numbers."""
    scope = "/".join(part for part in (rule.load, rule.request) if part)
    if rule.to is not None:
        scope = f"{', '.join(rule.sources) or 'every client'} -> {rule.to}"
    name = " ".join(part for part in ("stopIf success", scope, f"below {words.percent(rule.success_below)}") if part)
    return Finding("stopIf", name, ("fault",), verdict, reason, threshold=rule.success_below)


def _sent(counts: Tally) -> tuple[int, int]:
    return counts.sent_bad, counts.sent
