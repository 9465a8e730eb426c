"""Translated resources on real Envoys: what a user of Istio would see."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from tiny_mesh import Answer, TinyMesh, request
from worlds import (
    SUBSETS,
    aborted,
    base_objects,
    base_replicas,
    destination_rule,
    made,
    server_fault,
    to,
    virtual_service,
)

from meshchaos.errors import ProxyRejected
from meshchaos.mesh.local.world import INBOUND_PORT, OUTBOUND_PORT
from meshchaos.mesh.seam import ProxyLogLine

pytestmark = pytest.mark.envoy
RATINGS = "http://ratings:9080/ratings/0"
CLUSTER = "outbound|9080||ratings.shop.svc.cluster.local"
_ids = itertools.count(1)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyMesh]:
    mesh = TinyMesh(tmp_path_factory.mktemp("m"), base_objects(), base_replicas)
    yield mesh
    mesh.close()


@pytest.fixture
def mesh(running: TinyMesh) -> TinyMesh:
    running.reset()
    return running


def call(mesh: TinyMesh, url: str = RATINGS, **headers: str) -> tuple[Answer, ProxyLogLine]:
    """A request by the page's sidecar, with its log line there."""
    number = f"req-{next(_ids)}"
    answer = mesh.get("page", url, x_request_id=number, **headers)
    return answer, mesh.lines("page", number)[0]


