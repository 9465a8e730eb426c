"""Placed faults on real Envoys: they bite whom they should, nobody else, are proved, and leave nothing behind."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from meshchaos.evidence.injection import InjectionProver
from meshchaos.experiment.fields import HttpMatch
from meshchaos.faults.http_fault import ABORT, DELAY, AbortSpec, DelaySpec
from meshchaos.faults.kind import FaultContext, Placement
from meshchaos.faults.observing import needed_headers
from meshchaos.history.records import FaultRecord, Injection
from meshchaos.mesh.apply import apply_change, undo_all
from meshchaos.mesh.local.client import LocalMesh
from meshchaos.mesh.local.objects.manifests import load
from meshchaos.mesh.local.spec import MeshSpec
from meshchaos.mesh.objects import Manifest, Ref, ref_of
from meshchaos.mesh.seam import Mesh

pytestmark = pytest.mark.envoy

ROOT = Path(__file__).parents[2]
RATINGS = "http://ratings:9080/ratings/0"
REVIEWS = "http://reviews:9080/reviews/0"
PAGE = "http://bookinfo.example/productpage"
ODD = 418
"""A status that no policy of the shop retries."""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    logs = tmp_path_factory.mktemp("mesh")
    manifests = tuple(load([ROOT / "experiments" / "bookinfo"]))
    spec = MeshSpec("bookinfo", str(ROOT / "meshchaos.yaml"), str(ROOT), str(logs), manifests)
    with LocalMesh.start(spec) as mesh:
        mesh.observe(["end-user"])
        yield mesh


@dataclass(frozen=True)
class Answer:
    status: int
    replica: str
    seconds: float


def ask(mesh: Mesh, source: str, url: str, headers: Mapping[str, str] | None = None) -> Answer:
    """One request from a workload (through its sidecar) or through the gateway."""
    entry = mesh.entry(source, url, "bookinfo")
    connection = http.client.HTTPConnection(entry.address, timeout=10)
    start = time.monotonic()
    connection.request(
        "GET", url if entry.proxied else urlsplit(url).path, headers={"Host": entry.host, **(headers or {})}
    )
    response = connection.getresponse()
    body = response.read()
    connection.close()
    replica = json.loads(body)["replica"] if response.status == 200 else ""
    return Answer(response.status, replica, time.monotonic() - start)


class Bitten:
    """A fault while it lasts, and what proves it afterwards."""

    def __init__(self, placements: tuple[Placement, ...]) -> None:
        self.placements = placements
        self.injections: list[tuple[Injection, ...]] = []


@contextmanager
def fault(mesh: LocalMesh, *specs: DelaySpec | AbortSpec, run_id: str = "r1") -> Iterator[Bitten]:
    snapshot = mesh.snapshot()
    before = {ref_of(item): item for item in snapshot.objects}
    placed = []
    for number, spec in enumerate(specs):
        kind = DELAY if isinstance(spec, DelaySpec) else ABORT
        context = FaultContext(f"chaos-{run_id}-{number}", number, 7, "bookinfo")
        placed.append(kind.place(spec, snapshot, context))
    placements = DELAY.combine(tuple(placed))
    assert set(needed_headers(placements)) <= {"end-user"}
    provers = [InjectionProver(mesh, placement.proof) for placement in placements]
    changes = [change for placement in placements for change in placement.changes]
    bitten = Bitten(placements)
    try:
        for change in changes:
            apply_change(mesh, change, run_id)
        live = mesh.confirm(changes, present=True, timeout=10).at
        yield bitten
        removed = time.time()
    finally:
        assert undo_all(mesh, changes, run_id) == []
        mesh.confirm(changes, present=False, timeout=10)
    for placement, prover in zip(placements, provers, strict=True):
        record = FaultRecord(
            id=placement.id,
            index=0,
            kind=placement.kind,
            at=placement.at,
            edge=placement.edge,
            reason=placement.reason,
            share=placement.proof.share,
            objects=(),
            live_at=live,
            removed_at=removed,
        )
        bitten.injections.append(prover.finish(record).injections)
    after = {ref_of(item): item for item in mesh.snapshot().objects}
    assert {ref: _plain(item) for ref, item in after.items()} == {ref: _plain(item) for ref, item in before.items()}


def _plain(manifest: Manifest) -> dict[str, Any]:
    hidden = {"resourceVersion", "generation", "managedFields"}
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in hidden}
    return {**manifest, "metadata": metadata}


def counted(injections: tuple[Injection, ...]) -> tuple[int, int]:
    return sum(one.injected for one in injections), sum(one.of or 0 for one in injections)


def test_an_abort_at_the_server_hits_one_client_by_its_identity(mesh: LocalMesh) -> None:
    with fault(mesh, AbortSpec("reviews", http_status=ODD, from_=("productpage",))) as bitten:
        assert [ask(mesh, "productpage-v1", REVIEWS).status for _ in range(5)] == [ODD] * 5
        assert [ask(mesh, "details-v1", REVIEWS).status for _ in range(5)] == [200] * 5
    assert counted(bitten.injections[0]) == (5, 5)
    before = sum(one.counter_before or 0 for one in bitten.injections[0])
    assert sum(one.counter_after or 0 for one in bitten.injections[0]) - before == 5
    assert ask(mesh, "productpage-v1", REVIEWS).status == 200


def test_a_delay_at_the_server_hits_one_header_and_one_path(mesh: LocalMesh) -> None:
    match = HttpMatch({"end-user": {"exact": "tester"}}, uri={"exact": "/ratings/0"})
    with fault(mesh, DelaySpec("ratings", 0.2, match=match)) as bitten:
        assert ask(mesh, "reviews-v3", RATINGS + "?x=1", {"end-user": "tester"}).seconds >= 0.198
        assert ask(mesh, "reviews-v3", RATINGS, {"end-user": "shopper"}).seconds < 0.198
        assert ask(mesh, "reviews-v3", RATINGS + "1", {"end-user": "tester"}).seconds < 0.198
    assert counted(bitten.injections[0]) == (1, 1)


def test_an_abort_at_one_replica_is_felt_there_alone(mesh: LocalMesh) -> None:
    with fault(mesh, AbortSpec("ratings", http_status=ODD, replicas=1)) as bitten:
        (chosen,) = bitten.placements[0].proof.replicas
        answers = [ask(mesh, "reviews-v3", RATINGS) for _ in range(40)]
        good = {answer.replica for answer in answers if answer.status == 200}
        assert len(good) == 1
        assert chosen.partition(".")[0] not in good
    hit = sum(answer.status == ODD for answer in answers)
    assert 0 < hit < 40
    assert counted(bitten.injections[0]) == (hit, hit)


def test_an_abort_in_the_gateways_own_virtual_service(mesh: LocalMesh) -> None:
    with fault(mesh, AbortSpec("productpage", http_status=ODD, at="client", from_=("gateway",))) as bitten:
        assert ask(mesh, "gateway", PAGE).status == ODD
        assert ask(mesh, "details-v1", "http://productpage:9080/productpage").status == 200
        assert [ref for ref, _ in _named(mesh, "chaos-r1-0")] == [Ref("VirtualService", "bookinfo", "bookinfo")]
    assert counted(bitten.injections[0]) == (1, 1)
    assert bitten.placements[0].felt_by == ("istio-ingressgateway",)
    assert ask(mesh, "gateway", PAGE).status == 200


def test_a_fault_in_one_client_by_its_labels(mesh: LocalMesh) -> None:
    with fault(mesh, AbortSpec("ratings", http_status=503, at="client", from_=("reviews-v2",))) as bitten:
        # The owner's retries on 5xx never see it.
        assert [ask(mesh, "reviews-v2", RATINGS).status for _ in range(3)] == [503] * 3
        assert [ask(mesh, "reviews-v3", RATINGS).status for _ in range(3)] == [200] * 3
    assert counted(bitten.injections[0]) == (3, 3)


def test_clients_that_nobody_governed_get_a_route_and_lose_it(mesh: LocalMesh) -> None:
    spec = AbortSpec("details", http_status=ODD, at="client", match=HttpMatch({"end-user": {"prefix": "test"}}))
    with fault(mesh, spec) as bitten:
        assert ask(mesh, "productpage-v1", "http://details:9080/details/0", {"end-user": "tester"}).status == ODD
        assert ask(mesh, "productpage-v1", "http://details:9080/details/0").status == 200
    assert counted(bitten.injections[0]) == (1, 1)


def test_a_server_side_abort_meets_the_clients_retries_and_its_share_is_measured(mesh: LocalMesh) -> None:
    with fault(mesh, AbortSpec("ratings", http_status=503, percentage=50)) as bitten:
        answers = [ask(mesh, "reviews-v3", RATINGS).status for _ in range(60)]
    # Six attempts that fail by half each: a request in 64 is lost.
    assert answers.count(200) >= 50
    injected, of = counted(bitten.injections[0])
    assert of > 60
    # 99.9999 % of draws of about 120 at one half lie within 0.27 to 0.73.
    assert 0.27 <= injected / of <= 0.73
    assert "503; FI after" in bitten.injections[0][0].lines[0]


def test_delay_and_abort_of_one_server_at_once(mesh: LocalMesh) -> None:
    with fault(mesh, DelaySpec("details", 0.1), AbortSpec("details", http_status=ODD)) as bitten:
        answer = ask(mesh, "productpage-v1", "http://details:9080/details/0")
        assert answer.status == ODD
        assert answer.seconds >= 0.098
    assert [counted(injections) for injections in bitten.injections] == [(1, 1), (1, 1)]


def test_a_delayed_request_that_outlives_its_fault_is_counted(mesh: LocalMesh) -> None:
    with fault(mesh, DelaySpec("details", 0.5)) as bitten:
        entry = mesh.entry("productpage-v1", "http://details:9080/details/0", "bookinfo")
        connection = http.client.HTTPConnection(entry.address, timeout=10)
        connection.request("GET", "http://details:9080/details/0", headers={"Host": entry.host})
        (server,) = mesh.proxies("details-v1")
        active = "http.inbound_0.0.0.0_9080;.downstream_rq_active"
        deadline = time.monotonic() + 5
        while not server.stats("downstream_rq_active")[active]:
            assert time.monotonic() < deadline, "the request never came to the server"
    assert connection.getresponse().status == 200
    connection.close()
    assert counted(bitten.injections[0]) == (1, 1)


def test_a_uri_at_the_server_is_the_one_that_arrives_there_after_a_clients_rewrite(mesh: LocalMesh) -> None:
    route = [{"destination": {"host": "details"}}]
    rewriting = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "rewriting", "namespace": "bookinfo"},
        "spec": {
            "hosts": ["details"],
            "http": [{"match": [{"uri": {"prefix": "/old"}}], "rewrite": {"uri": "/new"}, "route": route}],
        },
    }
    created = mesh.create(rewriting)
    try:
        with fault(mesh, AbortSpec("details", http_status=ODD, match=HttpMatch(uri={"exact": "/new"}))) as bitten:
            assert ask(mesh, "productpage-v1", "http://details:9080/old").status == ODD
        assert counted(bitten.injections[0]) == (1, 1)
    finally:
        mesh.delete(ref_of(created), created["metadata"]["uid"])


def _named(mesh: LocalMesh, name: str) -> list[tuple[Ref, str]]:
    """Objects that hold a route of this name."""
    found = []
    for item in mesh.snapshot().objects:
        for route in (item.get("spec") or {}).get("http") or () if item["kind"] == "VirtualService" else ():
            if route.get("name") == name:
                found.append((ref_of(item), name))
    return found
