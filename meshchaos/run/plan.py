"""What an experiment would do to a mesh, worked out without touching it.

``meshchaos plan`` prints it; a run carries it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshchaos.checks.kind import Check, CheckContext, asks_of
from meshchaos.errors import UserError
from meshchaos.experiment.config import PrometheusConfig
from meshchaos.experiment.model import Experiment, Issuer, PhaseName, Slo, Where
from meshchaos.faults.kind import Placement
from meshchaos.history.asks import QueryAsk
from meshchaos.history.edges import EdgeRecord
from meshchaos.history.probes import ProbeRecord
from meshchaos.load.driver import LoadPlan
from meshchaos.mesh.changes import Change
from meshchaos.mesh.seam import Entry, Snapshot
from meshchaos.run.diff import ObjectDiff, object_diffs
from meshchaos.run.edges import asking, edges_of
from meshchaos.run.loads import load_plans
from meshchaos.run.placing import at_place, place
from meshchaos.run.probes import open_doors, probes_of, shortages
from meshchaos.run.timeline import Timing
from meshchaos.run.vocabulary import Kinds, plugs
from meshchaos.units import format_duration

_SLACK = 15.0
"""Seconds that a run takes beside its phases: starting the load, confirming, draining."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``changes`` in the order they are made; ``seconds`` is what the phases take at most; ``needs`` and
    ``warnings`` are lines for people.
    """

    experiment: Experiment
    run_id: str
    seed: int
    namespace: str
    placements: tuple[Placement, ...]
    checks: tuple[Check, ...]
    entries: Mapping[str, Entry]
    diffs: tuple[ObjectDiff, ...]
    seconds: float
    needs: tuple[str, ...]
    warnings: tuple[str, ...]
    edges: tuple[EdgeRecord, ...] = ()
    """Those that the checks want watched."""
    queries: tuple[QueryAsk, ...] = ()
    """What the checks ask the mesh's Prometheus."""
    prometheus: PrometheusConfig | None = None
    timings: Mapping[str, Timing] = field(default_factory=dict)
    """Of the placements that are not simply live for the whole fault phase, by their ids."""
    probes: tuple[ProbeRecord, ...] = ()
    """Calls that the checks want made."""
    callers: tuple[str, ...] = ()
    """Clients of the mesh's own that loads and probes need (``Mesh.deploy``)."""
    issuers: Mapping[str, Issuer] = field(default_factory=dict)
    """Who signs tokens for them."""

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(change for placement in self.placements for change in placement.changes)

    def load_plans(self, folder: Path) -> list[LoadPlan]:
        """The loads ready to go, their samples in ``folder``. Raises UserError for a secret that is not there."""
        return load_plans(
            self.experiment, self.entries, run_id=self.run_id, seed=self.seed, folder=folder, seconds=self.seconds
        )

    def tokens(self, played: Mapping[str, str]) -> tuple[tuple[str | None, ...], ...]:
        """What goes behind ``Bearer`` in each of ``probes``, by its ask's tokens. ``played``: ``Mesh.signing_keys``.
        Raises FileError, at the expectation, for a secret that is not there, and for an issuer without a key. Never
        write the answer down.
        """
        from meshchaos.probes.tokens import bearer

        folder = Path(self.experiment.where.file).parent
        found = []
        for record in self.probes:
            with at_place(self.place_of(record)):
                found.append(tuple(bearer(one, self.issuers, folder, played) for one in record.ask.tokens))
        return tuple(found)

    def place_of(self, record: ProbeRecord) -> Where:
        """In the file: of the first expectation that asks for it."""
        check = next((one for one in self.checks if record.ask in asks_of((one,))), None)
        return getattr(check, "where", None) or self.experiment.where