class TestWayThrough:
    def test_gateway_to_sidecar_is_mutual_tls_and_keeps_the_request_id(self, mesh: TinyMesh) -> None:
        answer = mesh.gateway("/ratings/0", "shop.example", x_request_id="not-a-uuid")
        assert answer.status == 200
        headers = answer.json["headers"]
        assert headers["x-request-id"] == "not-a-uuid"
        assert headers["x-forwarded-client-cert"].endswith("URI=spiffe://cluster.local/ns/istio-system/sa/gateway")
        [sent] = mesh.lines("gateway", "not-a-uuid")
        [received] = mesh.lines(answer.by, "not-a-uuid")
        assert (sent.side, received.side) == ("outbound", "inbound")
        assert received.route == "default"
        assert received.peer == "spiffe://cluster.local/ns/istio-system/sa/gateway"
        assert sent.hosts_attempted == (sent.upstream_host,)
        assert 0 < received.duration <= sent.duration < 5
        assert abs(time.time() - sent.start) < 60
        assert answer.headers["server"] == "istio-envoy"

    def test_sidecar_to_sidecar_under_the_callers_identity(self, mesh: TinyMesh) -> None:
        answer, line = call(mesh, x_forwarded_client_cert="URI=spiffe://cluster.local/ns/shop/sa/somebody-else")
        headers = answer.json["headers"]
        assert headers["x-forwarded-client-cert"].count("URI=") == 1
        assert headers["x-forwarded-client-cert"].endswith("URI=spiffe://cluster.local/ns/shop/sa/page")
        assert headers["x-envoy-attempt-count"] == "1"
        assert (line.route, line.cluster, line.flags) == ("default", CLUSTER, ())

    @pytest.mark.parametrize(
        "host", ["ratings", "ratings.shop", "ratings.shop.svc", "ratings.shop.svc.cluster.local", "RATINGS"]
    )
    def test_every_name_of_a_service(self, mesh: TinyMesh, host: str) -> None:
        assert mesh.get("page", f"http://{host}:9080/").status == 200

    def test_unknown_names_are_refused_with_words(self, mesh: TinyMesh) -> None:
        for url in ("http://nowhere:9080/", "http://ratings:9081/", "http://ratings/"):
            answer, line = call(mesh, url)
            assert (answer.status, line.route) == (502, "block_all")
            assert b"no Service of this mesh" in answer.body

    def test_unknown_host_at_the_gateway(self, mesh: TinyMesh) -> None:
        assert mesh.gateway("/", "other.example").status == 404

    def test_the_listener_of_a_service_port(self, mesh: TinyMesh) -> None:
        mesh.change(virtual_service("ratings", {"name": "mine", "route": [to()]}))
        answer = request(mesh.replica("page").address, 16000, "GET", "/x", {"x-request-id": "port-1"})
        assert answer.json["path"] == "/x"
        assert mesh.lines("page", "port-1")[0].route == "mine"

    def test_undeclared_ports_are_sniffed_and_meet_the_servers_faults(self, mesh: TinyMesh) -> None:
        page = mesh.replica("page").address
        for answer in (mesh.get("page", "http://sniffed:7000/a"), request(page, 16001, "GET", "/b")):
            assert answer.json["headers"]["x-forwarded-client-cert"].endswith("/sa/page")
        fault = server_fault(aborted(503))
        fault["spec"]["configPatches"][0]["match"]["routeConfiguration"] = {"portNumber": 7000}
        mesh.change(fault)
        assert mesh.get("page", "http://sniffed:7000/a").status == 503
        assert mesh.get("page", RATINGS).status == 200

    def test_tcp_ports_pass_bytes(self, mesh: TinyMesh) -> None:
        answer = request(mesh.replica("page").address, 16002, "GET", "/bytes")
        assert answer.json["path"] == "/bytes"
        # Nobody on the way read it.
        assert not {name for name in answer.json["headers"] if name.startswith("x-")}

    def test_connect_tunnels_meet_the_routes(self, mesh: TinyMesh) -> None:
        mesh.change(virtual_service("ratings", {"name": "mine", "route": [to()]}))
        assert tunnel(mesh, "ratings:9080", "tunnel-1").startswith(b"HTTP/1.1 200")
        assert mesh.lines("page", "tunnel-1")[0].route == "mine"
        assert tunnel(mesh, "ratings:1", "tunnel-2").startswith(b"HTTP/1.1 502")

    def test_plaintext_is_let_in_by_default_and_loops_are_not(self, mesh: TinyMesh) -> None:
        server = mesh.replica("ratings-v1").address
        answer = request(server, 9080, "GET", "/plain")
        assert answer.status == 200
        assert "x-forwarded-client-cert" not in answer.json["headers"]
        with pytest.raises(OSError, match=r"closed|reset"):
            request(server, INBOUND_PORT, "GET", "/")

    def test_a_replica_that_is_away_gets_nothing(self, mesh: TinyMesh) -> None:
        replicas = mesh.index.world.replicas
        without = tuple(replace(one, serving=one.name != "ratings-v1") for one in replicas)
        changed = mesh.change(replicas=without)
        assert "page" in changed
        assert {mesh.get("page", RATINGS).by for _ in range(10)} == {"ratings-v2"}
        mesh.change(replicas=replicas)


def tunnel(mesh: TinyMesh, authority: str, number: str) -> bytes:
    """The answer to a GET inside a CONNECT tunnel, or to the CONNECT when it is refused."""
    import socket

    with socket.create_connection((mesh.replica("page").address, OUTBOUND_PORT), timeout=5) as connection:
        connection.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        head = connection.recv(4096)
        if not head.startswith(b"HTTP/1.1 200"):
            return head
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {authority}\r\nx-request-id: {number}\r\n\r\n".encode())
        return connection.recv(4096)


