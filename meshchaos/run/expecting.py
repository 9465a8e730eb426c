"""Expectations about a load by hand, judged as those of an experiment are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshchaos.checks.judge import Overall, judge, overall
from meshchaos.checks.kind import CheckContext, Finding
from meshchaos.errors import UserError
from meshchaos.experiment.model import Deadlines, Expectation, Experiment, Load, Phase, Slo, Where
from meshchaos.experiment.specs import build, full
from meshchaos.history.records import History, PhaseRecord
from meshchaos.run.measured import Measured
from meshchaos.run.vocabulary import Kinds

PLACE = "chaos.expect"


def judge_measured(
    measured: Measured, wanted: Mapping[str, Any], kinds: Kinds, slos: Mapping[str, Slo]
) -> tuple[Overall, Sequence[Finding]]:
    """``wanted``: kind of expectation -> its fields, or what it is short for. Raises UserError."""
    if not wanted:
        raise UserError(f'{PLACE} needs an expectation: {PLACE}(result, success="99%")')
    where = Where(PLACE, 0, 0, "")
    expectations = []
    for index, (key, value) in enumerate(wanted.items()):
        kind = kinds.checks[key].kind
        spec = build(kind, full(kind, value), place=f"{PLACE}: {key}")
        expectations.append(Expectation(key, index, spec, where))
    experiment = _experiment(measured, tuple(expectations), where)
    context = CheckContext(experiment, slos)
    checks = [check for one in expectations for check in kinds.checks[one.kind].checks(one, context)]
    record = PhaseRecord("observe", measured.start, measured.end, measured.end - measured.start)
    history = History((record,), (), {measured.samples.load: measured.samples}, (measured.health,), measured.confidence)
    findings = judge(checks, history, measured.confidence)
    return overall(findings, generator=(measured.health,), confidence=measured.confidence), findings


def text_of(found: Overall, findings: Sequence[Finding]) -> str:
    """The verdict, then a line for each expectation."""
    lines = [f"{found.verdict.value}: {found.reason}"]
    lines += [f"    {one.verdict.value:<12} {one.name}: {one.reason}" for one in findings]
    return "\n".join(lines)


def _experiment(measured: Measured, expectations: tuple[Expectation, ...], where: Where) -> Experiment:
    """One that has that load and nothing else, as the kinds of expectations want it."""
    samples, rate = measured.samples, measured.health.target
    load = Load(samples.load, "", "", rate, "poisson", samples.timeout, 1, ())
    return Experiment(
        name="by-hand",
        namespace=None,
        labels={},
        hypothesis="",
        mesh=None,
        loads=(load,),
        phases=(Phase("observe", measured.end - measured.start),),
        faults=(),
        expect=expectations,
        stop_if=None,
        confidence=measured.confidence,
        deadlines=Deadlines(),
        where=where,
    )
