"""The real rooms, for the engine."""

from __future__ import annotations

from collections.abc import Sequence

from meshchaos.evidence.accepted import AcceptedProver
from meshchaos.evidence.config_change import ConfigProver
from meshchaos.evidence.edge_watch import EdgeWatch
from meshchaos.evidence.endpoints import EndpointsProver
from meshchaos.evidence.injection import InjectionProver
from meshchaos.evidence.killed import KilledProver
from meshchaos.evidence.partition import PartitionProver
from meshchaos.evidence.query_watch import QueryWatch
from meshchaos.evidence.stale import StaleProver
from meshchaos.evidence.weights import WeightsProver
from meshchaos.experiment.config import PrometheusConfig
from meshchaos.faults.kind import (
    AcceptedProof,
    ConfigProof,
    EndpointsProof,
    KilledProof,
    PartitionProof,
    Placement,
    StaleProof,
    WeightsProof,
)
from meshchaos.faults.observing import needed_headers
from meshchaos.history.edges import EdgeRecord
from meshchaos.load.driver import LoadDriver, LoadPlan
from meshchaos.load.locust_driver import LocustDriver
from meshchaos.mesh.seam import Mesh
from meshchaos.probes.prober import Prober
from meshchaos.run import events
from meshchaos.run.callers import proved_by_callers_too
from meshchaos.run.edges_so_far import live_edges
from meshchaos.run.probe import probe_load
from meshchaos.run.rooms import Observer, Prover, Rooms, Scene


def rooms() -> Rooms:
    return Rooms(driver=_driver, prover=_prover, log_headers=needed_headers, probe=probe_load, observers=_observers)


def _driver(plan: LoadPlan, limit: float | None) -> LoadDriver:
    return LocustDriver(plan, latency_limit=limit)


def _prover(mesh: Mesh, placement: Placement, _run_id: str) -> Prover:
    proof = proved_by_callers_too(mesh, placement).proof
    match proof:
        case ConfigProof():
            return ConfigProver(mesh, proof)
        case WeightsProof():
            return WeightsProver(mesh, proof)
        case EndpointsProof():
            return EndpointsProver(mesh, proof)
        case PartitionProof():
            return PartitionProver(mesh, proof)
        case StaleProof():
            return StaleProver(mesh, proof)
        case KilledProof():
            return KilledProver(mesh, proof)
        case AcceptedProof():
            return AcceptedProver(mesh, placement.changes, proof.words)
    return InjectionProver(mesh, proof)


def _observers(scene: Scene) -> Sequence[Observer]:
    found: list[Observer] = []
    prober = _prober(scene)
    if scene.plan.edges:

        def emit(records: Sequence[EdgeRecord]) -> None:
            scene.emit(events.EdgesWatched(scene.clock.now(), tuple(records)))

        seen = prober.seen if prober is not None else None
        live = live_edges(scene.plan.checks, scene.plan.experiment.stop_if)
        found.append(EdgeWatch(scene.mesh, scene.plan.edges, scene.folder, emit, seen=seen, live=live))
    if scene.plan.queries and scene.plan.prometheus is not None:
        found.append(_query_watch(scene, scene.plan.prometheus))
    # Begun last and ended first: the watch of the edges sees all that it does.
    return [*found, prober] if prober is not None else found


def _query_watch(scene: Scene, config: PrometheusConfig) -> QueryWatch:
    from meshchaos.evidence.prometheus import Prometheus

    now = scene.clock.now
    return QueryWatch(
        Prometheus(config),
        scene.plan.queries,
        scene.phases,
        now,
        answered=lambda answer: scene.emit(events.QueryAnswered(now(), answer)),
        warn=lambda text: scene.emit(events.Warned(now(), text)),
    )


def _prober(scene: Scene) -> Prober | None:
    plan = scene.plan
    if not plan.probes:
        return None
    return Prober(
        scene.mesh,
        plan.probes,
        plan.tokens(scene.mesh.signing_keys()),
        scene.folder,
        lambda records: scene.emit(events.ProbesSent(scene.clock.now(), tuple(records))),
        run_id=plan.run_id,
        namespace=plan.namespace,
        phase=scene.phase,
    )
