"""A fault in the server's inbound proxy, by an EnvoyFilter of our own.

Every inbound connection manager of Istio carries an empty fault filter; the EnvoyFilter merges a per-route
configuration for it into the route ``default`` of the virtual host ``inbound|http|<service port>``. It acts behind the
server's RBAC, is drawn anew for each attempt of a client, and is felt by every client unless narrowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from meshchaos.errors import CannotPlace
from meshchaos.experiment.scalars import GRPC_STATUSES
from meshchaos.faults.edge import Edge, HttpFault, choose_replicas, identity_labels, refuse_shared_accounts
from meshchaos.faults.kind import FaultContext, Placement, Proof
from meshchaos.faults.matching import envoy_headers, log_patterns
from meshchaos.faults.rules import effective_rule
from meshchaos.mesh.changes import Change, Create, EditObject
from meshchaos.mesh.edits import MISSING, SetField
from meshchaos.mesh.istio import destination_rules, peer_authentication
from meshchaos.mesh.istio.services import services, workloads_of
from meshchaos.mesh.objects import Manifest, Ref, selects
from meshchaos.mesh.seam import Replica, Snapshot, Workload

FILTER = "envoy.filters.http.fault"
HTTP_FAULT = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
XFCC = "x-forwarded-client-cert"


def unable(edge: Edge) -> str | None:
    """Why the fault cannot sit at the server; None: it can."""
    if edge.service.entry:
        return f"{edge.service} is a host of a ServiceEntry, whose servers are not ours"
    bare = [one.name for one in edge.servers if not one.sidecar]
    if not bare:
        return None
    return f"{', '.join(bare)} {'has' if len(bare) == 1 else 'have'} no sidecar"


def place(fault: HttpFault, edge: Edge, mesh: Snapshot, context: FaultContext, reason: str) -> Placement:
    """The EnvoyFilter, with labels on the chosen Pods where ``replicas`` narrows it. Raises CannotPlace."""
    headers = envoy_headers(fault.match)
    peer = None
    if edge.source is not None:
        pattern = _identity_pattern(edge, mesh)
        headers.append({"name": XFCC, "string_match": {"safe_regex": {"regex": f".*URI={pattern}(?:;[^,]*)?"}}})
        peer = pattern
    _refuse_other_faults(edge, mesh)
    changes: list[Change] = []
    selector = _selector(fault, edge, mesh)
    replicas: Sequence[Replica] = edge.replicas
    if not replicas:
        raise CannotPlace(f"no replica of {edge.service} is ready")
    if fault.replicas is not None:
        replicas = choose_replicas(fault.replicas, edge, context.seed, context.index)
    if fault.replicas is not None or selector is None:
        selector = {context.id: "true"}
        changes += [_label(replica, context.id) for replica in replicas]
    neighbours = _sharing_ports(edge, mesh)
    ports = sorted({edge.port.number} | {port for _, port in neighbours})
    changes.append(Create(_envoy_filter(http_fault(fault, headers), edge, context.id, selector, ports)))
    target = "|".join(str(port) for port in edge.target_ports)
    return Placement(
        id=context.id,
        kind=fault.key,
        at="server",
        edge=str(edge),
        reason=reason,
        changes=tuple(changes),
        proof=Proof(
            replicas=tuple(f"{replica.name}.{replica.namespace}" for replica in replicas),
            side="inbound",
            flag=fault.flag,
            counter=rf"^http\.inbound_[^;]*_(?:{target});?\.fault\.{fault.counter}$",
            share=fault.percentage / 100,
            clusters=tuple(f"inbound|{port}||" for port in edge.target_ports),
            peer=peer,
            match=log_patterns(fault.match),
        ),
        felt_by=_felt_by(fault, edge, replicas),
        warnings=_warnings(edge, neighbours),
    )


def http_fault(fault: HttpFault, headers: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Envoy's HTTPFault. Shares in millionths, as Istio writes them."""
    share = {"numerator": round(fault.percentage * 10_000), "denominator": "MILLION"}
    result: dict[str, Any] = {"@type": HTTP_FAULT}
    if fault.delay is not None:
        result["delay"] = {"fixed_delay": duration(fault.delay), "percentage": share}
    elif fault.grpc_status is not None:
        result["abort"] = {"grpc_status": GRPC_STATUSES.index(fault.grpc_status), "percentage": share}
    else:
        result["abort"] = {"http_status": fault.http_status, "percentage": share}
    if headers:
        result["headers"] = [dict(header) for header in headers]
    return result


