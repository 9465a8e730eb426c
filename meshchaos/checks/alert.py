"""``alert: {name, labels, within}`` or ``never: true``: an alert of the user's fires in time, or never."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from meshchaos.checks import words
from meshchaos.checks.asking import answered, bare, lived, no_scope, over_phases
from meshchaos.checks.kind import CheckContext, Finding, Verdict
from meshchaos.checks.naming import full_name, mistake, phases_of
from meshchaos.checks.prometheus import SETTLE, SHOWN
from meshchaos.experiment.fields import About, Duration, PositiveDuration, Text, spec
from meshchaos.experiment.model import Expectation, PhaseName, SpecKind, Where
from meshchaos.history.asks import QueryAsk
from meshchaos.history.queries import Answer
from meshchaos.history.records import History, PhaseRecord

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@spec
class AlertSpec:
    name: Annotated[Text, About("the alerting rule's name (alertname)")]
    labels: Annotated[Mapping[str, Text], About("labels that the alert must have")] = dataclasses.field(
        default_factory=dict
    )
    within: Annotated[PositiveDuration | None, About("how long after the phase's start it must fire at the latest")] = (
        None
    )
    never: Annotated[bool, About("it must not fire at all")] = False
    settle: Annotated[Duration, About("how long after the phase it may still fire for what was in the phase")] = SETTLE

    def check(self) -> None:
        if self.never and self.within is not None:
            raise ValueError("is either `never: true` or `within`")
        for label in self.labels:
            if not _LABEL.fullmatch(label) or label in ("alertname", "alertstate"):
                raise ValueError(f"labels: {label!r} is no label to choose by")


@dataclass(frozen=True)
class AlertCheck:
    """By Prometheus's own series ALERTS, which has a sample for each evaluation of a rule that fires."""

    name: str
    alert: str
    labels: Mapping[str, str]
    within: float | None
    never: bool
    settle: float
    during: tuple[PhaseName, ...]
    where: Where
    kind: str = "alert"

    @property
    def asks(self) -> tuple[QueryAsk, ...]:
        return tuple(ask for phase in self.during for ask in self._asks(phase))

    def _asks(self, phase: PhaseName) -> tuple[QueryAsk, QueryAsk]:
        """Was it firing already, and when did it fire."""
        return (
            QueryAsk(self._selector, phase, self.settle, "start"),
            QueryAsk(f"{self._selector}[$phase]", phase, self.settle, "settled", self.alert),
        )

    @property
    def _selector(self) -> str:
        wanted = {"alertname": self.alert, "alertstate": "firing", **self.labels}
        return "ALERTS{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in wanted.items()) + "}"

    def judge(self, history: History, *, alpha: float) -> Finding:
        """Silence counts only where a rule of that name was evaluated."""
        return over_phases(self, [self._judged(phase, history) for phase in self.during])

    def _judged(self, name: PhaseName, history: History) -> Finding:
        phase = lived(self, name, history)
        if isinstance(phase, Finding):
            return phase
        before, during = (answered(self, ask, history) for ask in self._asks(name))
        if isinstance(before, Finding):
            return before
        if isinstance(during, Finding):
            return during
        fired = sorted(
            point.at - phase.start for one in during.series for point in one.points if point.at >= phase.start
        )
        lines = (during.query, *(f"{one} fired" for one in during.series[:SHOWN]))
        verdict, reason = self._decided(phase, during, fired, already=bool(before.series))
        found = bare(self, verdict, reason, during=name)
        return replace(
            found,
            threshold=self.within,
            estimate=fired[0] if fired else None,
            n=len(during.series),
            unit="s",
            evidence=lines,
        )

    def _decided(
        self, phase: PhaseRecord, answer: Answer, fired: Sequence[float], *, already: bool
    ) -> tuple[Verdict, str]:
        if self.never and fired:
            since = " (it did so already when the phase began)" if already else ""
            return Verdict.FAIL, f"it fired {words.seconds(fired[0])} after the phase's start{since}"
        if already:
            return Verdict.INVALID, "it fired already when the phase began, so that it fires now says nothing"
        if not fired:
            return self._silent(phase, answer)
        if self.within is not None and fired[0] > self.within:
            return Verdict.FAIL, f"it fired after {words.seconds(fired[0])}, {self._asked()}"
        return (
            Verdict.PASS,
            f"it fired after {words.seconds(fired[0])}{f', {self._asked()}' if self.within else ''}",
        )

    def _silent(self, phase: PhaseRecord, answer: Answer) -> tuple[Verdict, str]:
        if not answer.rules:
            return Verdict.INVALID, f"Prometheus has no alerting rule {self.alert}, so its silence says nothing"
        ill = next((rule for rule in answer.rules if rule.health != "ok"), None)
        if ill is not None:
            why = f": {ill.error}" if ill.error else ""
            return Verdict.INVALID, f"the rule {self.alert} (group {ill.group}) is not evaluated ({ill.health}){why}"
        looked = answer.at - phase.start
        if self.never:
            return Verdict.PASS, f"it did not fire in {words.seconds(looked)}"
        if self.within is not None and looked < self.within:
            return Verdict.INCONCLUSIVE, f"it did not fire in {words.seconds(looked)}, {self._asked()}"
        return Verdict.FAIL, f"it did not fire in {words.seconds(looked)}"

    def _asked(self) -> str:
        return f"within {words.seconds(self.within or 0.0)} asked"


class AlertKind:
    kind = SpecKind("alert", AlertSpec, scalar="name", summary="an alert of the mesh's Prometheus fires, or never does")

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[AlertCheck]:
        wanted: AlertSpec = expectation.spec
        no_scope(expectation)
        during = phases_of(expectation, context.experiment)
        for name in during:
            phase = context.experiment.phase(name)
            if wanted.within is not None and phase is not None and wanted.within > phase.at_most + wanted.settle:
                raise mistake(
                    expectation.where,
                    f"alert: within {wanted.within:g}s is longer than the {name} phase of {phase.at_most:g}s and its "
                    f"settle of {wanted.settle:g}s: nobody looks that long",
                )
        return (
            AlertCheck(
                name=full_name(f"alert {wanted.name}{_shown(wanted)}", expectation, context),
                alert=wanted.name,
                labels=dict(wanted.labels),
                within=wanted.within,
                never=wanted.never,
                settle=wanted.settle,
                during=during,
                where=expectation.where,
            ),
        )


ALERT = AlertKind()


def _shown(wanted: AlertSpec) -> str:
    """The rest of its default name: `name` is the alert's own, so that nobody can give another."""
    labels = ", ".join(f"{name}={value}" for name, value in wanted.labels.items())
    return f"{f' {labels}' if labels else ''}{' never' if wanted.never else ''}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
