"""The faults ``certificate`` and ``controlPlane``: what the control plane owes a proxy does not come any more.

By marks on the workload's Pods, which a mesh obeys that plays its control plane itself (``mesh.proxy_marks``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from meshchaos.errors import CannotPlace
from meshchaos.experiment.fields import About, Text, spec
from meshchaos.experiment.model import SpecKind
from meshchaos.faults.kind import ConfigProof, FaultContext, Placement, Probe, StaleProof
from meshchaos.faults.whole_workload import the_workload
from meshchaos.mesh import proxy_marks as marks
from meshchaos.mesh.changes import Change, Create, EditObject, recorded
from meshchaos.mesh.edits import MISSING, SetField
from meshchaos.mesh.istio.ports import may_be_http
from meshchaos.mesh.istio.services import services, workloads_of
from meshchaos.mesh.objects import Manifest, Ref, ref_of
from meshchaos.mesh.seam import Snapshot, Workload


@spec
class CertificateSpec:
    workload: Annotated[Text, About("of the proxies of this workload: ratings-v1, ratings-v1.bookinfo")]
    expired: Annotated[Literal[True], About("past its end, as when nobody renewed it")] = True


@spec
class ControlPlaneSpec:
    workload: Annotated[Text, About("the proxies of this workload: ratings-v1, ratings-v1.bookinfo")]
    stale: Annotated[Literal[True], About("get nothing new: no configuration, endpoints, certificates")] = True


class CertificateKind:
    kind = SpecKind("certificate", CertificateSpec, summary="a workload's certificate is past its end")
    family = "certificate"

    def place(self, spec: CertificateSpec, mesh: Snapshot, context: FaultContext) -> Placement:
        """The marks and what shows it. Raises UserError, CannotPlace."""
        workload = _marked(spec.workload, marks.CERTIFICATE, mesh, context)
        probe = _probe(workload, mesh)
        warnings = ["listeners and clusters of its proxies are made anew: ejections are forgotten, connections end"]
        if probe is None:
            warnings.append("no call of ours shows that it bites, only that the proxies run it")
        return Placement(
            id=context.id,
            kind=self.kind.key,
            at="server",
            edge=f"{workload.name}, certificate expired",
            reason="in its proxies, by the mesh's own authority",
            changes=_changes(workload, marks.CERTIFICATE, marks.EXPIRED, mesh),
            proof=ConfigProof(
                proxies=_proxies(workload),
                section="secrets",
                resources="default",
                words="a certificate that is past its end",
                probe=probe,
            ),
            felt_by=(f"everybody who speaks mutual TLS with {workload.name}, and whom it calls",),
            warnings=tuple(warnings),
        )

    def combine(self, placements: Sequence[Placement]) -> tuple[Placement, ...]:
        """Raises CannotPlace for two that are about one workload."""
        return _refuse_two(placements)


class ControlPlaneKind:
    kind = SpecKind("controlPlane", ControlPlaneSpec, summary="a workload's proxies get nothing new any more")
    family = "controlPlane"

    def place(self, spec: ControlPlaneSpec, mesh: Snapshot, context: FaultContext) -> Placement:
        """The marks, a new host that all others learn of, and what shows it. Raises UserError, CannotPlace."""
        workload = _marked(spec.workload, marks.UPDATES, mesh, context)
        if all(one.name == workload.name for one in mesh.workloads if one.sidecar or one.gateway):
            raise CannotPlace(f"nobody but {workload.name} has a proxy, so nobody could show that the others get more")
        host = f"{context.id}.update.invalid"
        return Placement(
            id=context.id,
            kind=self.kind.key,
            at="server",
            edge=f"{workload.name}, stale",
            reason="between the control plane and its proxies; a new host shows who learns of it",
            changes=(
                *_changes(workload, marks.UPDATES, marks.STOPPED, mesh),
                Create(_new_host(context.id, host, workload.namespace)),
            ),
            proof=StaleProof(_proxies(workload), f"outbound|80||{host}"),
            felt_by=(f"{workload.name}, and who goes by what its proxies know",),
        )

    def combine(self, placements: Sequence[Placement]) -> tuple[Placement, ...]:
        """Raises CannotPlace for two that are about one workload."""
        return _refuse_two(placements)


CERTIFICATES = CertificateKind()
CONTROL_PLANE = ControlPlaneKind()


def _marked(reference: str, mark: str, mesh: Snapshot, context: FaultContext) -> Workload:
    """The workload that is meant. Raises UserError, CannotPlace where this mesh or this workload cannot do it."""
    if mark not in mesh.marks:
        raise CannotPlace("this mesh's control plane is not ours to disturb: that can be done in a local mesh only")
    workload = the_workload(mesh, reference, context.namespace)
    if not (workload.sidecar or workload.gateway):
        raise CannotPlace(f"{workload.name} has no proxy, so a control plane owes it nothing")
    if not _proxies(workload):
        raise CannotPlace(f"no replica of {workload.name} is ready")
    return workload


def _proxies(workload: Workload) -> tuple[str, ...]:
    return tuple(f"{one.name}.{one.namespace}" for one in workload.replicas if one.ready)


def _changes(workload: Workload, mark: str, value: str, mesh: Snapshot) -> tuple[Change, ...]:
    pods = {ref_of(item): item for item in mesh.of_kind("Pod")}
    edit = SetField(("metadata", "annotations", mark), MISSING, value)
    refs = [Ref("Pod", one.namespace, one.name) for one in workload.replicas if one.ready]
    return tuple(recorded(pods[ref], EditObject(ref, (edit,))) for ref in refs if ref in pods)


def _new_host(name: str, host: str, namespace: str) -> Manifest:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "hosts": [host],
            "location": "MESH_EXTERNAL",
            "resolution": "STATIC",
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "endpoints": [{"address": "127.0.0.1", "ports": {"http": 1}}],
        },
    }


def _probe(workload: Workload, mesh: Snapshot) -> Probe | None:
    """A call that nobody else can answer in the workload's stead; None where there is none. Nobody speaks mutual TLS to
    a gateway.
    """
    if workload.gateway:
        return None
    callers = [one for one in mesh.workloads if one.sidecar and not one.gateway and one.name != workload.name]
    for service in services(mesh.objects, mesh.domain):
        ports = [port for port in service.ports if may_be_http(port.protocol)]
        alone = [one.name for one in workloads_of(service, mesh.workloads)] == [workload.name]
        if callers and ports and alone:
            url = f"http://{service.name}.{service.namespace}:{ports[0].number}/"
            return Probe(callers[0].name, callers[0].namespace, url)
    return None


def _refuse_two(placements: Sequence[Placement]) -> tuple[Placement, ...]:
    taken: set[str] = set()
    for placement in placements:
        if placement.edge in taken:
            raise CannotPlace(f"two faults are about one thing ({placement.edge}): put them in two experiments")
        taken.add(placement.edge)
    return tuple(placements)
