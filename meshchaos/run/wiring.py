"""The real rooms, for the engine."""

from __future__ import annotations

from meshchaos.evidence.injection import InjectionProver
from meshchaos.faults.kind import Placement
from meshchaos.faults.observing import needed_headers
from meshchaos.load.driver import LoadDriver, LoadPlan
from meshchaos.load.locust_driver import LocustDriver
from meshchaos.mesh.seam import Mesh
from meshchaos.run.probe import probe_load
from meshchaos.run.rooms import Prover, Rooms


def rooms() -> Rooms:
    return Rooms(driver=_driver, prover=_prover, log_headers=needed_headers, probe=probe_load)


def _driver(plan: LoadPlan, limit: float | None) -> LoadDriver:
    return LocustDriver(plan, latency_limit=limit)


def _prover(mesh: Mesh, placement: Placement, _run_id: str) -> Prover:
    return InjectionProver(mesh, placement.proof)