class TestRetriesAndFaults:
    def test_default_policy_does_not_retry_an_answer(self, mesh: TinyMesh) -> None:
        mesh.change(server_fault(aborted(503)))
        answer, line = call(mesh)
        assert (answer.status, line.attempts, line.flags) == (503, 1, ())

    def test_default_policy_goes_past_a_dead_host(self, mesh: TinyMesh) -> None:
        replicas = mesh.index.world.replicas
        gone = replace(mesh.replica("ratings-v1"), name="gone", address=mesh.block.replica())
        mesh.change(replicas=(*replicas, gone))
        lines = [call(mesh)[1] for _ in range(12)]
        assert {line.status for line in lines} == {200}
        assert max(line.attempts for line in lines) > 1
        # Envoy does not log a host that it could not connect to as attempted.
        assert not any(f"{gone.address}:9080" in line.hosts_attempted for line in lines)
        mesh.change(replicas=replicas)

    def test_retries_see_a_fault_at_the_server_anew_each_time(self, mesh: TinyMesh) -> None:
        fault = server_fault(aborted(503), version="v1")
        retried = virtual_service("ratings", {"route": [to()], "retries": {"attempts": 3, "retryOn": "5xx"}})
        assert set(mesh.change(fault)) == {"ratings-v1"}
        assert Counter(call(mesh)[0].status for _ in range(20)).keys() == {200, 503}
        mesh.change(fault, retried)
        lines = [call(mesh)[1] for _ in range(20)]
        assert {line.status for line in lines} == {200}
        # Five tries to find another host than the last sometimes find none.
        assert {1, 2} <= {line.attempts for line in lines} <= {1, 2, 3, 4}
        # Envoy logs the hosts of the last attempt only; the server that failed has a line of its own.
        assert all(line.hosts_attempted == (line.upstream_host,) for line in lines)
        assert mesh.stats("ratings-v1", "fault.aborts_injected$")["http.inbound_0.0.0.0_9080;.fault.aborts_injected"]

    def test_limit_of_retries(self, mesh: TinyMesh) -> None:
        rule = {"route": [to()], "retries": {"attempts": 2, "retryOn": "503"}}
        mesh.change(server_fault(aborted(503)), virtual_service("ratings", rule))
        answer, line = call(mesh)
        assert (answer.status, line.attempts, line.flags) == (503, 3, ("URX",))

    def test_a_fault_at_the_client_is_never_retried(self, mesh: TinyMesh) -> None:
        rule = {
            "name": "chaos",
            "route": [to()],
            "fault": {"abort": {"httpStatus": 503, "percentage": {"value": 100}}},
            "retries": {"attempts": 5, "retryOn": "5xx"},
        }
        mesh.change(virtual_service("ratings", rule))
        answer, line = call(mesh)
        assert (answer.status, line.flags, line.route, line.attempts) == (503, ("FI",), "chaos", 0)
        assert not any(app.hits for app in mesh.apps.values())

    def test_missing_percentage_is_none(self, mesh: TinyMesh) -> None:
        mesh.change(virtual_service("ratings", {"route": [to()], "fault": {"abort": {"httpStatus": 503}}}))
        assert call(mesh)[0].status == 200

    def test_delay_at_the_server_meets_the_timeout(self, mesh: TinyMesh) -> None:
        delay = {"delay": {"fixed_delay": "2s", "percentage": {"numerator": 100}}}
        mesh.change(server_fault(delay), virtual_service("ratings", {"route": [to()], "timeout": "200ms"}))
        answer, line = call(mesh)
        assert (answer.status, line.flags) == (504, ("UT",))
        assert line.duration == pytest.approx(0.2, abs=0.1)

    def test_delay_at_the_client_is_not_cut_by_the_timeout(self, mesh: TinyMesh) -> None:
        fault = {"delay": {"fixedDelay": "250ms", "percentage": {"value": 100.0}}}
        mesh.change(virtual_service("ratings", {"route": [to()], "timeout": "100ms", "fault": fault}))
        answer, line = call(mesh)
        assert (answer.status, line.flags) == (200, ("DI",))
        assert line.duration >= 0.245

    def test_per_try_timeout(self, mesh: TinyMesh) -> None:
        mesh.apps["ratings-v1"].delay = 1.0
        retries = {"attempts": 2, "retryOn": "5xx", "perTryTimeout": "100ms"}
        mesh.change(virtual_service("ratings", {"route": [to()], "retries": retries}))
        assert {call(mesh)[0].by for _ in range(6)} == {"ratings-v2"}

    def test_fault_for_one_header_and_for_one_caller(self, mesh: TinyMesh) -> None:
        caller = {
            "name": "x-forwarded-client-cert",
            "string_match": {"safe_regex": {"regex": ".*URI=spiffe://cluster.local/ns/shop/sa/page.*"}},
        }
        mesh.change(server_fault({**aborted(500), "headers": [caller]}))
        assert call(mesh)[0].status == 500
        assert mesh.gateway("/", "shop.example").status == 200
        tester = {"name": "end-user", "string_match": {"exact": "tester"}}
        mesh.change(server_fault({**aborted(500), "headers": [tester]}))
        assert call(mesh)[0].status == 200
        answer, line = call(mesh, end_user="tester")
        assert (answer.status, line.headers) == (500, {"end-user": "tester"})

    def test_a_fault_that_envoy_refuses_changes_nothing(self, mesh: TinyMesh) -> None:
        with pytest.raises(ProxyRejected, match="HttpStatus: value must be inside range"):
            mesh.change(server_fault({"abort": {"http_status": 9999}}))
        assert call(mesh)[0].status == 200


