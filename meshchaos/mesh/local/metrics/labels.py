"""The labels of Istio's standard metrics for one line of a proxy's log; pure.

As ``istio.stats`` fills them in: what a proxy knows of its own workload, what it learned of its peer, and of the
service by the cluster that the request went to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshchaos.mesh.local.translate.names import BLACK_HOLE_CLUSTER, BLOCK_ALL, PASSTHROUGH_CLUSTER
from meshchaos.mesh.local.world import DOMAIN, LocalReplica

UNKNOWN: Final = "unknown"
CLUSTER: Final = "Kubernetes"
"""Istio's name for the only cluster there is."""

_CLUSTERS: Final = f".svc.{DOMAIN}"

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a request, as far as the other one knows it."""

    workload: str = UNKNOWN
    namespace: str = UNKNOWN
    canonical: str = UNKNOWN
    revision: str = "latest"
    app: str = UNKNOWN
    version: str = UNKNOWN
    cluster: str = UNKNOWN


def party(replica: LocalReplica) -> Party:
    """A replica, by its labels as Istio reads them (``service.istio.io/canonical-name`` and what stands for it)."""
    labels = replica.labels
    names = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
    revisions = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
    return Party(
        workload=replica.workload,
        namespace=replica.namespace,
        canonical=_first(labels, names) or replica.workload,
        revision=_first(labels, revisions) or "latest",
        app=labels.get("app") or UNKNOWN,
        version=labels.get("version") or UNKNOWN,
        cluster=CLUSTER,
    )


def _first(labels: Mapping[str, str], keys: tuple[str, ...]) -> str:
    return next((labels[key] for key in keys if labels.get(key)), "")


class Labeller:
    """Of one proxy. ``parties``: replicas by their address (``127.64.0.3``, or ``host:port`` of a program without a
    sidecar). ``services``: container port of its own -> full name of the service that leads there.
    """

    def __init__(self, replica: LocalReplica, parties: Mapping[str, Party], services: Mapping[int, str]) -> None:
        self._replica = replica
        self._me = party(replica)
        self._parties = parties
        self._services = services

    def key(self, line: Mapping[str, Any]) -> tuple[Any, ...]:
        """Equal for lines of equal labels."""
        cluster = line.get("cluster")
        return (
            line["side"],
            line.get("remote") if line["side"] == "inbound" else line.get("upstream"),
            line.get("peer") if line["side"] == "inbound" else line.get("upstream_peer"),
            cluster,
            line.get("route") == BLOCK_ALL,
            None if cluster else line.get("authority"),
            line.get("status"),
            line.get("grpc"),
            line.get("flags"),
            is_grpc(line),
            is_tcp(line),
        )

    def labels(self, line: Mapping[str, Any]) -> Labels:
        """All that Istio gives."""
        found = self._received(line) if line["side"] == "inbound" else self._sent(line)
        mutual = found["connection_security_policy"]
        ends = [(name, value) for name, value in found.items() if name != "connection_security_policy"]
        if is_tcp(line):
            protocol = [("request_protocol", "tcp")]
        else:
            grpc = is_grpc(line)
            status = line.get("grpc")
            protocol = [
                ("request_protocol", "grpc" if grpc else "http"),
                ("response_code", str(line.get("status") or 0)),
                ("grpc_response_status", str(status) if grpc and status is not None else ""),
            ]
        flags = ("response_flags", str(line.get("flags") or "-"))
        return (*ends, *protocol, flags, ("connection_security_policy", mutual))

    def _received(self, line: Mapping[str, Any]) -> dict[str, str]:
        peer_name = str(line.get("peer") or "")
        peer = self._parties.get(str(line.get("remote") or ""), Party())
        service = self._services.get(_target(line.get("cluster")), "")
        return {
            "reporter": "destination",
            **_source(peer, peer_name, _namespace(peer_name) or peer.namespace),
            **_destination(self._me, self._replica.identity if peer_name else "", self._me.namespace),
            "destination_service": service or self._me.canonical,
            "destination_service_name": service.partition(".")[0] or self._me.canonical,
            "connection_security_policy": "mutual_tls" if peer_name else "none",
        }

    def _sent(self, line: Mapping[str, Any]) -> dict[str, str]:
        peer_name = str(line.get("upstream_peer") or "")
        upstream = str(line.get("upstream") or "")
        peer = self._parties.get(upstream) or self._parties.get(upstream.rpartition(":")[0]) or Party()
        host, name = self._service(line)
        return {
            "reporter": "source",
            **_source(self._me, self._replica.identity if peer_name else "", self._me.namespace),
            **_destination(peer, peer_name, _namespace(peer_name) or peer.namespace),
            "destination_service": host,
            "destination_service_name": name,
            "connection_security_policy": UNKNOWN,
        }

    def _service(self, line: Mapping[str, Any]) -> tuple[str, str]:
        """By the cluster, else by what was asked for; a gateway does not believe its clients that."""
        cluster = str(line.get("cluster") or "")
        asked = "" if self._replica.gateway else str(line.get("authority") or "")
        if cluster.startswith("outbound|"):
            host = cluster.rpartition("|")[2]
            return host, host.partition(".")[0] if host.endswith(_CLUSTERS) else host  # a ServiceEntry's is its name
        if line.get("route") == BLOCK_ALL:
            return asked or UNKNOWN, BLACK_HOLE_CLUSTER
        if cluster in (BLACK_HOLE_CLUSTER, PASSTHROUGH_CLUSTER):
            return asked or UNKNOWN, cluster
        return asked or UNKNOWN, asked or UNKNOWN


def is_tcp(line: Mapping[str, Any]) -> bool:
    """A connection passed on as it is; also one inside a CONNECT, which is how programs send TCP here."""
    return line.get("method") in (None, "", "-", "CONNECT")


def is_grpc(line: Mapping[str, Any]) -> bool:
    kind = line.get("content_type") or ""
    return bool(kind == "application/grpc" or kind.startswith(("application/grpc+", "application/grpc;")))


def _source(one: Party, principal: str, namespace: str) -> dict[str, str]:
    return {
        "source_workload": one.workload,
        "source_canonical_service": one.canonical,
        "source_canonical_revision": one.revision,
        "source_workload_namespace": namespace,
        "source_principal": principal or UNKNOWN,
        "source_app": one.app,
        "source_version": one.version,
        "source_cluster": one.cluster,
    }


def _destination(one: Party, principal: str, namespace: str) -> dict[str, str]:
    return {
        "destination_workload": one.workload,
        "destination_workload_namespace": namespace,
        "destination_principal": principal or UNKNOWN,
        "destination_app": one.app,
        "destination_version": one.version,
        "destination_canonical_service": one.canonical,
        "destination_canonical_revision": one.revision,
        "destination_service_namespace": namespace,
        "destination_cluster": one.cluster,
    }


def _target(cluster: Any) -> int:
    """The container port in ``inbound|9080||``; 0 for none."""
    port = str(cluster or "").split("|")[1:2]
    return int(port[0]) if port and port[0].isdigit() else 0


def _namespace(identity: str) -> str:
    """Of ``spiffe://cluster.local/ns/shop/sa/web``."""
    _, mark, rest = identity.partition("/ns/")
    return rest.partition("/")[0] if mark else ""
