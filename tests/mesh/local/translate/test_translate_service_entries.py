"""ServiceEntry on real Envoys: who sees its hosts, where requests for them go, and whether under mutual TLS."""

from __future__ import annotations

import socket
from typing import Any, ClassVar

import pytest
from tiny_mesh import TinyMesh, call
from worlds import PAGE, SUBSETS, destination_rule, index, made, to, virtual_service

from meshchaos.mesh.local.translate import clusters, endpoints, outbound_routes, resources
from meshchaos.mesh.objects import Manifest

envoy = pytest.mark.envoy
HOST = "api.example.com"
URL = f"http://{HOST}:8080/"
NAME = f"outbound|8080||{HOST}"


def entry(*endpoints: Any, hosts: tuple[str, ...] = (HOST,), name: str = "api", **spec: Any) -> Manifest:
    namespace = spec.pop("namespace", "shop")
    known = {
        "hosts": list(hosts),
        "ports": [{"number": 8080, "name": "http", "protocol": "HTTP"}],
        "resolution": "STATIC",
        **({"endpoints": list(endpoints)} if endpoints else {}),
    }
    return made("ServiceEntry", name, namespace, {**known, **spec})


def program(mesh: TinyMesh, replica: str, **fields: Any) -> dict[str, Any]:
    """The program of a replica as an endpoint: plaintext, past its sidecar."""
    host, _, port = mesh.replica(replica).applications[9080].rpartition(":")
    return {"address": host, "ports": {"http": int(port)}, **fields}


def sidecar(mesh: TinyMesh, replica: str, **fields: Any) -> dict[str, Any]:
    """The inbound side of a replica as an endpoint."""
    return {"address": mesh.replica(replica).address, "ports": {"http": 9080}, **fields}


def served(mesh: TinyMesh, requests: int, url: str = URL) -> list[str]:
    return [mesh.get("page", url).by for _ in range(requests)]


