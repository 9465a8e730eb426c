"""Whether the mesh would take what a plan is going to write: asked before anything is done."""

from __future__ import annotations

from meshchaos.errors import AlreadyExists, CannotPlace, Conflict, NotFound, ProxyRejected, Refused
from meshchaos.mesh.seam import Mesh
from meshchaos.run.placing import at_place, fault_id
from meshchaos.run.plan import Plan
from meshchaos.run.timeline import live_before


def refuse_unfit(plan: Plan, mesh: Mesh) -> None:
    """Raises FileError, with the fault's place, for a change that the mesh refuses (an unknown field, a webhook)."""
    experiment = plan.experiment
    wheres = {fault_id(plan.run_id, fault.index): fault.where for fault in experiment.faults}
    for position, placement in enumerate(plan.placements):
        if not placement.changes:
            continue
        live = live_before(plan.placements, plan.timings, position)
        changes = [change for one in (*live, placement) for change in one.changes]
        with at_place(wheres.get(placement.id, experiment.where)):
            try:
                mesh.dry_run(changes)
            except (AlreadyExists, Conflict, NotFound, ProxyRejected, Refused) as error:
                raise CannotPlace(str(error)) from error
