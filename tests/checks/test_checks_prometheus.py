"""``prometheus`` and ``alert``: what an answer means, and what no answer means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from meshchaos.checks.alert import ALERT
from meshchaos.checks.kind import Check, Finding, Verdict
from meshchaos.checks.prometheus import PROMETHEUS
from meshchaos.errors import UserError
from meshchaos.experiment.specs import build
from meshchaos.history.asks import QueryAsk
from meshchaos.history.queries import AlertRule, Answer, Point, Series
from meshchaos.history.records import History
from tests.checks.histories import T0, context, expectation, phases

RECORDS = phases(baseline=10, fault=60, recovery=20)
START, END = T0 + 10, T0 + 70


def made(kind: Any, fields: dict[str, Any], **options: Any) -> Check:
    return kind.checks(expectation(kind.kind.key, build(kind.kind, fields), **options), context())[0]  # type: ignore[no-any-return]


def asks(check: Check) -> tuple[QueryAsk, ...]:
    return check.asks  # type: ignore[attr-defined,no-any-return]


def history(*answers: Answer, records: Any = RECORDS) -> History:
    return History(records, (), {}, (), 0.95, queries={answer.ask: answer for answer in answers})


def judged(check: Check, *answers: Answer, records: Any = RECORDS) -> Finding:
    return check.judge(history(*answers, records=records), alpha=0.05)


def vector(*values: str, **labels: str) -> tuple[Series, ...]:
    return tuple(Series({**labels, "pod": str(at)}, (Point(END, value),)) for at, value in enumerate(values))


class TestPrometheus:
    def check(self, **fields: Any) -> Check:
        return made(PROMETHEUS, {"query": "rate(x[$phase])", **fields})

    @pytest.mark.parametrize(
        ("limits", "values", "verdict"),
        [
            ({"atMost": 2}, ["1", "2"], Verdict.PASS),
            ({"atMost": 2}, ["1", "2.1"], Verdict.FAIL),
            ({"atLeast": 2}, ["2", "3"], Verdict.PASS),
            ({"atLeast": 2}, ["2", "1.9"], Verdict.FAIL),
            ({"atLeast": 1, "atMost": 2}, ["0.5", "1.5"], Verdict.FAIL),
            ({"atMost": 2}, ["+Inf"], Verdict.FAIL),
            ({"atLeast": 2}, ["+Inf"], Verdict.INVALID),
            ({"atMost": 2}, ["1", "NaN"], Verdict.INVALID),
            ({"atMost": 2}, ["3", "NaN"], Verdict.INVALID),
            ({"atMost": 2}, [], Verdict.INVALID),
        ],
    )
    def test_every_series_must_hold(self, limits: dict[str, float], values: Sequence[str], verdict: Verdict) -> None:
        check = self.check(**limits)
        (ask,) = asks(check)
        assert judged(check, Answer(ask, "rate(x[60000ms])", END, vector(*values))).verdict is verdict

    def test_the_series_furthest_from_its_limit_is_shown(self) -> None:
        check = self.check(atMost=2)
        found = judged(check, Answer(asks(check)[0], "q", END, vector("3", "5", "1")))
        assert found.reason == '5 for {pod="1"}, at most 2 asked; 2 of 3 series do not hold'
        assert (found.estimate, found.threshold, found.unit, found.n) == (5, 2, "", 3)

    def test_a_range_is_no_number(self) -> None:
        check = self.check(atMost=2)
        two = (Series({}, (Point(START, "1"), Point(END, "1"))),)
        assert judged(check, Answer(asks(check)[0], "q", END, two)).verdict is Verdict.INVALID

    def test_no_answer(self) -> None:
        check = self.check(atMost=2)
        answer = Answer(asks(check)[0], "q", END, problem="http://p does not answer")
        assert judged(check, answer).verdict is Verdict.INVALID
        assert "does not answer" in judged(check, answer).reason
        assert judged(check).verdict is Verdict.INVALID
        assert judged(check, records=()).verdict is Verdict.INVALID
        broken = (replace(RECORDS[1], cut="error"),)
        whole = Answer(asks(check)[0], "q", END, vector("1"))
        assert judged(check, whole, records=broken).verdict is Verdict.INVALID

    def test_several_phases(self) -> None:
        check = made(PROMETHEUS, {"query": "x", "atMost": 2}, during=("baseline", "fault"))
        first, second = asks(check)
        found = judged(check, Answer(first, "x", START, vector("1")), Answer(second, "x", END, vector("3")))
        assert (found.verdict, found.during) == (Verdict.FAIL, ("baseline", "fault"))
        assert found.reason.startswith("under the fault")
        assert check.name == "prometheus x during baseline and fault"

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"query": "x"}, "needs `atMost` or `atLeast`"),
            ({"query": "x", "atMost": 1, "atLeast": 2}, "nothing could hold"),
            ({"query": "", "atMost": 1}, "query"),
            ({"query": "x", "atMost": "1"}, "atMost"),
        ],
    )
    def test_mistakes(self, fields: dict[str, Any], words: str) -> None:
        with pytest.raises(UserError, match=words):
            made(PROMETHEUS, fields)

    def test_it_takes_no_load(self) -> None:
        with pytest.raises(UserError, match="prometheus takes no `load`"):
            made(PROMETHEUS, {"query": "x", "atMost": 1}, load="main")


RULES = (AlertRule("shop", "ok"),)


class TestAlert:
    def answers(
        self, check: Check, *fired: float, already: bool = False, rules: tuple[AlertRule, ...] = RULES
    ) -> list[Answer]:
        before, during = asks(check)
        points = tuple(Point(START + at, "1") for at in fired)
        return [
            Answer(before, "q", START, vector("1") if already else ()),
            Answer(during, "q", END + 30, (Series({"alertname": "Slow"}, points),) if fired else (), rules),
        ]

    @pytest.mark.parametrize(
        ("fields", "fired", "verdict"),
        [
            ({}, (20.0, 25.0), Verdict.PASS),
            ({}, (), Verdict.FAIL),
            ({"within": "30s"}, (20.0,), Verdict.PASS),
            ({"within": "10s"}, (20.0,), Verdict.FAIL),
            ({"within": "10s"}, (), Verdict.FAIL),
            ({"never": True}, (), Verdict.PASS),
            ({"never": True}, (80.0,), Verdict.FAIL),
            ({"never": True}, (-5.0,), Verdict.PASS),
        ],
    )
    def test_when_it_fired(self, fields: dict[str, Any], fired: tuple[float, ...], verdict: Verdict) -> None:
        check = made(ALERT, {"name": "Slow", **fields})
        assert judged(check, *self.answers(check, *fired)).verdict is verdict

    @pytest.mark.parametrize("never", [True, False])
    def test_the_silence_of_a_rule_that_is_not_there(self, *, never: bool) -> None:
        check = made(ALERT, {"name": "Slow", "never": never})
        assert judged(check, *self.answers(check, rules=())).verdict is Verdict.INVALID
        ill = judged(check, *self.answers(check, rules=(AlertRule("shop", "err", "no such series"),)))
        assert ill.verdict is Verdict.INVALID
        assert "no such series" in ill.reason

    def test_one_that_fired_already_shows_nothing(self) -> None:
        check = made(ALERT, {"name": "Slow", "within": "30s"})
        assert judged(check, *self.answers(check, 1.0, already=True)).verdict is Verdict.INVALID
        never = made(ALERT, {"name": "Slow", "never": True})
        assert judged(never, *self.answers(never, 1.0, already=True)).verdict is Verdict.FAIL

    def test_a_phase_that_ended_before_it_had_to_fire(self) -> None:
        check = made(ALERT, {"name": "Slow", "within": "80s"})
        before, during = self.answers(check)
        early = replace(during, at=START + 50)
        assert judged(check, before, early).verdict is Verdict.INCONCLUSIVE

    def test_no_answer_to_one_of_its_questions(self) -> None:
        check = made(ALERT, {"name": "Slow", "never": True})
        for answer in self.answers(check):
            assert judged(check, answer).verdict is Verdict.INVALID

    def test_the_query(self) -> None:
        check = made(ALERT, {"name": "Slow", "labels": {"severity": 'pa"ge'}})
        assert asks(check)[1].query == r'ALERTS{alertname="Slow",alertstate="firing",severity="pa\"ge"}[$phase]'
        assert check.name == 'alert Slow severity=pa"ge'

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"name": "a", "never": True, "within": "1s"}, "either `never: true` or `within`"),
            ({"name": "a", "labels": {"alertname": "b"}}, "no label to choose by"),
            ({"name": "a", "within": "2m"}, "longer than the fault phase of 60s and its settle of 30s"),
        ],
    )
    def test_mistakes(self, fields: dict[str, Any], words: str) -> None:
        with pytest.raises(UserError, match=words):
            made(ALERT, fields)