def make_plan(
    experiment: Experiment,
    snapshot: Snapshot,
    kinds: Kinds,
    *,
    slos: Mapping[str, Slo],
    run_id: str,
    seed: int,
    entries: Mapping[str, Entry],
    prometheus: PrometheusConfig | None = None,
    assume: float | None = None,
    issuers: Mapping[str, Issuer] | None = None,
) -> Plan:
    """Places every fault and makes every check. ``prometheus``: the mesh's. ``assume``: a true success share, for the
    power of the plan.
    Raises UserError (CannotPlace, FileError) for what cannot be done on this mesh.
    """
    namespace = namespace_of(experiment, snapshot)
    placed = place(experiment, snapshot, kinds, namespace=namespace, run_id=run_id, seed=seed)
    placements = placed.placements
    checks = make_checks(experiment, kinds, slos)
    queries = queries_of(checks, prometheus)
    seconds = sum(phase.at_most for phase in experiment.phases)
    more = _SLACK + max((ask.settle for ask in queries), default=0.0)
    if seconds + more > experiment.deadlines.run:
        raise UserError(
            f"{experiment.where.file}: spec.deadlines.run: the phases take {seconds:g}s and the run about {more:g}s "
            f"more, but it may take {experiment.deadlines.run:g}s only; write a longer deadline or shorter phases"
        )
    warnings = [f"{one.id} ({one.kind}): {warning}" for one in placements for warning in one.warnings]
    warnings += [
        f"{placement.id} ({placement.kind}) sits in the client's proxy and never meets: {', '.join(placement.bypassed)}"
        for placement in placements
        if placement.bypassed
    ]
    needs, short = sample_needs(experiment, kinds, slos, assume, judged=len(checks))
    probes = probes_of(checks, snapshot, namespace)
    diffs = object_diffs(snapshot, [change for placement in placements for change in placement.changes])
    return Plan(
        experiment=experiment,
        run_id=run_id,
        seed=seed,
        namespace=namespace,
        placements=placements,
        checks=checks,
        entries=entries,
        diffs=diffs,
        seconds=seconds,
        needs=tuple(needs),
        warnings=(*warnings, *short, *shortages(experiment, probes), *open_doors(probes, snapshot, namespace)),
        edges=edges_of([*checks, *asking(experiment.stop_if)], snapshot, namespace, [diff.after for diff in diffs]),
        queries=queries,
        prometheus=prometheus,
        timings=placed.timings,
        probes=probes,
        issuers=issuers or {},
    )


def namespace_of(experiment: Experiment, snapshot: Snapshot) -> str:
    """The namespace in which the experiment's short names are looked up."""
    if experiment.namespace:
        if snapshot.namespaces and experiment.namespace not in snapshot.namespaces:
            raise UserError(
                f"{experiment.where.file}: metadata.namespace: the mesh has no namespace {experiment.namespace!r}; "
                f"it has {', '.join(snapshot.namespaces)}"
            )
        return experiment.namespace
    return snapshot.namespaces[0] if snapshot.namespaces else "default"


def make_checks(experiment: Experiment, kinds: Kinds, slos: Mapping[str, Slo]) -> tuple[Check, ...]:
    """The checks of all expectations. Raises UserError for two of one name, and what the kinds raise."""
    context = CheckContext(experiment, slos)
    made: list[Check] = []
    seen: dict[str, int] = {}
    for expectation in experiment.expect:
        with plugs(kinds.checks[expectation.kind]):
            its = tuple(kinds.checks[expectation.kind].checks(expectation, context))
        if not its:  # a plug-in's mistake, and the run would pass without having judged it
            with at_place(expectation.where):
                raise UserError(f"{expectation.kind}: the plug-in made no check of it, so it would not be judged")
        for check in its:
            if check.name in seen:
                with at_place(expectation.where):
                    raise UserError(
                        f"two expectations are called {check.name!r} (the other is spec.expect[{seen[check.name]}]); "
                        "give one of them a `name:`"
                    )
            seen[check.name] = expectation.index
            made.append(check)
    return tuple(made)


