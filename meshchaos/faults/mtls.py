"""The fault ``mtls``: servers demand mutual TLS, take plaintext as well, or know no TLS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from meshchaos.errors import CannotPlace
from meshchaos.experiment.fields import About, Text, spec
from meshchaos.experiment.model import SpecKind
from meshchaos.faults.edge import identity_labels, pod_specs
from meshchaos.faults.kind import ConfigProof, FaultContext, Placement, Probe
from meshchaos.faults.owners import will_undo
from meshchaos.faults.rules import effective_rule
from meshchaos.mesh.changes import Change, Create, EditObject, recorded
from meshchaos.mesh.edits import MISSING, SetField
from meshchaos.mesh.istio import destination_rules, peer_authentication
from meshchaos.mesh.istio.order import namespace_of, oldest_first
from meshchaos.mesh.istio.ports import target_port
from meshchaos.mesh.istio.services import services, workloads_of
from meshchaos.mesh.istio.workloads import find_workloads
from meshchaos.mesh.objects import Manifest, ref_of, selects
from meshchaos.mesh.seam import Snapshot, Workload


@spec
class MtlsSpec:
    mode: Annotated[Literal["STRICT", "PERMISSIVE", "DISABLE"], About("what servers demand")]
    workload: Annotated[Text | None, About("of this workload alone")] = None
    namespace: Annotated[Text | None, About("of all workloads of this namespace")] = None
    mesh_wide: Annotated[bool, About("of all workloads of the mesh")] = False
    port: Annotated[int | None, About("only on this container port of the workload")] = None

    def check(self) -> None:
        if sum((self.workload is not None, self.namespace is not None, self.mesh_wide)) != 1:
            raise ValueError("mtls needs workload, namespace or meshWide: true, one of the three")
        if self.port is not None and self.workload is None:
            raise ValueError("port goes with workload: Istio reads ports in policies of workloads alone")


class MtlsKind:
    kind = SpecKind("mtls", MtlsSpec, summary="servers demand another mode of mutual TLS")
    family = "mtls"

    def place(self, spec: MtlsSpec, mesh: Snapshot, context: FaultContext) -> Placement:
        """The policy at that scope and what shows it. Raises UserError, CannotPlace."""
        meant = _meant(spec, mesh, context)
        servers = [one for one in meant if one.sidecar]
        if not servers:
            raise CannotPlace("no workload that is meant has a sidecar, so nobody there could speak mutual TLS")
        changing = [one for one in servers if _modes(one, spec, mesh) != {spec.mode}]
        if not changing:
            raise CannotPlace(f"the mode is {spec.mode} already for {', '.join(one.name for one in servers)}")
        scope = spec.workload or spec.namespace or "the mesh"
        change, warnings = _change(spec, servers, mesh, context)
        bare = sorted(one.name for one in mesh.workloads if not one.sidecar and not one.gateway)
        if bare and spec.mode == "STRICT":
            warnings.append(f"workloads without a sidecar speak plaintext and will be refused: {', '.join(bare)}")
        warnings += _at_odds(spec, changing, mesh)
        probe = _probe(spec, changing, mesh)
        if probe is None:
            warnings.append("no call of ours shows that it bites, only that the proxies run it")
        return Placement(
            id=context.id,
            kind="mtls",
            at="server",
            edge=f"{scope}{f':{spec.port}' if spec.port else ''}",
            reason="in the server's inbound proxy, by PeerAuthentication",
            changes=(change,),
            proof=ConfigProof(
                proxies=tuple(f"{r.name}.{r.namespace}" for one in changing for r in one.replicas if r.ready),
                section="listeners",
                resources="virtualInbound",
                words=f"mutual TLS in mode {spec.mode}",
                field="filter_chains",
                probe=probe,
            ),
            felt_by=(f"every client of {', '.join(one.name for one in changing)} that speaks otherwise",),
            warnings=tuple(warnings),
        )


MTLS = MtlsKind()


def disables(placement: Placement) -> bool:
    """Whether this fault makes servers know no TLS."""
    policies = [change.manifest.get("spec") or {} for change in placement.changes if isinstance(change, Create)]
    levels = [level for one in policies for level in (one.get("mtls"), *(one.get("portLevelMtls") or {}).values())]
    edits = [edit for change in placement.changes if isinstance(change, EditObject) for edit in change.edits]
    modes = [(level or {}).get("mode") for level in levels]
    modes += [edit.after for edit in edits if isinstance(edit, SetField)]
    return placement.kind == "mtls" and "DISABLE" in modes


def _meant(spec: MtlsSpec, mesh: Snapshot, context: FaultContext) -> list[Workload]:
    if spec.workload is not None:
        found = list(find_workloads(mesh.workloads, spec.workload, context.namespace))
        if len(found) != 1:
            raise CannotPlace(
                f"{spec.workload} is several workloads ({', '.join(one.name for one in found)}): name one"
            )
        return found
    if spec.namespace is not None and spec.namespace not in mesh.namespaces:
        raise CannotPlace(f"the mesh has no namespace {spec.namespace!r}; it has {', '.join(mesh.namespaces)}")
    return [one for one in mesh.workloads if not one.gateway and spec.namespace in (None, one.namespace)]


def _modes(workload: Workload, spec: MtlsSpec, mesh: Snapshot) -> set[str]:
    """The modes of the ports that are meant."""
    ports = [spec.port] if spec.port is not None else [port for _, _, port in _ports(workload, mesh)] or [0]
    return {
        peer_authentication.mode(mesh.objects, workload.namespace, workload.labels, port, mesh.root_namespace)
        for port in ports
    }


def _ports(workload: Workload, mesh: Snapshot) -> list[tuple[str, int, int]]:
    """(service, its port, the container's port) that lead to a workload."""
    pods = pod_specs(mesh)
    found = []
    for service in services(mesh.objects, mesh.domain):
        if workloads_of(service, [workload]):
            for port in service.ports:
                number = target_port(port.spec, pods.get((workload.namespace, workload.name)))
                if number is not None:
                    found.append((f"{service.name}.{service.namespace}", port.number, number))
    return found


def _at_odds(spec: MtlsSpec, servers: Sequence[Workload], mesh: Snapshot) -> list[str]:
    """Clients whose DestinationRule makes them speak otherwise than the servers will demand."""
    wrong = {"STRICT": ("DISABLE",), "DISABLE": ("ISTIO_MUTUAL", "MUTUAL"), "PERMISSIVE": ()}[spec.mode]
    found: dict[str, list[str]] = {}
    for service in services(mesh.objects, mesh.domain):
        if not workloads_of(service, servers):
            continue
        for client in (one for one in mesh.workloads if one.sidecar or one.gateway):
            rule = effective_rule(service, mesh, client)
            if rule is None:
                continue
            for mode in _tls_modes(rule, [port.number for port in service.ports]) & set(wrong):
                speaks = "plaintext" if mode == "DISABLE" else "mutual TLS"
                found.setdefault(f"speak {speaks} to {service} ({ref_of(rule)})", []).append(client.name)
    return [f"clients that {how} will be refused: {', '.join(sorted(who))}" for how, who in sorted(found.items())]


def _tls_modes(rule: Manifest, ports: Sequence[int]) -> set[str]:
    """The TLS modes that a rule names for a service, subsets included."""
    subsets = [None, *(str(one["name"]) for one in (rule.get("spec") or {}).get("subsets") or ())]
    policies = [destination_rules.traffic_policy(rule, port, name) for port in ports for name in subsets]
    return {str((policy.get("tls") or {}).get("mode")) for policy in policies if policy.get("tls")}


def _change(
    spec: MtlsSpec, servers: Sequence[Workload], mesh: Snapshot, context: FaultContext
) -> tuple[Change, list[str]]:
    """The edit of the oldest policy at that scope, which is the one that acts; a new one where there is none."""
    place = mesh.root_namespace if spec.mesh_wide else servers[0].namespace
    field = ("mtls", "mode") if spec.port is None else ("portLevelMtls", str(spec.port), "mode")
    for owner in oldest_first(mesh.objects, "PeerAuthentication"):
        chosen = ((owner.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
        ours = bool(chosen) and selects(chosen, servers[0].labels) if spec.workload else not chosen
        if namespace_of(owner) != place or not ours:
            continue
        if spec.workload:
            others = [one.name for one in mesh.workloads if one.namespace == place and selects(chosen, one.labels)]
            if len(others) > 1:
                raise CannotPlace(
                    f"{ref_of(owner)} acts for {', '.join(others)} together, and a second one would not act"
                )
        edit = EditObject(ref_of(owner), (SetField(("spec", *field), MISSING, spec.mode),))
        fight = will_undo(owner)
        return recorded(owner, edit), [fight] if fight else []
    selector = {"selector": {"matchLabels": identity_labels(servers[0])}} if spec.workload else {}
    level = {"mtls": {"mode": spec.mode}} if spec.port is None else {"portLevelMtls": {spec.port: {"mode": spec.mode}}}
    manifest: Manifest = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": context.id, "namespace": place},
        "spec": {**selector, **level},
    }
    return Create(manifest), []


def _probe(spec: MtlsSpec, servers: Sequence[Workload], mesh: Snapshot) -> Probe | None:
    """A plaintext call, where the mode decides on its answer."""
    for server in servers:
        for service, number, port in _ports(server, mesh):
            mode = peer_authentication.mode(mesh.objects, server.namespace, server.labels, port, mesh.root_namespace)
            if spec.port in (None, port) and (mode == "STRICT") != (spec.mode == "STRICT"):
                return Probe("outside", server.namespace, f"http://{service}:{number}/")
    return None
