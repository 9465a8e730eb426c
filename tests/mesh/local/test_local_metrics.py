"""Istio's standard metrics of the local mesh: they are what the proxies' logs say, to the request."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_mesh import NAMESPACE, fault, service, small, until

from meshchaos.mesh.local.client import LocalMesh
from meshchaos.mesh.local.spec import MeshSpec, StubSpec
from meshchaos.mesh.local.world import LocalReplica
from meshchaos.mesh.objects import Ref

pytestmark = pytest.mark.envoy

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def spec(logs: Path) -> MeshSpec:
    """``web`` calls ``api``; ``raw`` is reached by TCP."""
    plain = small(logs)
    raw = service("raw")
    raw[1]["spec"]["ports"][0]["name"] = "tcp-raw"
    fields = {name: getattr(plain, name) for name in ("mesh", "config", "folder", "logs", "workloads")}
    workloads = {**fields.pop("workloads"), "api": StubSpec(latency=0.003), "raw": StubSpec()}
    return MeshSpec(**fields, workloads=workloads, manifests=(*plain.manifests, *raw))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    with LocalMesh.start(spec(tmp_path_factory.mktemp("metrics") / "logs")) as started:
        yield started


def replica(mesh: LocalMesh, workload: str) -> LocalReplica:
    return next(one for one in mesh.world().replicas if one.workload == workload)


def scraped(one: LocalReplica, path: str = "/stats/prometheus") -> tuple[int, str]:
    connection = http.client.HTTPConnection(one.address, 15020, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def samples(one: LocalReplica) -> Samples:
    """``(name, labels)`` -> value, by the text format."""
    status, text = scraped(one)
    assert status == 200, text
    found: Samples = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"(istio_\w+)\{(.*)\} (\S+)", line):
            found[match[1], frozenset(re.findall(r'(\w+)="([^"]*)"', match[2]))] = float(match[3])
    return found


def total(found: Samples, name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(value for (series, its), value in found.items() if series == name and wanted <= its)


def ask(mesh: LocalMesh, target: str, count: int = 1) -> None:
    entry = mesh.entry("web", target, NAMESPACE)
    for _ in range(count):
        connection = http.client.HTTPConnection(entry.address, timeout=10)
        connection.request("GET", target, headers={"Host": entry.host})
        connection.getresponse().read()
        connection.close()


def logged(mesh: LocalMesh, workload: str) -> list[dict[str, object]]:
    """Every line of a replica's log, HTTP and TCP, once nothing more comes."""
    path = Path(replica(mesh, workload).logs) / "access.log"
    size, since = -1, time.monotonic()
    while time.monotonic() - since < 0.1:
        if path.stat().st_size != size:
            size, since = path.stat().st_size, time.monotonic()
        time.sleep(0.01)
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestRequests:
    def test_counters_and_histograms_are_the_logs(self, mesh: LocalMesh) -> None:
        ask(mesh, "http://web/", 7)
        ask(mesh, "http://nowhere/", 2)
        made = mesh.create(fault("metrics"))
        try:
            ask(mesh, "http://api/", 5)
        finally:
            mesh.delete(Ref("EnvoyFilter", NAMESPACE, "metrics"), made["metadata"]["uid"])
        for workload in ("web", "api"):
            lines = [line for line in logged(mesh, workload) if line["method"]]
            found = samples(replica(mesh, workload))
            sides = {"inbound": "destination", "outbound": "source"}
            expected = Counter((sides[str(line["side"])], str(line["status"]), line["flags"] or "-") for line in lines)
            assert expected
            for (reporter, code, flags), count in expected.items():
                labels = {"reporter": reporter, "response_code": code, "response_flags": str(flags)}
                assert total(found, "istio_requests_total", **labels) == count, labels
                assert total(found, "istio_request_duration_milliseconds_count", **labels) == count
                assert total(found, "istio_request_duration_milliseconds_bucket", **labels, le="+Inf") == count
            assert total(found, "istio_requests_total") == len(lines)
            for name, field in (
                ("istio_request_duration_milliseconds_sum", "ms"),
                ("istio_request_bytes_sum", "wire_received"),
                ("istio_response_bytes_sum", "wire_sent"),
            ):
                assert total(found, name) == sum(int(str(line[field])) for line in lines) > 0, name
            fast = sum(int(str(line["ms"])) <= 10 for line in lines)
            assert total(found, "istio_request_duration_milliseconds_bucket", le="10") == fast
        sent = samples(replica(mesh, "web"))
        assert total(sent, "istio_requests_total", response_code="503", destination_service_name="api") == 5

    def test_both_ends_tell_the_same_story(self, mesh: LocalMesh) -> None:
        ask(mesh, "http://api/", 3)
        logged(mesh, "api")
        both = {
            "source_workload": "web",
            "source_workload_namespace": "shop",
            "source_canonical_service": "web",
            "source_app": "web",
            "source_principal": "spiffe://cluster.local/ns/shop/sa/web",
            "source_cluster": "Kubernetes",
            "destination_workload": "api",
            "destination_principal": "spiffe://cluster.local/ns/shop/sa/api",
            "destination_app": "api",
            "destination_version": "unknown",
            "destination_canonical_revision": "latest",
            "destination_service": "api.shop.svc.cluster.local",
            "destination_service_name": "api",
            "destination_service_namespace": "shop",
            "request_protocol": "http",
            "grpc_response_status": "",
            "response_code": "200",
            "response_flags": "-",
        }
        sent = total(
            samples(replica(mesh, "web")),
            "istio_requests_total",
            reporter="source",
            connection_security_policy="unknown",
            **both,
        )
        received = total(
            samples(replica(mesh, "api")),
            "istio_requests_total",
            reporter="destination",
            connection_security_policy="mutual_tls",
            **both,
        )
        assert sent == received >= 3

    def test_what_nobody_knows(self, mesh: LocalMesh) -> None:
        """A plaintext client has no name, and a host that the mesh does not know no service."""
        before = samples(replica(mesh, "api"))
        api = replica(mesh, "api")
        connection = http.client.HTTPConnection(api.address, 8080, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().read()
        connection.close()
        ask(mesh, "http://nowhere/")
        logged(mesh, "api")
        logged(mesh, "web")
        plain = {"source_workload": "unknown", "source_principal": "unknown", "connection_security_policy": "none"}
        after = total(samples(api), "istio_requests_total", **plain)
        assert after == total(before, "istio_requests_total", **plain) + 1
        lost = {"destination_service": "nowhere", "destination_service_name": "BlackHoleCluster"}
        assert total(samples(replica(mesh, "web")), "istio_requests_total", **lost) >= 1


def test_tcp_connections_are_opened_and_closed(mesh: LocalMesh) -> None:
    raw = replica(mesh, "raw")
    connection = http.client.HTTPConnection(raw.address, 8080, timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().read()

    def count(name: str) -> float:
        labels = {"reporter": "destination", "request_protocol": "tcp", "destination_service_name": "raw"}
        return total(samples(raw), name, **labels)

    until(lambda: count("istio_tcp_connections_opened_total") == 1, "the connection is counted")
    assert count("istio_tcp_connections_closed_total") == 0
    connection.close()
    until(lambda: count("istio_tcp_connections_closed_total") == 1, "its end is counted")
    assert count("istio_tcp_connections_opened_total") == 1
    (line,) = logged(mesh, "raw")
    assert count("istio_tcp_sent_bytes_total") == line["wire_sent"] == line["sent"]
    assert count("istio_tcp_received_bytes_total") == line["wire_received"] == line["received"]
    assert count("istio_requests_total") == 0


def test_envoys_own_statistics_come_along(mesh: LocalMesh) -> None:
    status, text = scraped(replica(mesh, "web"))
    assert status == 200
    assert "\nenvoy_server_live{} 1\n" in text
    assert scraped(replica(mesh, "web"), "/metrics") == (404, "metrics are at /stats/prometheus\n")


def test_a_mesh_that_ended_has_no_targets(tmp_path: Path) -> None:
    targets = tmp_path / "logs" / "prometheus-targets.json"
    with LocalMesh.start(small(tmp_path / "logs", names=("api",))):
        assert len(json.loads(targets.read_text())) == 1
    assert json.loads(targets.read_text()) == []


def test_the_targets_follow_the_replicas(mesh: LocalMesh) -> None:
    logs = Path(replica(mesh, "api").logs).parent

    def listed() -> dict[str, str]:
        groups = json.loads((logs / "prometheus-targets.json").read_text())
        return {group["labels"]["pod"]: group["targets"][0] for group in groups}

    assert listed() == {one.name: f"{one.address}:15020" for one in mesh.world().replicas}
    assert "prometheus-targets.json" in (logs / "prometheus.yml").read_text()
    gone = replica(mesh, "api")
    mesh.kill([f"{gone.name}.{NAMESPACE}"], restart_after=0.0)
    assert gone.name not in listed()
    with pytest.raises(OSError, match="refused"):
        scraped(gone)
    until(lambda: len(listed()) == 3, "the new replica is a target")
    fresh = replica(mesh, "api")
    until(lambda: scraped(fresh)[0] == 200, "its proxy is up")
    assert total(samples(fresh), "istio_requests_total") == 0
