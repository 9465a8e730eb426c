"""VirtualServices and DestinationRules on real Envoys."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tiny_mesh import RATINGS, TinyMesh, call, request
from worlds import (
    SUBSETS,
    aborted,
    destination_rule,
    made,
    server_fault,
    to,
    virtual_service,
)

pytestmark = pytest.mark.envoy
CLUSTER = "outbound|9080||ratings.shop.svc.cluster.local"


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
        call(mesh)  # a request that waits for its connection is the one that may be pending
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
