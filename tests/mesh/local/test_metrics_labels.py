"""Labels of Istio's standard metrics for lines that a mesh of HTTP programs seldom writes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from meshchaos.mesh.local.metrics.count import LogCounts
from meshchaos.mesh.local.metrics.labels import Labeller, Party, party
from meshchaos.mesh.local.world import LocalReplica


def replica(**fields: Any) -> LocalReplica:
    values: dict[str, Any] = {
        "name": "web-1",
        "namespace": "shop",
        "workload": "web",
        "address": "127.64.0.2",
        "labels": {"app": "web", "version": "v2"},
        "service_account": "web",
        "sidecar": True,
        "gateway": False,
        "serving": True,
        "applications": {},
        "service_ports": {},
        "directory": "/nowhere",
        "admin": "/nowhere/admin.sock",
    }
    return LocalReplica(**{**values, **fields})


DATABASE = Party("db", "data", "db", "latest", "db", "unknown", "Kubernetes")


def labels(line: dict[str, Any], one: LocalReplica | None = None) -> dict[str, str]:
    made = Labeller(one or replica(), {"127.0.0.1:5432": DATABASE}, {9080: "web.shop.svc.cluster.local"})
    return dict(made.labels({"side": "outbound", "method": "GET", "status": 200, "flags": "-", **line}))


@pytest.mark.parametrize(
    ("content", "status", "expected"),
    [
        ("application/grpc", 14, ("grpc", "14")),
        ("application/grpc+proto", 0, ("grpc", "0")),
        ("application/grpc-web", 0, ("http", "")),
        ("application/json", None, ("http", "")),
    ],
)
def test_grpc_by_its_content_type(content: str, status: int | None, expected: tuple[str, str]) -> None:
    found = labels({"content_type": content, "grpc": status})
    assert (found["request_protocol"], found["grpc_response_status"]) == expected


def test_a_connection_has_no_response() -> None:
    found = labels(
        {"method": None, "status": 0, "flags": "UF,URX", "cluster": "outbound|5432||db.data.svc.cluster.local"}
    )
    assert not {"response_code", "grpc_response_status"} & found.keys()
    assert (found["request_protocol"], found["response_flags"]) == ("tcp", "UF,URX")
    assert found["destination_service_name"] == "db"


def test_a_program_without_a_sidecar_is_known_by_where_it_listens() -> None:
    found = labels({"upstream": "127.0.0.1:5432"})
    assert (found["destination_workload"], found["destination_workload_namespace"]) == ("db", "data")
    assert found["destination_principal"] == "unknown"


def test_a_gateway_does_not_believe_the_host_that_it_is_asked_for() -> None:
    asked = {"authority": "made-up.example", "status": 404, "flags": "NR"}
    assert labels(asked)["destination_service"] == "made-up.example"
    gateway = labels(asked, replica(gateway=True, sidecar=False))
    assert (gateway["destination_service"], gateway["destination_service_name"]) == ("unknown", "unknown")


def test_names_by_the_recommended_labels() -> None:
    recommended = {"app.kubernetes.io/name": "shop", "app.kubernetes.io/version": "7", "app": "web"}
    found = party(replica(labels=recommended))
    assert (found.canonical, found.revision, found.app, found.version) == ("shop", "7", "web", "unknown")
    canonical = {**recommended, "service.istio.io/canonical-name": "store"}
    assert party(replica(labels=canonical)).canonical == "store"
    assert party(replica(labels={})).canonical == "web"


def counted(folder: Path, access: list[dict[str, Any]], connected: list[dict[str, Any]]) -> dict[str, int]:
    """Counters by name, over all labels."""
    counts = LogCounts(folder, Labeller(replica(), {}, {}))
    for name, lines in (("access.log", access), ("connected.log", connected)):
        (folder / name).write_text("".join(json.dumps({"side": "outbound", **line}) + "\n" for line in lines))
    asyncio.run(counts.read())
    found: dict[str, int] = {}
    for line in counts.text().splitlines():
        name, _, rest = line.partition("{")
        if not line.startswith("#") and name.endswith("_total"):
            found[name] = found.get(name, 0) + int(rest.rpartition(" ")[2])
    return found


def test_connections_whose_beginning_is_not_there(tmp_path: Path) -> None:
    """One that lasts, one that is over, one that never reached its server, one inside a CONNECT."""
    access = [
        {"method": None, "connection": 2, "wire_received": 3, "wire_sent": 5},
        {"method": None, "connection": 3, "flags": "UF"},
        {"method": "CONNECT", "cluster": "outbound|7001||raw.shop.svc.cluster.local", "connection": 4, "wire_sent": 7},
        {"method": "CONNECT", "cluster": "connect_http", "connection": 5},
    ]
    connected = [{"method": None, "connection": 1}, {"method": None, "connection": 2}]
    assert counted(tmp_path, access, connected) == {
        "istio_tcp_connections_opened_total": 4,
        "istio_tcp_connections_closed_total": 3,
        "istio_tcp_received_bytes_total": 3,
        "istio_tcp_sent_bytes_total": 12,
    }


def test_half_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    counts = LogCounts(tmp_path, Labeller(replica(), {}, {}))
    line = json.dumps({"side": "outbound", "method": "GET", "status": 200, "flags": "-", "ms": 1}) + "\n"
    with log.open("w") as file:
        for part, expected in ((line[:20], 0), (line[20:] + line, 2)):
            file.write(part)
            file.flush()
            asyncio.run(counts.read())
            total = [text for text in counts.text().splitlines() if text.startswith("istio_requests_total")]
            assert [int(text.rpartition(" ")[2]) for text in total] == ([expected] if expected else [])


def test_a_torn_line_counts_nothing_twice(tmp_path: Path) -> None:
    good = json.dumps({"side": "outbound", "method": "GET", "status": 200, "flags": "-", "ms": 1}) + "\n"
    counts = LogCounts(tmp_path, Labeller(replica(), {}, {}))
    (tmp_path / "access.log").write_text(f"{good}{good[:9]}\n{good}")
    for _ in range(2):
        with pytest.raises(ValueError, match="line 1"):
            asyncio.run(counts.read())
    assert counts.text() == ""