class TestVirtualServices:
    def versions(self, mesh: TinyMesh, *objects: Any, count: int = 200) -> Counter[str]:
        mesh.change(*objects)
        return Counter(mesh.get("page", RATINGS).by for _ in range(count))

    def test_weights(self, mesh: TinyMesh) -> None:
        rule = destination_rule(subsets=SUBSETS)
        found = self.versions(mesh, rule, virtual_service("ratings", {"route": [to(subset="v1")]}), count=10)
        assert found == {"ratings-v1": 10}
        split = virtual_service("ratings", {"route": [to(subset="v1", weight=3), to(subset="v2", weight=1)]})
        found = self.versions(mesh, rule, split)
        assert 120 <= found["ratings-v1"] <= 180
        zero = virtual_service("ratings", {"route": [to(subset="v1", weight=0), to(subset="v2", weight=7)]})
        assert self.versions(mesh, rule, zero, count=10) == {"ratings-v2": 10}

    def test_matches_in_order(self, mesh: TinyMesh) -> None:
        mesh.change(
            virtual_service(
                "ratings",
                {
                    "name": "first",
                    "match": [
                        {"name": "tester", "headers": {"end-user": {"exact": "tester"}}},
                        {"uri": {"prefix": "/admin"}, "method": {"exact": "GET"}},
                    ],
                    "directResponse": {"status": 418, "body": {"string": "teapot"}},
                },
                {"name": "no-user", "match": [{"withoutHeaders": {"end-user": {}}}], "route": [to()]},
                {"name": "q", "match": [{"queryParams": {"v": {"regex": "[0-9]+"}}}], "route": [to()]},
                {"name": "other-caller", "match": [{"sourceLabels": {"app": "other"}}], "route": [to("nowhere")]},
                {"name": "rest", "route": [to()]},
            )
        )
        answer, line = call(mesh, end_user="tester")
        assert (answer.status, answer.body, line.route) == (418, b"teapot", "first.tester")
        assert call(mesh, "http://ratings:9080/admin/x")[1].route == "first"
        assert call(mesh)[1].route == "no-user"
        assert call(mesh, RATINGS + "?v=12", end_user="bob")[1].route == "q"
        assert call(mesh, RATINGS + "?v=x", end_user="bob")[1].route == "rest"

    def test_rewrite_headers_redirect(self, mesh: TinyMesh) -> None:
        mesh.change(
            virtual_service(
                "ratings",
                {"match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/new", "redirectCode": 302}},
                {
                    "match": [{"uri": {"prefix": "/v1/"}}],
                    "rewrite": {"uri": "/", "authority": "inner.example"},
                    "headers": {
                        "request": {"set": {"x-set": "1"}, "add": {"x-add": "2"}, "remove": ["x-gone"]},
                        "response": {"set": {"x-answer": "3"}},
                    },
                    "route": [to()],
                },
                {
                    "rewrite": {"uriRegexRewrite": {"match": "^/users/([0-9]+)$", "rewrite": r"/u/\1"}},
                    "route": [to()],
                },
            )
        )
        moved, _ = call(mesh, "http://ratings:9080/old/1")
        assert (moved.status, moved.headers["location"]) == (302, "http://ratings:9080/new")
        answer, line = call(mesh, "http://ratings:9080/v1/a", x_gone="x", x_set="0", x_add="1")
        seen = answer.json["headers"]
        assert (answer.json["path"], seen["host"], seen["x-set"]) == ("/a", "inner.example", "1")
        assert "x-gone" not in seen
        assert answer.headers["x-answer"] == "3"
        assert line.path == "/v1/a"
        assert call(mesh, "http://ratings:9080/users/42")[0].json["path"] == "/u/42"

    def test_mirror(self, mesh: TinyMesh) -> None:
        mesh.change(
            destination_rule(subsets=SUBSETS),
            virtual_service(
                "ratings",
                {"route": [to(subset="v1")], "mirror": {"host": "ratings", "subset": "v2"}},
            ),
        )
        assert call(mesh, "http://ratings:9080/mirrored")[0].by == "ratings-v1"
        deadline = time.monotonic() + 5
        while not mesh.apps["ratings-v2"].hits["/mirrored"]:
            assert time.monotonic() < deadline, "the mirror got nothing"
            time.sleep(0.01)

    def test_missing_subset_and_service(self, mesh: TinyMesh) -> None:
        for target in (to(subset="v9"), to("missing")):
            mesh.change(virtual_service("ratings", {"route": [target]}))
            answer, line = call(mesh)
            assert (answer.status, line.flags) == (503, ("NC",))

    def test_the_oldest_governs_a_host_and_gateways_merge(self, mesh: TinyMesh) -> None:
        older = virtual_service("ratings", {"name": "older", "route": [to()]}, name="older")
        younger = virtual_service("ratings", {"name": "younger", "route": [to()]}, name="younger")
        special = virtual_service(
            "shop.example",
            {"name": "special", "match": [{"uri": {"exact": "/special"}}], "directResponse": {"status": 201}},
            name="special",
            gateways=["shop"],
        )
        mesh.change(younger, older, special)
        assert call(mesh)[1].route == "older"
        assert mesh.gateway("/special", "shop.example").status == 201
        assert mesh.gateway("/", "shop.example").status == 200

    def test_cors(self, mesh: TinyMesh) -> None:
        policy = {"allowOrigins": [{"exact": "http://ui"}], "allowMethods": ["GET"], "maxAge": "24h"}
        mesh.change(virtual_service("ratings", {"route": [to()], "corsPolicy": policy}))
        answer = mesh.get("page", RATINGS, "OPTIONS", origin="http://ui", access_control_request_method="GET")
        assert answer.headers["access-control-allow-methods"] == "GET"
        assert answer.headers["access-control-max-age"] == "86400"


