"""Faults that change a policy, on real Envoys: they bite, are proved, and are undone to the byte."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from meshchaos.checks.kind import Finding, Verdict
from meshchaos.checks.shown import shown_finding
from meshchaos.errors import EvidenceError
from meshchaos.faults.apply_objects import APPLY, ApplySpec
from meshchaos.faults.authorization import AUTHORIZATION, AuthorizationSpec, Calls
from meshchaos.faults.control_plane import CERTIFICATES, CONTROL_PLANE, CertificateSpec, ControlPlaneSpec
from meshchaos.faults.destination_policy import (
    CONNECTION_POOL,
    OUTLIER_DETECTION,
    ConnectionPoolSpec,
    OutlierDetectionSpec,
)
from meshchaos.faults.kind import FaultContext, FaultKind, Placement
from meshchaos.faults.mtls import MTLS, MtlsSpec
from meshchaos.faults.partition import PARTITION, PartitionSpec
from meshchaos.faults.request_authentication import REQUEST_AUTHENTICATION, RequestAuthenticationSpec
from meshchaos.faults.route_policy import RETRIES, TIMEOUT, RetriesSpec, TimeoutSpec
from meshchaos.faults.scale import SCALE, ScaleSpec
from meshchaos.faults.traffic_shift import TRAFFIC_SHIFT, TrafficShiftSpec
from meshchaos.mesh.apply import apply_change, undo_all
from meshchaos.mesh.changes import Change, EditObject, recorded
from meshchaos.mesh.local.client import LocalMesh
from meshchaos.mesh.local.objects.manifests import load
from meshchaos.mesh.local.spec import MeshSpec, StubSpec
from meshchaos.mesh.objects import Manifest, Ref, ref_of
from meshchaos.mesh.seam import Entry
from meshchaos.run.fault_records import record_of
from meshchaos.run.wiring import rooms

pytestmark = pytest.mark.envoy

ROOT = Path(__file__).parents[2]
RATINGS = "http://ratings:9080/ratings/0"
REVIEWS = "http://reviews:9080/reviews/0"
DETAILS = "http://details:9080/details/0"
CANARY: Manifest = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "reviews", "namespace": "bookinfo"},
    "spec": {
        "hosts": ["reviews"],
        "http": [
            {"match": [{"headers": {"end-user": {"exact": "x"}}}], "route": [{"destination": {"host": "details"}}]},
            {"route": [{"destination": {"host": "reviews", "subset": "v1"}}]},
        ],
    },
}


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    logs = tmp_path_factory.mktemp("mesh")
    manifests = (*load([ROOT / "experiments" / "bookinfo"]), CANARY)
    programs = {"details-v1": StubSpec(latency=0.3)}
    spec = MeshSpec("bookinfo", str(ROOT / "meshchaos.yaml"), str(ROOT), str(logs), manifests, programs)
    with LocalMesh.start(spec) as mesh:
        yield mesh


def ask(mesh: LocalMesh, source: str, url: str) -> tuple[int, str, float]:
    """Status, the workload that answered, seconds: of one request from a workload through its sidecar."""
    return request(mesh.entry(source, url, "bookinfo"), url)


def request(entry: Entry, url: str) -> tuple[int, str, float]:
    connection = http.client.HTTPConnection(entry.address, timeout=10)
    start = time.monotonic()
    connection.request("GET", url if entry.proxied else urlsplit(url).path, headers={"Host": entry.host})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    workload = json.loads(body)["workload"] if response.status == 200 else ""
    return response.status, workload, time.monotonic() - start


@contextmanager
def faults(mesh: LocalMesh, *asked: tuple[FaultKind, Any]) -> Iterator[list[Finding]]:
    """Faults while they last; what proves each of them is in the list afterwards. All objects must be as before."""
    snapshot = mesh.snapshot()
    before = {ref_of(item): _plain(item) for item in snapshot.objects if item["kind"] != "Pod"}
    contexts = [FaultContext(f"chaos-r1-{number}", number, 7, "bookinfo") for number in range(len(asked))]
    placed = [kind.place(spec, snapshot, context) for (kind, spec), context in zip(asked, contexts, strict=True)]
    placements: list[Placement] = []
    families: dict[str, FaultKind] = {kind.family: kind for kind, _ in asked}  # type: ignore[attr-defined]
    for family, kind in families.items():
        its = tuple(one for (k, _), one in zip(asked, placed, strict=True) if k.family == family)  # type: ignore[attr-defined]
        placements += kind.combine(its) if hasattr(kind, "combine") else its
    proofs: list[Finding] = []
    changes: list[Change] = []
    live, provers = {}, []
    try:
        for placement in placements:
            provers.append(rooms().prover(mesh, placement, "r1"))
            for planned in placement.changes:
                edits = isinstance(planned, EditObject)
                change = recorded(mesh.get(planned.ref), planned) if edits else planned  # type: ignore[arg-type]
                apply_change(mesh, change, "r1")
                changes.append(change)
            live[placement.id] = mesh.confirm(placement.changes, present=True, timeout=10).at
        for prover in provers:
            prover.collect()
        yield proofs
        for prover in provers:
            prover.collect()
        removed = time.time()
    finally:
        assert undo_all(mesh, changes, "r1") == []
        mesh.confirm(changes, present=False, timeout=10)
    for placement, prover in zip(placements, provers, strict=True):
        record = replace(record_of(placement), live_at=live[placement.id], removed_at=removed)
        proofs.append(shown_finding(prover.finish(record)))
    after = {ref_of(item): _plain(item) for item in mesh.snapshot().objects if item["kind"] != "Pod"}
    assert after == before


def _plain(manifest: Manifest) -> dict[str, Any]:
    hidden = {"resourceVersion", "generation", "managedFields"}
    return {**manifest, "metadata": {k: v for k, v in manifest["metadata"].items() if k not in hidden}}


def proved(proofs: list[Finding], *words: str) -> None:
    assert [finding.verdict for finding in proofs] == [Verdict.PASS] * len(words), [one.reason for one in proofs]
    for finding, text in zip(proofs, words, strict=True):
        assert text in finding.reason


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_timeout_of_a_service_that_nobody_governed(mesh: LocalMesh) -> None:
    with faults(mesh, (TIMEOUT, TimeoutSpec("details", 0.1))) as proofs:
        assert ask(mesh, "productpage-v1", DETAILS)[0] == 504
    proved(proofs, "details:9080 with timeout 0.1s; it shows what the proxies run, not that a request met it")
    assert ask(mesh, "productpage-v1", DETAILS)[0] == 200


def test_two_policies_of_one_route_of_ours(mesh: LocalMesh) -> None:
    specs = (TimeoutSpec("details", 0.1), RetriesSpec("details", 2, retry_on="gateway-error", per_try_timeout=0.04))
    with faults(mesh, (TIMEOUT, specs[0]), (RETRIES, specs[1])) as proofs:
        assert ask(mesh, "productpage-v1", DETAILS)[0] == 504
    assert [finding.verdict for finding in proofs] == [Verdict.PASS] * 2, proofs


def test_a_timeout_of_the_owners_route_for_one_client_alone(mesh: LocalMesh) -> None:
    spec = TimeoutSpec("details", 0.1, from_=("reviews-v3",))
    with faults(mesh, (TIMEOUT, spec)) as proofs:
        assert ask(mesh, "reviews-v3", DETAILS)[0] == 504
        assert ask(mesh, "productpage-v1", DETAILS)[0] == 200
    proved(proofs, "reviews-v3")


def test_retries_of_the_owners_route(mesh: LocalMesh) -> None:
    with faults(mesh, (RETRIES, RetriesSpec("ratings", 0)), (TIMEOUT, TimeoutSpec("ratings", 9.0))) as proofs:
        found = next(
            o for o in mesh.snapshot().objects if ref_of(o).kind == "VirtualService" and ref_of(o).name == "ratings"
        )
        assert found["spec"]["http"][0]["retries"] == {"attempts": 0}
        assert found["spec"]["http"][0]["timeout"] == "9s"
    assert [finding.verdict for finding in proofs] == [Verdict.PASS] * 2
    assert any("retry_policy" in line for line in proofs[0].evidence), proofs[0].evidence


def test_weights_of_a_route_without_a_name_are_measured(mesh: LocalMesh) -> None:
    assert {ask(mesh, "productpage-v1", REVIEWS)[1] for _ in range(5)} == {"reviews-v1"}
    spec = TrafficShiftSpec("reviews", {"v2": 100, "v3": 0})
    with faults(mesh, (TRAFFIC_SHIFT, spec)) as proofs:
        assert {ask(mesh, "productpage-v1", REVIEWS)[1] for _ in range(30)} == {"reviews-v2"}
    proved(proofs, "of 30 requests, 100 % went to outbound|9080|v2|reviews.bookinfo.svc.cluster.local (100 % asked)")
    assert {ask(mesh, "productpage-v1", REVIEWS)[1] for _ in range(5)} == {"reviews-v1"}


def test_weights_without_a_request_prove_nothing(mesh: LocalMesh) -> None:
    with faults(mesh, (TRAFFIC_SHIFT, TrafficShiftSpec("reviews", {"v2": 50, "v3": 50}))) as proofs:
        pass
    assert [finding.verdict for finding in proofs] == [Verdict.INVALID]
    assert "no request went out" in proofs[0].reason


@pytest.mark.parametrize("sources", [(), ("productpage-v1",)])
def test_a_connection_pool_sheds_what_exceeds_it(mesh: LocalMesh, sources: tuple[str, ...]) -> None:
    limits = {"http1MaxPendingRequests": 1, "http2MaxRequests": 1}
    spec = ConnectionPoolSpec("details", from_=sources, tcp={"maxConnections": 1}, http=limits)

    def statuses(source: str) -> set[int]:
        entry = mesh.entry(source, DETAILS, "bookinfo")
        with ThreadPoolExecutor(8) as pool:
            return {found[0] for found in pool.map(lambda _: request(entry, DETAILS), range(8))}

    with faults(mesh, (CONNECTION_POOL, spec)) as proofs:
        assert statuses("productpage-v1") == {200, 503}
        assert statuses("reviews-v3") == ({200} if sources else {200, 503})
    proved(proofs, "connectionPool tcp.maxConnections 1")
    assert statuses("productpage-v1") == {200}


def test_outlier_detection_in_the_owners_rule(mesh: LocalMesh) -> None:
    spec = OutlierDetectionSpec("reviews", consecutive5xx_errors=1, max_ejection_percent=100)
    with faults(mesh, (OUTLIER_DETECTION, spec)) as proofs:
        pass
    proved(proofs, "outlierDetection consecutive5xxErrors 1, maxEjectionPercent 100")
    assert any("outlier_detection" in line for line in proofs[0].evidence)


@pytest.mark.parametrize("count", [1, 3, 0])
def test_a_deployment_has_another_number_of_replicas_and_its_own_again(mesh: LocalMesh, count: int) -> None:
    def ready() -> int:
        found = next(one for one in mesh.snapshot().workloads if one.name == "ratings-v1")
        return sum(replica.ready for replica in found.replicas)

    assert ready() == 2
    with faults(mesh, (SCALE, ScaleSpec("ratings-v1", count))) as proofs:
        assert ready() == count
        assert ask(mesh, "productpage-v1", RATINGS)[0] == (200 if count else 503)
    proved(proofs, f"ratings-v1.bookinfo had 2 replicas ready before and {count} during it")
    wait(lambda: ready() == 2, "the replicas did not come back")
    assert ask(mesh, "productpage-v1", RATINGS)[0] == 200


def wait_for(mesh: LocalMesh, source: str, url: str, status: int) -> None:
    """A kept connection may carry one more request by the rules that its listener had before."""
    wait(lambda: ask(mesh, source, url)[0] == status, f"{source} never got {status} from {url}")


def test_a_denial_of_one_caller(mesh: LocalMesh) -> None:
    calls = Calls("ratings", from_=("details",), methods=("GET",))
    with faults(mesh, (AUTHORIZATION, AuthorizationSpec(deny=calls))) as proofs:
        wait_for(mesh, "details-v1", RATINGS, 403)
        wait_for(mesh, "productpage-v1", RATINGS, 200)
    proved(proofs, "from details-v1, got status 200 before and status 403 during it")
    wait_for(mesh, "details-v1", RATINGS, 200)


def test_an_allowance_denies_the_others(mesh: LocalMesh) -> None:
    calls = Calls("ratings", from_=("details",))
    with faults(mesh, (AUTHORIZATION, AuthorizationSpec(allow=calls))) as proofs:
        wait_for(mesh, "details-v1", RATINGS, 200)
        wait_for(mesh, "productpage-v1", RATINGS, 403)
    proved(proofs, "got status 200 before and status 403 during it")


@pytest.mark.parametrize(
    "scope",
    [
        {"workload": "ratings-v1"},
        {"namespace": "bookinfo"},
        {"mesh_wide": True},
        {"workload": "ratings-v1", "port": 9080},
    ],
)
def test_servers_demand_mutual_tls(mesh: LocalMesh, scope: dict[str, Any]) -> None:
    wait_for(mesh, "outside", "http://ratings.bookinfo:9080/ratings/0", 200)
    with faults(mesh, (MTLS, MtlsSpec("STRICT", **scope))) as proofs:
        wait_for(mesh, "productpage-v1", RATINGS, 200)
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(mesh, "outside", "http://ratings.bookinfo:9080/ratings/0")
    proved(proofs, "from outside, got status 200 before and no answer")
    wait_for(mesh, "outside", "http://ratings.bookinfo:9080/ratings/0", 200)


def test_objects_of_the_users_own_new_and_in_the_place_of_what_is_there(mesh: LocalMesh) -> None:
    ratings = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "ratings"},
        "spec": {"hosts": ["ratings"], "http": [{"directResponse": {"status": 418}}]},
    }
    details = {**ratings, "metadata": {"name": "details"}, "spec": {**ratings["spec"], "hosts": ["details"]}}
    with faults(mesh, (APPLY, ApplySpec((ratings, details)))) as proofs:
        assert ask(mesh, "productpage-v1", RATINGS)[0] == 418
        assert ask(mesh, "productpage-v1", DETAILS)[0] == 418
    proved(proofs, "the mesh held VirtualService ratings.bookinfo, VirtualService details.bookinfo; it shows that")
    assert ask(mesh, "productpage-v1", RATINGS)[0] == 200


JWKS = '{"keys": [{"kty": "oct", "kid": "1", "alg": "HS256", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}]}'


@pytest.mark.parametrize(
    "more",
    [{}, {"fromHeaders": [{"name": "x-token", "prefix": "T "}]}, {"fromParams": ["t"]}, {"fromCookies": ["session"]}],
    ids=["bearer", "header", "query", "cookie"],
)
def test_tokens_are_looked_at(mesh: LocalMesh, more: dict[str, Any]) -> None:
    rule = {"issuer": "https://issuer.example", "jwks": JWKS, **more}
    spec = RequestAuthenticationSpec("ratings-v1", (rule,))
    with faults(mesh, (REQUEST_AUTHENTICATION, spec)) as proofs:
        wait_for(mesh, "productpage-v1", RATINGS, 200)
    proved(proofs, "got status 200 before and status 401 during it")


def test_a_second_rule_about_tokens_is_shown_by_the_proxies_alone(mesh: LocalMesh) -> None:
    rules = [{"issuer": f"https://{name}.example", "jwks": JWKS} for name in ("one", "two")]
    specs = [RequestAuthenticationSpec("ratings-v1", (rule,)) for rule in rules]
    first = {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "tokens"},
        "spec": {"selector": {"matchLabels": {"app": "ratings"}}, "jwtRules": [rules[0]]},
    }
    with faults(mesh, (APPLY, ApplySpec((first,)))), faults(mesh, (REQUEST_AUTHENTICATION, specs[1])) as proofs:
        pass
    proved(proofs, "it shows what the proxies run")


PAGE = "http://bookinfo.example/productpage"


@pytest.mark.parametrize("how", ["refuse", "blackhole"])
def test_a_client_is_cut_off_from_a_service_that_somebody_governs(mesh: LocalMesh, how: Any) -> None:
    spec = PartitionSpec("ratings", ("reviews-v3",), how)
    with faults(mesh, (PARTITION, spec)) as proofs:
        status, _, seconds = ask(mesh, "reviews-v3", RATINGS)
        assert 0.05 < seconds < 5, "the owner's retries and timeout (500 ms) are kept"
        assert status in ({503, 504} if how == "refuse" else {504})
        assert ask(mesh, "productpage-v1", RATINGS)[0] == 200
    proved(proofs, "1 request failed to connect (1 with U")
    assert ask(mesh, "reviews-v3", RATINGS)[0] == 200


def test_a_client_is_cut_off_from_a_service_that_nobody_governs(mesh: LocalMesh) -> None:
    with faults(mesh, (PARTITION, PartitionSpec("details", ("productpage",)))) as proofs:
        assert ask(mesh, "productpage-v1", DETAILS)[0] == 503
        assert ask(mesh, "reviews-v3", DETAILS)[0] == 200
    proved(proofs, "1 request failed to connect (1 with UF) and none arrived")
    assert ask(mesh, "productpage-v1", DETAILS)[0] == 200


def test_the_gateway_is_cut_off(mesh: LocalMesh) -> None:
    assert ask(mesh, "gateway", PAGE)[0] == 200
    with faults(mesh, (PARTITION, PartitionSpec("productpage", ("gateway",)))) as proofs:
        assert ask(mesh, "gateway", PAGE)[0] == 503
        assert ask(mesh, "reviews-v3", "http://productpage:9080/productpage")[0] == 200
    proved(proofs, "1 request failed to connect (1 with UF) and none arrived")
    assert ask(mesh, "gateway", PAGE)[0] == 200


def test_only_the_part_of_a_route_that_leads_there_is_cut(mesh: LocalMesh) -> None:
    """A route of others, of which a share goes to the service."""
    split = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "details"},
        "spec": {
            "hosts": ["details"],
            "http": [
                {
                    "route": [
                        {"destination": {"host": "details"}, "weight": 50},
                        {"destination": {"host": "ratings"}, "weight": 50},
                    ]
                }
            ],
        },
    }
    with (
        faults(mesh, (APPLY, ApplySpec((split,)))),
        faults(mesh, (PARTITION, PartitionSpec("ratings", ("reviews-v3",)))) as proofs,
    ):
        found = {ask(mesh, "reviews-v3", DETAILS)[:2] for _ in range(30)}
        assert found == {(200, "details-v1"), (503, "")}
    proved(proofs, "failed to connect")


def test_a_partition_that_nobody_met_proves_nothing(mesh: LocalMesh) -> None:
    spec = PartitionSpec("ratings", ("reviews-v3",))
    with pytest.raises(EvidenceError, match="no request went out"), faults(mesh, (PARTITION, spec)):
        pass


def test_a_certificate_is_past_its_end_and_renewed(mesh: LocalMesh) -> None:
    assert ask(mesh, "productpage-v1", DETAILS)[0] == 200
    with faults(mesh, (CERTIFICATES, CertificateSpec("details-v1"))) as proofs:
        wait_for(mesh, "productpage-v1", DETAILS, 503)
        assert ask(mesh, "productpage-v1", RATINGS)[0] == 200
        wait_for(mesh, "details-v1", RATINGS, 503)
    proved(proofs, "got status 200 before and status 503 during it")
    assert "expired: False -> True" in " ".join(proofs[0].evidence)
    wait_for(mesh, "productpage-v1", DETAILS, 200)
    wait_for(mesh, "details-v1", RATINGS, 200)


def test_a_gateway_has_no_certificate_that_servers_take(mesh: LocalMesh) -> None:
    assert ask(mesh, "gateway", PAGE)[0] == 200
    with faults(mesh, (CERTIFICATES, CertificateSpec("istio-ingressgateway.istio-system"))) as proofs:
        wait_for(mesh, "gateway", PAGE, 503)
    proved(proofs, "ran a certificate that is past its end; it shows what the proxies run")
    wait_for(mesh, "gateway", PAGE, 200)


def test_a_proxy_gets_nothing_new(mesh: LocalMesh) -> None:
    with faults(mesh, (CONTROL_PLANE, ControlPlaneSpec("reviews-v3"))) as proofs:
        assert ask(mesh, "reviews-v3", RATINGS)[0] == 200
    proved(proofs, "did not get the cluster outbound|80||chaos-r1-0.update.invalid, which ")


def test_a_stale_proxy_goes_by_what_it_knew_and_catches_up(mesh: LocalMesh) -> None:
    ref = Ref("VirtualService", "bookinfo", "ratings")
    before = mesh.get(ref)
    context = FaultContext("chaos-r1-0", 0, 7, "bookinfo")
    changes = CONTROL_PLANE.place(ControlPlaneSpec("reviews-v3"), mesh.snapshot(), context).changes
    for change in changes:
        apply_change(mesh, change, "r1")
    mesh.confirm(changes, present=True, timeout=10)
    mesh.replace({**before, "spec": {"hosts": ["ratings"], "http": [{"directResponse": {"status": 418}}]}})
    assert ask(mesh, "productpage-v1", RATINGS)[0] == 418
    assert ask(mesh, "reviews-v3", RATINGS)[0] == 200
    assert undo_all(mesh, changes, "r1") == []
    mesh.confirm(changes, present=False, timeout=10)
    assert ask(mesh, "reviews-v3", RATINGS)[0] == 418
    mesh.replace({**mesh.get(ref), "spec": before["spec"]})
    assert ask(mesh, "reviews-v3", RATINGS)[0] == 200


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ((TIMEOUT, TimeoutSpec("api.example.com", 0.1)), 504, "with timeout 0.1s"),
        (
            (PARTITION, PartitionSpec("api.example.com", ("productpage",))),
            503,
            "1 request failed to connect (1 with UF)",
        ),
    ],
    ids=["timeout", "partition"],
)
def test_a_host_of_a_service_entry(mesh: LocalMesh, fault: tuple[FaultKind, Any], status: int, words: str) -> None:
    (details,) = [one for one in mesh.world().replicas if one.workload == "details-v1"]
    address, _, port = details.applications[9080].rpartition(":")
    entry = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "api"},
        "spec": {
            "hosts": ["api.example.com"],
            "resolution": "STATIC",
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": int(port)}],
            "endpoints": [{"address": address}],
        },
    }
    url = "http://api.example.com/"
    with faults(mesh, (APPLY, ApplySpec((entry,)))):
        assert ask(mesh, "productpage-v1", url)[:2] == (200, "details-v1")
        with faults(mesh, fault) as proofs:
            assert ask(mesh, "productpage-v1", url)[0] == status
        assert ask(mesh, "productpage-v1", url)[0] == 200
    assert len(proofs) == 1
    assert proofs[0].verdict is Verdict.PASS
    assert words in proofs[0].reason