def duration(seconds: float) -> str:
    """The JSON form of a protobuf Duration: ``2s``, ``0.25s``."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def _envoy_filter(
    fault: Mapping[str, Any], edge: Edge, name: str, selector: Mapping[str, str], ports: Sequence[int]
) -> Manifest:
    value = {"typed_per_filter_config": {FILTER: dict(fault)}}
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": edge.service.namespace},
        "spec": {
            "workloadSelector": {"labels": dict(selector)},
            "configPatches": [
                {
                    "applyTo": "HTTP_ROUTE",
                    "match": {
                        "context": "SIDECAR_INBOUND",
                        "routeConfiguration": {"vhost": {"name": f"inbound|http|{port}", "route": {"name": "default"}}},
                    },
                    "patch": {"operation": "MERGE", "value": value},
                }
                for port in ports
            ],
        },
    }


def _label(replica: Replica, key: str) -> EditObject:
    path = ("metadata", "labels", key)
    return EditObject(Ref("Pod", replica.namespace, replica.name), (SetField(path, MISSING, "true"),))


def _selector(fault: HttpFault, edge: Edge, mesh: Snapshot) -> dict[str, str] | None:
    """Labels that choose exactly the servers meant; None where there are none, so that Pods must be labelled."""
    if edge.service.namespace == mesh.root_namespace:
        return None  # an EnvoyFilter in the root namespace acts in every namespace
    choices = [{**(edge.service.selector or {}), **edge.subset_labels}]
    if fault.workload is not None and len(edge.servers) == 1:
        choices.append(identity_labels(edge.servers[0]))
    here = [one for one in mesh.workloads if one.namespace == edge.service.namespace]
    for labels in choices:
        if {one.name for one in here if selects(labels, one.labels)} == {one.name for one in edge.servers}:
            return labels
    return None


def _identity_pattern(edge: Edge, mesh: Snapshot) -> str:
    """A regular expression for the URI SANs of the clients meant; refuses where that would not mean them alone."""
    source = edge.source
    assert source is not None
    for client in source.workloads:
        if not (client.sidecar or client.gateway):
            raise CannotPlace(f"{client.name} has no sidecar, so the server cannot tell its requests from others'")
        plain = _plaintext(client, edge, mesh)
        if plain:
            raise CannotPlace(f"the server cannot tell who calls: {plain}; narrow by match: headers instead")
    refuse_shared_accounts(source, mesh, ", or write at: client")
    escaped = [re.escape(identity) for identity in source.identities]
    return escaped[0] if len(escaped) == 1 else f"(?:{'|'.join(escaped)})"


def _plaintext(client: Workload, edge: Edge, mesh: Snapshot) -> str | None:
    """Why this client's requests arrive without its identity; None when they come over Istio's mutual TLS."""
    rule = effective_rule(edge.service, mesh, client)
    tls = destination_rules.traffic_policy(rule, edge.port.number).get("tls") or {}
    said = tls.get("mode")
    if said and said != "ISTIO_MUTUAL":
        return f"a DestinationRule sets tls mode {said} from {client.name} to {edge.service}"
    if said:
        return None
    for server in edge.servers:
        for port in edge.target_ports:
            mode = peer_authentication.mode(mesh.objects, server.namespace, server.labels, port, mesh.root_namespace)
            if mode == "DISABLE":
                return f"PeerAuthentication disables mutual TLS for {server.name}"
    return None


def _refuse_other_faults(edge: Edge, mesh: Snapshot) -> None:
    for item in mesh.of_kind("EnvoyFilter"):
        meta, spec = item["metadata"], item.get("spec") or {}
        place = str(meta.get("namespace") or "default")
        labels = (spec.get("workloadSelector") or {}).get("labels")
        if place not in (edge.service.namespace, mesh.root_namespace):
            continue
        if not any(selects(labels, server.labels) for server in edge.servers):
            continue
        for patch in spec.get("configPatches") or ():
            context = (patch.get("match") or {}).get("context", "ANY")
            if patch.get("applyTo") == "HTTP_ROUTE" and context in ("ANY", "SIDECAR_INBOUND") and FILTER in str(patch):
                raise CannotPlace(
                    f"EnvoyFilter {meta['name']}.{place} already puts a fault on the inbound route of {edge.service}, "
                    f"and Envoy keeps one a route: take it away first"
                )


def _sharing_ports(edge: Edge, mesh: Snapshot) -> list[tuple[str, int]]:
    """Other (service, port) that lead to the same container port of the same servers. Istio builds one inbound route
    for a container port, named after the oldest of them.
    """
    result = []
    for service in services(mesh.objects, mesh.domain):
        if not workloads_of(service, edge.servers):
            continue
        for port in service.ports:
            target = port.spec.get("targetPort") or port.number
            same = target == (edge.port.spec.get("targetPort") or edge.port.number) or target in edge.target_ports
            if same and (service.host, port.number) != (edge.service.host, edge.port.number):
                result.append((str(service), port.number))
    return result


def _felt_by(fault: HttpFault, edge: Edge, replicas: Sequence[Replica]) -> tuple[str, ...]:
    who = edge.source.words if edge.source else f"every client of {edge.service}"
    if fault.replicas is not None:
        who += f" whose request lands on {', '.join(replica.name for replica in replicas)}"
    elif edge.others:
        who += f" whose request lands on {', '.join(server.name for server in edge.servers)}"
    return (f"{who}, where {fault.match}" if fault.match else who,)


def _warnings(edge: Edge, neighbours: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    result = []
    if edge.port.protocol == "auto":
        result.append(
            f"port {edge.port.number} of {edge.service} names no protocol: the fault acts on what Istio sniffs as "
            f"HTTP; name the port http-... to be sure"
        )
    result += [
        f"callers of {name}:{port} feel it too: it leads to the same container port"
        for name, port in neighbours
        if name != str(edge.service) or port != edge.port.number
    ]
    return tuple(result)
