"""The fault ``scale``: a Deployment has another number of replicas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from meshchaos.errors import CannotPlace
from meshchaos.experiment.fields import About, Text, spec
from meshchaos.experiment.model import SpecKind
from meshchaos.faults.kind import EndpointsProof, FaultContext, Placement
from meshchaos.faults.owners import reconciler, way_out
from meshchaos.faults.whole_workload import refuse_two, the_workload
from meshchaos.mesh.changes import EditObject, recorded
from meshchaos.mesh.edits import MISSING, SetField
from meshchaos.mesh.objects import Manifest, Ref, ref_of
from meshchaos.mesh.seam import Snapshot

_SCALERS = {"HorizontalPodAutoscaler": "HorizontalPodAutoscaler", "ScaledObject": "KEDA's ScaledObject"}


@spec
class ScaleSpec:
    workload: Annotated[Text, About("the Deployment: ratings-v1, ratings-v1.bookinfo")]
    replicas: Annotated[int, About("how many it has meanwhile; 0: none")]

    def check(self) -> None:
        if self.replicas < 0:
            raise ValueError("replicas must be 0 or more")


class ScaleKind:
    kind = SpecKind("scale", ScaleSpec, summary="a workload has another number of replicas")
    family = "replicas"

    def place(self, spec: ScaleSpec, mesh: Snapshot, context: FaultContext) -> Placement:
        """The edit of ``spec.replicas``. Raises UserError, CannotPlace."""
        workload = the_workload(mesh, spec.workload, context.namespace)
        ref = Ref("Deployment", workload.namespace, workload.name)
        owner = next((item for item in mesh.objects if ref_of(item) == ref), None)
        if owner is None:
            raise CannotPlace(f"there is no {ref} to scale")
        for who in _owners(owner, mesh):
            raise CannotPlace(
                f"{who} decides how many replicas {workload.name} has and would put it back: pause it first"
                f"{_how(who, owner)}"
            )
        now = sum(replica.ready for replica in workload.replicas)
        if now == spec.replicas:
            raise CannotPlace(f"{workload.name} has {now} replicas already")
        change = EditObject(ref, (SetField(("spec", "replicas"), MISSING, spec.replicas),))
        return Placement(
            id=context.id,
            kind=self.kind.key,
            at="server",
            edge=f"{workload.name}, {now} to {spec.replicas} replicas",
            reason="in its Deployment",
            changes=(recorded(owner, change),),
            proof=EndpointsProof(workload.name, workload.namespace, spec.replicas),
            felt_by=(f"every client of {workload.name}",),
        )

    def combine(self, placements: Sequence[Placement]) -> tuple[Placement, ...]:
        """Raises CannotPlace for two that are about one workload."""
        return refuse_two(placements)


SCALE = ScaleKind()


def _how(who: str, deployment: Manifest) -> str:
    return f" ({way_out(who, deployment)})" if who == reconciler(deployment) else ""


def _owners(deployment: Manifest, mesh: Snapshot) -> Iterator[str]:
    """Who else decides on the number of its replicas."""
    controller = reconciler(deployment)
    if controller:
        yield controller
    meta = deployment["metadata"]
    for kind, words in _SCALERS.items():
        for item in mesh.of_kind(kind):
            target = (item.get("spec") or {}).get("scaleTargetRef") or {}
            named = target.get("name") == meta["name"] and target.get("kind", "Deployment") == "Deployment"
            if named and ref_of(item).namespace == ref_of(deployment).namespace:
                yield f"{words} {item['metadata']['name']}"
