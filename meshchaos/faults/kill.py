"""The fault ``kill``: replicas of a workload end at once, and come back by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from meshchaos.errors import CannotPlace
from meshchaos.experiment.fields import About, PositiveDuration, Replicas, Text, spec
from meshchaos.experiment.model import SpecKind
from meshchaos.faults.edge import how_many
from meshchaos.faults.kind import FaultContext, Kill, KilledProof, Placement
from meshchaos.faults.whole_workload import refuse_two, the_workload
from meshchaos.mesh.seam import Snapshot
from meshchaos.units import format_duration

What = Literal["pod", "app", "proxy"]
_WORDS = {"pod": "the Pod", "app": "the application's container", "proxy": "the proxy's container"}


@spec
class KillSpec:
    workload: Annotated[Text, About("the Deployment: ratings-v1, ratings-v1.bookinfo")]
    replicas: Annotated[Replicas, About("so many of its replicas (1, 50%), drawn by the run's seed")] = 1
    what: Annotated[What, About("the whole Pod, or by SIGKILL the processes of one of its containers")] = "pod"
    every: Annotated[PositiveDuration | None, About("again after so long, until the phase ends")] = None


class KillKind:
    kind = SpecKind("kill", KillSpec, summary="replicas end at once, and come back")
    family = "replicas"

    def place(self, spec: KillSpec, mesh: Snapshot, context: FaultContext) -> Placement:
        """Whom to kill and how that is seen. Raises UserError, CannotPlace."""
        workload = the_workload(mesh, spec.workload, context.namespace)
        there = sum(replica.ready for replica in workload.replicas)
        if spec.what == "proxy" and not (workload.sidecar or workload.gateway):
            raise CannotPlace(f"{workload.name} has no proxy that could be killed")
        if spec.what == "app" and workload.gateway:
            raise CannotPlace(f"{workload.name} is a gateway and has no application: what: proxy, or pod")
        count = how_many(spec.replicas, there, workload.name)
        left = "" if count < there else f"nobody of {workload.name} is left meanwhile"
        again = f", every {format_duration(spec.every)}" if spec.every is not None else ""
        return Placement(
            id=context.id,
            kind=self.kind.key,
            at="server",
            edge=f"{workload.name}, {count} of {there} replicas",
            reason=f"{_WORDS[spec.what]}{again}; what runs {workload.name} brings it back",
            changes=(),
            proof=KilledProof(workload.name, workload.namespace),
            felt_by=(f"every client of {workload.name}",),
            warnings=(left,) if left else (),
            kill=Kill(
                workload.name,
                workload.namespace,
                spec.replicas,
                spec.what,
                f"{context.seed}/{context.index}",
                spec.every,
            ),
        )

    def combine(self, placements: Sequence[Placement]) -> tuple[Placement, ...]:
        """Raises CannotPlace for two that are about one workload."""
        return refuse_two(placements)


KILL = KillKind()