class TestDestinationRules:
    def test_overflow(self, mesh: TinyMesh) -> None:
        pool = {"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1}}
        mesh.change(destination_rule(trafficPolicy={"connectionPool": pool}))
        for app in mesh.apps.values():
            app.delay = 0.3
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda _: call(mesh), range(8)))
        shed = [line for _, line in found if line.flags == ("UO",)]
        assert 1 <= len(shed) <= 6
        assert {line.status for line in shed} == {503}

    def test_ejection_of_all_with_the_percentage_at_100(self, mesh: TinyMesh) -> None:
        outlier = {"consecutive5xxErrors": 2, "interval": "100ms", "baseEjectionTime": "30s"}

        def rule(**more: int) -> Any:
            return destination_rule(trafficPolicy={"outlierDetection": {**outlier, **more}})

        mesh.change(rule(), server_fault(aborted(503)))
        lines = [call(mesh)[1] for _ in range(10)]
        # 10 % of two hosts is none.
        assert sum("UH" in line.flags for line in lines) <= len(lines) - 4
        ejected = f"cluster.{CLUSTER};.outlier_detection.ejections_active"
        mesh.change(rule(maxEjectionPercent=100), server_fault(aborted(503)))
        deadline = time.monotonic() + 5
        while "UH" not in call(mesh)[1].flags:
            assert time.monotonic() < deadline, "never without a healthy host"
        assert mesh.stats("page", "ejections_active")[ejected] == 2

    def test_consistent_hash(self, mesh: TinyMesh) -> None:
        balancer = {"consistentHash": {"httpHeaderName": "end-user"}}
        mesh.change(destination_rule(trafficPolicy={"loadBalancer": balancer}))
        by_user = {user: {call(mesh, end_user=user)[0].by for _ in range(5)} for user in "abcdefgh"}
        assert {len(found) for found in by_user.values()} == {1}
        assert len(set.union(*by_user.values())) == 2

    def test_plaintext_when_tls_is_disabled(self, mesh: TinyMesh) -> None:
        mesh.change(destination_rule(trafficPolicy={"tls": {"mode": "DISABLE"}}))
        assert "x-forwarded-client-cert" not in call(mesh)[0].json["headers"]

    def test_strict_servers_refuse_plaintext(self, mesh: TinyMesh) -> None:
        strict = made("PeerAuthentication", "default", "shop", {"mtls": {"mode": "STRICT"}})
        mesh.change(strict)
        assert call(mesh)[0].status == 200
        with pytest.raises(OSError, match=r"closed|reset"):
            request(mesh.replica("ratings-v1").address, 9080, "GET", "/")
        mesh.change(strict, destination_rule(trafficPolicy={"tls": {"mode": "DISABLE"}}))
        assert call(mesh)[1].flags in {("UC",), ("UC", "URX")}

    def test_http2_between_sidecars(self, mesh: TinyMesh) -> None:
        pool = {"http": {"h2UpgradePolicy": "UPGRADE"}}
        mesh.change(destination_rule(trafficPolicy={"connectionPool": pool}))
        assert call(mesh)[0].status == 200
        upgraded = f"cluster.{CLUSTER};.upstream_cx_http2_total"
        assert mesh.stats("page", "upstream_cx_http2_total")[upgraded] >= 1

    @pytest.mark.parametrize(
        "policy",
        [
            {"loadBalancer": {"simple": "ROUND_ROBIN", "warmup": {"duration": "10s"}}},
            {"loadBalancer": {"simple": "LEAST_CONN", "warmupDurationSecs": "10s"}},
            {"loadBalancer": {"simple": "RANDOM"}},
            {"loadBalancer": {"consistentHash": {"useSourceIp": True, "maglev": {"tableSize": 101}}}},
            {"loadBalancer": {"consistentHash": {"httpCookie": {"name": "u", "ttl": "0s", "path": "/"}}}},
            {"connectionPool": {"http": {"maxRequestsPerConnection": 1, "idleTimeout": "1s", "maxRetries": 1}}},
            {"connectionPool": {"tcp": {"connectTimeout": "1s", "tcpKeepalive": {"probes": 3, "time": "10s"}}}},
            {"connectionPool": {"http": {"useClientProtocol": True}, "tcp": {"maxConnectionDuration": "10m"}}},
            {"retryBudget": {"percent": {"value": 20}, "minRetryConcurrency": 5}},
            {
                "outlierDetection": {
                    "consecutiveGatewayErrors": 3,
                    "splitExternalLocalOriginErrors": True,
                    "consecutiveLocalOriginFailures": 3,
                    "outlierDetectionHttpErrorCodes": [500, 429],
                    "minHealthPercent": 50,
                }
            },
            {"tls": {"mode": "ISTIO_MUTUAL"}},
            {"portLevelSettings": [{"port": {"number": 9080}, "loadBalancer": {"simple": "RANDOM"}}]},
        ],
    )
    def test_policies_that_envoy_takes(self, mesh: TinyMesh, policy: dict[str, Any]) -> None:
        assert "page" in mesh.change(destination_rule(trafficPolicy=policy))
        assert call(mesh)[0].status == 200