@envoy
class TestStatic:
    def test_requests_go_to_its_endpoints_in_plaintext(self, mesh: TinyMesh) -> None:
        assert mesh.get("page", URL).status == 502, "nobody knows the host yet"
        mesh.change(entry(program(mesh, "ratings-v1"), program(mesh, "ratings-v2")))
        assert set(served(mesh, 20)) == {"ratings-v1", "ratings-v2"}
        answer, line = call(mesh, URL)
        assert (line.cluster, line.route) == (NAME, "default")
        assert "x-forwarded-client-cert" not in answer.json["headers"]
        mesh.change()
        assert mesh.get("page", URL).status == 502

    def test_weights(self, mesh: TinyMesh) -> None:
        rule = destination_rule(HOST, trafficPolicy={"loadBalancer": {"simple": "ROUND_ROBIN"}})
        both = program(mesh, "ratings-v1", weight=3), program(mesh, "ratings-v2", weight=1)
        mesh.change(entry(*both), rule)
        found = served(mesh, 20)
        assert found.count("ratings-v1") == 15

    def test_ports_of_an_endpoint_go_before_the_target_port_and_the_port(self, mesh: TinyMesh) -> None:
        number = program(mesh, "ratings-v1")["ports"]["http"]
        ports = [{"number": 8080, "name": "http", "protocol": "HTTP", "targetPort": number}]
        mesh.change(entry({"address": "127.0.0.1"}, ports=ports))
        assert served(mesh, 1) == ["ratings-v1"]
        mesh.change(entry(program(mesh, "ratings-v2"), ports=ports))
        assert served(mesh, 1) == ["ratings-v2"]

    def test_by_address_and_by_a_wildcard(self, mesh: TinyMesh) -> None:
        mesh.change(entry(program(mesh, "ratings-v1"), hosts=("*.example.com",), addresses=["198.18.7.7"]))
        assert served(mesh, 1, "http://any.example.com:8080/") == ["ratings-v1"]
        assert served(mesh, 1, "http://198.18.7.7:8080/") == ["ratings-v1"]
        assert mesh.get("page", "http://example.org:8080/").status == 502

    def test_without_endpoints_nobody_is_healthy(self, mesh: TinyMesh) -> None:
        mesh.change(entry())
        answer, line = call(mesh, URL)
        assert (answer.status, line.flags) == (503, ("UH",))

    def test_a_dead_endpoint_fails_to_connect(self, mesh: TinyMesh) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            dead = {"address": "127.0.0.1", "ports": {"http": closed.getsockname()[1]}}
            mesh.change(entry(dead))
            answer, line = call(mesh, URL)
        assert answer.status == 503
        assert line.flags == ("URX", "UF")
        assert line.attempts == 3

    def test_an_address_that_is_not_loopback(self, mesh: TinyMesh) -> None:
        """Not from the replica's own loopback address: the kernel would refuse that."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("198.18.0.1", 9))
            except OSError:
                pytest.skip("this machine has no route to 198.18.0.0/15")
            mine = probe.getsockname()[0]
        if mine.startswith("127."):
            pytest.skip("this machine has no address but loopback's")
        with socket.create_server((mine, 0)) as listening:
            there = {"address": mine, "ports": {"http": listening.getsockname()[1]}}
            mesh.change(entry(there), virtual_service(HOST, {"route": [to(HOST)], "timeout": "1s"}))
            answer, line = call(mesh, URL)
            assert (answer.status, line.flags) == (504, ("UT",)), "it connected, and nobody answered"
            arrived, client = listening.accept()
            arrived.close()
            assert client[0] == mine


@envoy
class TestMutualTls:
    ME = "URI=spiffe://cluster.local/ns/shop/sa/page"

    def seen(self, mesh: TinyMesh) -> str:
        answer = mesh.get("page", URL)
        assert answer.status == 200
        return str(answer.json["headers"].get("x-forwarded-client-cert", ""))

    def test_inside_where_the_endpoint_says_so(self, mesh: TinyMesh) -> None:
        mutual = sidecar(mesh, "ratings-v1", labels={"security.istio.io/tlsMode": "istio"})
        mesh.change(entry(mutual, location="MESH_INTERNAL"))
        assert self.seen(mesh).endswith(self.ME)
        mesh.change()  # the connection that is there would be kept
        mesh.change(entry(sidecar(mesh, "ratings-v1"), location="MESH_INTERNAL"))
        assert self.seen(mesh) == ""

    def test_a_service_account_is_the_identity_that_is_checked(self, mesh: TinyMesh) -> None:
        mesh.change(entry(sidecar(mesh, "ratings-v1", serviceAccount="ratings"), location="MESH_INTERNAL"))
        assert self.seen(mesh).endswith(self.ME)
        mesh.change(entry(sidecar(mesh, "ratings-v1", serviceAccount="other"), location="MESH_INTERNAL"))
        answer, line = call(mesh, URL)
        assert (answer.status, line.flags) == (503, ("URX", "UF"))

    def test_never_outside_unless_a_rule_says_so(self, mesh: TinyMesh) -> None:
        mutual = sidecar(mesh, "ratings-v1", labels={"security.istio.io/tlsMode": "istio"})
        mesh.change(entry(mutual))
        assert self.seen(mesh) == ""
        rule = destination_rule(HOST, trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}})
        mesh.change(entry(mutual), rule)
        assert self.seen(mesh).endswith(self.ME)


@envoy
class TestPolicies:
    def test_a_virtual_service_on_its_host(self, mesh: TinyMesh) -> None:
        aborted = {"fault": {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}, "route": [to(HOST)]}
        mesh.change(entry(program(mesh, "ratings-v1")), virtual_service(HOST, {"name": "mine", **aborted}))
        answer, line = call(mesh, URL)
        assert (answer.status, line.route, line.flags) == (418, "mine", ("FI",))

    def test_as_the_destination_of_another_host(self, mesh: TinyMesh) -> None:
        mesh.change(entry(program(mesh, "ratings-v2")), virtual_service("page", {"route": [to(HOST)]}))
        assert served(mesh, 2, "http://page:9080/") == ["ratings-v2"] * 2, "its only port, whatever was asked for"

    def test_subsets_by_the_labels_of_endpoints(self, mesh: TinyMesh) -> None:
        one = program(mesh, "ratings-v1", labels={"version": "v1"})
        other = program(mesh, "ratings-v2", labels={"version": "v2"})
        rule = destination_rule(HOST, subsets=SUBSETS)
        mesh.change(entry(one, other), rule, virtual_service(HOST, {"route": [to(HOST, "v2")]}))
        assert set(served(mesh, 6)) == {"ratings-v2"}

    def test_at_the_gateway(self, mesh: TinyMesh) -> None:
        way = virtual_service("shop.example", {"route": [to(HOST)]}, name="a-way-in", gateways=["shop"])
        mesh.base, base = [one for one in mesh.base if one["metadata"]["name"] != "way-in"], mesh.base
        try:
            mesh.change(entry(program(mesh, "ratings-v1")), way)
            assert mesh.gateway("/", "shop.example").by == "ratings-v1"
        finally:
            mesh.base = base

    def test_tcp_by_connect(self, mesh: TinyMesh) -> None:
        ports = [{"number": 5432, "name": "db", "protocol": "TCP"}]
        with socket.create_server(("127.0.0.1", 0)) as server:
            mesh.change(entry({"address": "127.0.0.1", "ports": {"db": server.getsockname()[1]}}, ports=ports))
            with socket.create_connection((mesh.replica("page").address, 15001), timeout=10) as client:
                client.sendall(f"CONNECT {HOST}:5432 HTTP/1.1\r\nhost: {HOST}:5432\r\n\r\n".encode())
                assert client.recv(100).startswith(b"HTTP/1.1 200")
                client.sendall(b"ping")
                server.settimeout(10)
                arrived, _ = server.accept()
                with arrived:
                    arrived.settimeout(10)
                    assert arrived.recv(4) == b"ping"


@envoy
class TestSelector:
    CHOSEN: ClassVar[dict[str, Any]] = {
        "workloadSelector": {"labels": {"app": "ratings", "version": "v2"}},
        "ports": [{"number": 8080, "name": "http", "protocol": "HTTP", "targetPort": 9080}],
    }

    def test_workloads_inside_by_mutual_tls_and_by_their_own_server_side(self, mesh: TinyMesh) -> None:
        mesh.change(entry(location="MESH_INTERNAL", **self.CHOSEN))
        answer, line = call(mesh, URL)
        assert answer.by == "ratings-v2"
        assert answer.json["headers"]["x-forwarded-client-cert"].endswith("sa/page")
        inbound = mesh.lines("ratings-v2", line.request_id)
        assert [one.side for one in inbound] == ["inbound"]

    def test_a_port_that_no_service_leads_to_gets_a_server_side(self, mesh: TinyMesh) -> None:
        ports = [{"number": 8081, "name": "http", "protocol": "HTTP"}]
        chosen = entry(location="MESH_INTERNAL", **{**self.CHOSEN, "ports": ports})
        (server,) = [one for one in mesh.index.world.replicas if one.name == "ratings-v2"]
        world = index(chosen, replicas=(server,))
        assert "inbound|8081||" not in resources(index(replicas=(server,)), server).routes
        assert "inbound|8081||" in resources(world, server).routes


def test_who_sees_it() -> None:
    one = {"address": "127.0.0.1"}
    assert NAME in clusters(index(entry(one)), PAGE)
    assert NAME in clusters(index(entry(one, exportTo=["shop"], namespace="far")), PAGE)
    assert NAME not in clusters(index(entry(one, exportTo=["."], namespace="far")), PAGE)
    hidden = outbound_routes(index(entry(one, exportTo=["."], namespace="far")), PAGE)
    assert not [host for host in hidden["http_proxy"]["virtual_hosts"] if HOST in host["name"]]


def test_kubernetes_goes_before_it_and_the_oldest_namespace_decides() -> None:
    ratings = "ratings.shop.svc.cluster.local"
    squat = entry({"address": "127.0.0.9"}, hosts=(ratings,), ports=[{"number": 9080, "name": "http"}])
    assert "127.0.0.9" not in str(endpoints(index(squat), PAGE))
    first, second = entry({"address": "127.0.0.1"}, namespace="a"), entry({"address": "127.0.0.2"}, namespace="b")
    found = endpoints(index(first, second), PAGE)[NAME]
    assert "127.0.0.1" in str(found)
    assert "127.0.0.2" not in str(found)


def test_a_short_name_is_a_name_of_its_own() -> None:
    found = outbound_routes(index(entry({"address": "127.0.0.1"}, hosts=("api",))), PAGE)["http_proxy"]
    (host,) = [one for one in found["virtual_hosts"] if one["name"] == "api:8080"]
    assert host["domains"] == ["api:8080", "api.:8080"]


def test_entries_of_one_host_in_one_namespace_are_put_together() -> None:
    first = entry({"address": "127.0.0.1"})
    more = entry({"address": "127.0.0.2"}, name="more", ports=[{"number": 9090, "name": "grpc", "protocol": "grpc"}])
    same = entry({"address": "127.0.0.3"}, name="same")
    found = endpoints(index(first, more, same), PAGE)
    assert [where(one) for one in hosts(found[NAME])] == [("127.0.0.1", 8080), ("127.0.0.3", 8080)]
    assert [where(one) for one in hosts(found[f"outbound|9090||{HOST}"])] == [("127.0.0.2", 9090)]


def test_localities_are_told() -> None:
    far = entry({"address": "127.0.0.1", "locality": "eu/eu-1/a", "weight": 4}, {"address": "127.0.0.2"})
    found = endpoints(index(far), PAGE)[NAME]["endpoints"]
    assert [group["locality"] for group in found] == [{}, {"region": "eu", "zone": "eu-1", "sub_zone": "a"}]
    assert [group["load_balancing_weight"] for group in found] == [1, 4]


def test_a_changed_entry_is_not_remembered_as_it_was() -> None:
    before = index(entry({"address": "127.0.0.1"}))
    resources(before, PAGE)
    changed = entry({"address": "127.0.0.2"}, ports=[{"number": 8080, "name": "tcp", "protocol": "TCP"}])
    assert resources(index(changed, before=before), PAGE) == resources(index(changed), PAGE)


def hosts(assignment: Any) -> list[Any]:
    return [one for group in assignment["endpoints"] for one in group["lb_endpoints"]]


def where(endpoint: Any) -> tuple[str, int]:
    address = endpoint["endpoint"]["address"]["socket_address"]
    return address["address"], address["port_value"]