def queries_of(checks: Sequence[Check], prometheus: PrometheusConfig | None) -> tuple[QueryAsk, ...]:
    """What is to be asked of the mesh's Prometheus. Raises FileError, at the expectation, where the mesh has none."""
    for check in checks:
        if prometheus is None and any(isinstance(ask, QueryAsk) for ask in asks_of((check,))):
            with at_place(getattr(check, "where", None) or Where("", 0, 0, "")):
                raise UserError(
                    "the mesh has no Prometheus to ask: write `prometheus: {url: http://...}` for it in meshchaos.yaml"
                )
    return tuple(ask for ask in asks_of(checks) if isinstance(ask, QueryAsk))


def sample_needs(
    experiment: Experiment, kinds: Kinds, slos: Mapping[str, Slo], assume: float | None, *, judged: int = 1
) -> tuple[list[str], list[str]]:
    """Lines on the samples that a PASS needs, and warnings where the phases cannot bring them. ``judged``: how many
    checks share the error rate of a FAIL.
    """
    context = CheckContext(experiment, slos)
    needs: list[str] = []
    short: list[str] = []
    for expectation in experiment.expect:
        kind = kinds.checks[expectation.kind]
        with plugs(kind):
            found = kind.plan(expectation, context) if hasattr(kind, "plan") else None
        for need in found or ():
            needs.append(_need_line(need, assume, judged))
            if need.warning is not None:
                short.append(need.warning)
    return needs, short


def _need_line(need: Any, assume: float | None, judged: int) -> str:
    rate = need.planned / need.seconds if need.planned and need.seconds else None
    line = f"{need.name} ({need.phase}): {need.clean:,} {need.unit} without a bad one{_duration(need.clean, rate)}"
    if need.planned is not None:
        line += f"; the run sends about {need.planned:,}"
    if assume is not None and need.has_power:
        power = need.assumed(assume, judged)
        if power is None:
            line += f"; at a true {assume:.4%} no number decides: that is the limit itself"
        else:
            line += f"; at a true {assume:.4%} 80 % power takes {power:,}{_duration(power, rate)}"
        early = need.assumed_early(assume, judged)
        if early is not None:
            line += f", an early verdict comes after about {early:,}{_duration(early, rate)}"
    return line


def _duration(requests: int, rate: float | None) -> str:
    if not rate:
        return ""
    seconds = requests / rate
    return f" ({seconds:.0f}s)" if seconds < 90 else f" ({seconds / 60:.1f}min)"


def plan_words(plan: Plan) -> Iterator[str]:
    """The plan in one line a load, phase and fault."""
    for load in plan.experiment.loads:
        how = (
            f"{load.rate:g} requests/s, {load.arrivals}"
            if load.rate is not None
            else f"{load.users} users (closed model)"
        )
        yield f"load {load.name}: {how}, {plan.entries[load.name].words}, to {load.target}"
    if plan.experiment.existing:
        watched = ", ".join(str(record.ask) for record in plan.edges)
        yield f"load: what the mesh's own users send, by their proxies' logs{': ' + watched if watched else ''}"
    if plan.callers:
        yield f"Pods of ours that call, made for the run: as {', '.join(plan.callers)}"
    phases: list[tuple[PhaseName, float]] = [(phase.name, phase.at_most) for phase in plan.experiment.phases]
    for record in plan.probes:
        cells = f"{len(record.cells)} calls" if len(record.cells) != 1 else "1 call"
        text = f"probes {record.ask}: {cells}, each every {format_duration(record.every)}"
        yield text + (f"; left out: {'; '.join(record.left_out)}" if record.left_out else "")
    yield "phases: " + ", ".join(f"{name} {seconds:g}s" for name, seconds in phases)
    for placement in plan.placements:
        yield f"fault {placement.id}: {placement.kind} {placement.edge}, at the {placement.at}: {placement.reason}"
        if placement.id in plan.timings:
            yield f"  {plan.timings[placement.id]}"
    for ask in plan.queries:
        if ask.at != "start":
            query = " ".join(ask.query.split())
            yield f"Prometheus is asked about the {ask.phase} phase, {ask.settle:g}s after its end: {query}"
