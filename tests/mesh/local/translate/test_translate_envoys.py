"""Translated resources on real Envoys: what a user of Istio would see."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import pytest
from tiny_mesh import RATINGS, TinyMesh, call, request
from worlds import (
    aborted,
    server_fault,
    to,
    virtual_service,
)

from meshchaos.errors import ProxyRejected
from meshchaos.mesh.local.world import INBOUND_PORT, OUTBOUND_PORT

pytestmark = pytest.mark.envoy
CLUSTER = "outbound|9080||ratings.shop.svc.cluster.local"


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
        mesh.apps["ratings-v1"].delay = 5.0
        # Room for a busy machine: the other replica must not meet the same timeout, again and again.
        retries = {"attempts": 4, "retryOn": "5xx", "perTryTimeout": "400ms"}
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
