"""From what a run left on disk to its result; needs no mesh, so that any run can be judged again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from meshchaos.checks.injected import injection_findings
from meshchaos.checks.judge import judge as judge_checks
from meshchaos.checks.judge import overall
from meshchaos.checks.kind import Check, Finding, Verdict
from meshchaos.checks.steady import steady_state
from meshchaos.errors import EvidenceError, UserError
from meshchaos.evidence.edge_file import read_edges
from meshchaos.experiment.model import Experiment
from meshchaos.history.asks import EdgeAsk, ProbeAsk
from meshchaos.history.edges import Edge
from meshchaos.history.probes import Probed
from meshchaos.history.records import FaultRecord, GeneratorHealth, History, PhaseRecord
from meshchaos.history.samples import Samples
from meshchaos.probes.file import read_probes
from meshchaos.run import events
from meshchaos.run.history_file import of_kind
from meshchaos.run.outcome import (
    EXIT_ERROR,
    EXIT_FAIL,
    EXIT_INTERRUPTED,
    EXIT_LEFTOVER,
    EXIT_PASS,
    EXIT_UNDECIDED,
)
from meshchaos.run.result import PhaseCount, Result

_EXITS = {
    Verdict.PASS: EXIT_PASS,
    Verdict.FAIL: EXIT_FAIL,
    Verdict.INCONCLUSIVE: EXIT_UNDECIDED,
    Verdict.INVALID: EXIT_UNDECIDED,
    Verdict.ERROR: EXIT_ERROR,
}


def judge_run(
    experiment: Experiment,
    checks: Sequence[Check],
    found: Sequence[events.Event],
    samples: Mapping[str, Samples],
    folder: Path,
) -> Result:
    """``found``: the run's events in order; ``samples`` by load name. Raises UserError for events that are no run's."""
    started = next(of_kind(found, events.RunStarted), None)
    if started is None:
        raise UserError(f"{folder}: the history does not say that a run started")
    history = history_of(experiment, found, samples)
    history = replace(history, edges=_edges(found, folder), probes=_probes(found, folder))
    history = replace(history, generator=_generators(experiment, history, found))
    alpha = 1 - experiment.confidence
    steady = steady_state(checks, history, alpha)
    findings = judge_checks(checks, history, experiment.confidence)
    applied = tuple(fault for fault in history.faults if fault.applied_at is not None)
    proofs = injection_findings(replace(history, faults=applied))
    stops = list(of_kind(found, events.Stopped))
    leftovers = tuple(event.message for event in of_kind(found, events.LeftBehind))
    stopped = next((stop.finding for stop in stops if stop.finding is not None), None)
    verdict, reason, exit_code = _verdict(
        stops=stops,
        leftovers=leftovers,
        findings=findings,
        proofs=proofs,
        steady=steady,
        stopped=stopped,
        history=history,
    )
    healed = not leftovers and (not applied or any(True for _ in of_kind(found, events.Healed)))
    last = [event for event in found if not isinstance(event, (events.Judged, events.RunFinished))][-1]
    return Result(
        verdict=verdict,
        reason=reason,
        exit_code=exit_code,
        experiment=started.experiment,
        hypothesis=started.hypothesis,
        run_id=started.run_id,
        mesh=started.mesh,
        seed=started.seed,
        confidence=experiment.confidence,
        versions=started.versions,
        started=started.at,
        finished=last.at,
        phases=tuple(_count(phase, samples) for phase in history.phases),
        faults=history.faults,
        findings=findings,
        proofs=proofs,
        steady=steady,
        stopped=stopped,
        load=history.generator,
        healed=healed,
        leftovers=leftovers,
        overrides=started.overrides,
        healers=started.healers,
        warnings=tuple(event.message for event in of_kind(found, events.Warned)),
        source=started.source,
        folder=folder,
    )


def history_of(experiment: Experiment, found: Sequence[events.Event], samples: Mapping[str, Samples]) -> History:
    """The events as checks see them: each fault as it was last told."""
    faults: dict[str, FaultRecord] = {}
    for event in found:
        if isinstance(event, (events.FaultChanged, events.Evidence)):
            faults[event.record.id] = event.record
    return History(
        phases=tuple(event.record for event in of_kind(found, events.PhaseFinished)),
        faults=tuple(faults.values()),
        samples=samples,
        generator=tuple(event.health for event in of_kind(found, events.LoadFinished)),
        confidence=experiment.confidence,
        notes=tuple(event.message for event in of_kind(found, events.Warned)),
        queries={event.answer.ask: event.answer for event in of_kind(found, events.QueryAnswered)},
    )


def _edges(found: Sequence[events.Event], folder: Path) -> Mapping[EdgeAsk, Edge]:
    """As the last word on them has it; of a file that cannot be read that is the problem of each."""
    told = list(of_kind(found, events.EdgesWatched))
    if not told:
        return {}
    records = told[-1].edges
    if len(told) == 1:  # the run ended before the proxies had written all
        records = tuple(replace(one, problem=one.problem or "the run was broken off") for one in records)
    try:
        return read_edges(folder, records)
    except EvidenceError as error:
        return {one.ask: Edge(replace(one, problem=str(error)), (), ()) for one in records}


def _probes(found: Sequence[events.Event], folder: Path) -> Mapping[ProbeAsk, Probed]:
    """The same for probes."""
    told = list(of_kind(found, events.ProbesSent))
    if not told:
        return {}
    records = told[-1].probes
    if len(told) == 1:
        records = tuple(replace(one, problem=one.problem or "the run was broken off") for one in records)
    try:
        return read_probes(folder, records)
    except EvidenceError as error:
        return {one.ask: Probed(replace(one, problem=str(error)), ()) for one in records}


def _verdict(
    *,
    stops: Sequence[events.Stopped],
    leftovers: Sequence[str],
    findings: Sequence[Finding],
    proofs: Sequence[Finding],
    steady: Sequence[Finding],
    stopped: Finding | None,
    history: History,
) -> tuple[Verdict, str, int]:
    """By precedence: could not heal, interrupted, ERROR, INVALID, FAIL, INCONCLUSIVE, PASS."""
    by_kind = {stop.kind: stop.reason for stop in reversed(stops)}
    if leftovers:
        why = by_kind.get("error") or by_kind.get("interrupted")
        return Verdict.ERROR, f"could not put back: {leftovers[0]}" + (f" (after: {why})" if why else ""), EXIT_LEFTOVER
    if "interrupted" in by_kind:
        return Verdict.ERROR, f"{by_kind['interrupted']}; everything was put back", EXIT_INTERRUPTED
    if "error" in by_kind:
        return Verdict.ERROR, by_kind["error"], EXIT_ERROR
    if "invalid" in by_kind:
        return Verdict.INVALID, by_kind["invalid"], EXIT_UNDECIDED
    verdict = overall(
        findings,
        proof=proofs,
        steady=steady,
        generator=history.generator,
        stopped=stopped,
        confidence=history.confidence,
    )
    return verdict.verdict, verdict.reason, _EXITS[verdict.verdict]


def _generators(experiment: Experiment, history: History, found: Sequence[events.Event]) -> tuple[GeneratorHealth, ...]:
    """As they were told, each compared with the samples that are there now. In a run that nothing ended early, a load
    of which nothing was told is not healthy.
    """
    told = [_complete(health, history) for health in history.generator]
    if not any(stop.kind in {"error", "interrupted", "invalid"} for stop in of_kind(found, events.Stopped)):
        silent = [load for load in experiment.loads if load.name not in {health.load for health in told}]
        why = "nothing says whether its generator kept its rate"
        told += [GeneratorHealth(load.name, load.rate, 0.0, 0.0, 0, healthy=False, reason=why) for load in silent]
    return tuple(told)


def _complete(health: GeneratorHealth, history: History) -> GeneratorHealth:
    phases = [phase for phase in history.phases if phase.name != "warmup"]
    if health.requests is None or not phases:
        return health
    samples = history.samples.get(health.load)
    there = len(samples.between(phases[0].start, phases[-1].end)) if samples is not None else 0
    if there == health.requests:
        return health
    return replace(health, healthy=False, reason=f"its sample file holds {there:,} of {health.requests:,} requests")


def _count(phase: PhaseRecord, samples: Mapping[str, Samples]) -> PhaseCount:
    chosen = [some.between(phase.start, phase.end) for some in samples.values()]
    requests = sum(len(some) for some in chosen)
    return PhaseCount(phase, requests, requests - sum(int(some.good().sum()) for some in chosen))
