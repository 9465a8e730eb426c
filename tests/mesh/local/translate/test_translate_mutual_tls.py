"""PeerAuthentication on real Envoys: what a server lets in, and what its clients speak to it."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_mesh import RATINGS, TinyMesh, call, request
from worlds import HOST, PAGE, destination_rule, index, made
from worlds import RATINGS as SERVER

from meshchaos.mesh.local.translate import clusters, endpoints, refresh, resources
from meshchaos.mesh.objects import Manifest

envoy = pytest.mark.envoy
CLUSTER = f"outbound|9080||{HOST}"


def peers(mode: str, namespace: str = "shop", name: str = "default", **spec: Any) -> Manifest:
    return made("PeerAuthentication", name, namespace, {"mtls": {"mode": mode}, **spec})


def of(app: str) -> dict[str, Any]:
    return {"selector": {"matchLabels": {"app": app}}}


def plaintext(mesh: TinyMesh, port: int = 9080, server: str = "ratings-v1") -> int:
    """The status that a client without a sidecar gets; 0: it was cut off."""
    try:
        return request(mesh.replica(server).address, port, "GET", "/").status
    except OSError:
        return 0


def identity(mesh: TinyMesh, url: str = RATINGS) -> str:
    """Whom the server saw; empty: nobody, in plaintext."""
    answer = mesh.get("page", url)
    assert answer.status == 200
    return str(answer.json["headers"].get("x-forwarded-client-cert", "")).rpartition("URI=")[2]


ME = "spiffe://cluster.local/ns/shop/sa/page"


@envoy
class TestScopes:
    @pytest.mark.parametrize(
        "policies",
        [
            [peers("STRICT", "istio-system")],
            [peers("STRICT"), peers("DISABLE", "istio-system")],
            [peers("PERMISSIVE"), peers("STRICT", name="w", **of("ratings"))],
            [peers("PERMISSIVE", name="w", portLevelMtls={"9080": {"mode": "STRICT"}}, **of("ratings"))],
            [peers("STRICT"), peers("UNSET", name="w", **of("ratings"))],
        ],
        ids=["mesh", "namespace", "workload", "port", "unset"],
    )
    def test_strict(self, mesh: TinyMesh, policies: list[Manifest]) -> None:
        assert plaintext(mesh) == 200
        mesh.change(*policies)
        assert plaintext(mesh) == 0
        assert identity(mesh) == ME

    def test_one_port_open_while_the_others_are_strict(self, mesh: TinyMesh) -> None:
        mesh.change(peers("STRICT", portLevelMtls={"7001": {"mode": "PERMISSIVE"}}, **of("ratings")))
        assert [plaintext(mesh, port) for port in (9080, 7000, 7001)] == [0, 0, 200]

    def test_a_workload_of_another_label_stays_open(self, mesh: TinyMesh) -> None:
        mesh.change(peers("STRICT", **of("page")))
        assert plaintext(mesh) == 200

    def test_the_oldest_counts(self, mesh: TinyMesh) -> None:
        older, younger = peers("PERMISSIVE", name="older"), peers("STRICT", name="younger")
        mesh.change(younger, older)
        assert plaintext(mesh) == 200


@envoy
class TestClients:
    def test_a_server_with_mutual_tls_off_is_spoken_to_in_plaintext(self, mesh: TinyMesh) -> None:
        assert identity(mesh) == ME
        for policy in (peers("DISABLE"), peers("DISABLE", **of("ratings")), peers("DISABLE", "istio-system")):
            mesh.change(policy)
            assert identity(mesh) == ""
            assert plaintext(mesh) == 200
        mesh.change()
        assert identity(mesh) == ME

    def test_one_port_in_plaintext(self, mesh: TinyMesh) -> None:
        mesh.change(peers("STRICT", portLevelMtls={"7000": {"mode": "DISABLE"}}, **of("ratings")))
        assert identity(mesh) == ME
        assert identity(mesh, "http://sniffed:7000/") == ""

    def test_a_workload_that_is_strict_in_a_namespace_that_is_not_cannot_be_reached(self, mesh: TinyMesh) -> None:
        """A trap of Istio's own: clients go by the namespace where their clusters are made."""
        mesh.change(peers("DISABLE"), peers("STRICT", name="w", **of("ratings")))
        assert call(mesh)[0].status == 503
        mutual = destination_rule(trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}})
        mesh.change(peers("DISABLE"), peers("STRICT", name="w", **of("ratings")), mutual)
        assert identity(mesh) == ME

    def test_a_rule_of_the_clients_goes_before(self, mesh: TinyMesh) -> None:
        mesh.change(destination_rule(trafficPolicy={"tls": {"mode": "DISABLE"}}))
        assert identity(mesh) == ""
        mesh.change(peers("DISABLE"), destination_rule(trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}}))
        answer, line = call(mesh)
        assert answer.status == 503, "TLS to a server that has none"
        assert {"UF", "UC"} & set(line.flags)


@envoy
def test_clusters_replaced_faster_than_envoy_polls(mesh: TinyMesh) -> None:
    for _ in range(6):
        for policies in ([peers("DISABLE")], [peers("DISABLE", **of("ratings"))], []):
            assert mesh.change(*policies)
    assert identity(mesh) == ME


class TestMemory:
    """What is kept from one world to the next must notice a policy."""

    @pytest.mark.parametrize("policy", [peers("DISABLE"), peers("DISABLE", **of("ratings")), peers("STRICT")])
    def test_there_and_back(self, policy: Manifest) -> None:
        before = index()
        kept = {one.name: resources(before, one) for one in (PAGE, SERVER)}
        after = index(policy, before=before)
        for one in (PAGE, SERVER):
            changed = refresh(after, one, kept[one.name], ["PeerAuthentication"])
            assert changed == resources(index(policy), one)
            back = refresh(index(before=after), one, changed, ["PeerAuthentication"])
            assert back == kept[one.name]

    def test_strict_is_nothing_to_a_client_with_a_sidecar(self) -> None:
        before = index()
        kept = resources(before, PAGE)
        new = refresh(index(peers("STRICT"), before=before), PAGE, kept, ["PeerAuthentication"])
        assert (new.clusters, new.endpoints) == (kept.clusters, kept.endpoints)

    def test_a_namespace_without_mutual_tls_has_clusters_without_it(self) -> None:
        found = clusters(index(peers("DISABLE")), PAGE)[CLUSTER]
        assert not {"transport_socket", "transport_socket_matches"} & found.keys()
        other = clusters(index(peers("DISABLE")), PAGE)[
            "outbound|80||istio-ingressgateway.istio-system.svc.cluster.local"
        ]
        assert "transport_socket_matches" in other

    def test_an_endpoint_says_whether_it_takes_mutual_tls(self) -> None:
        def marks(*policies: Manifest) -> list[bool]:
            [locality] = endpoints(index(*policies), PAGE)[CLUSTER]["endpoints"]
            metadata = [one["metadata"]["filter_metadata"] for one in locality["lb_endpoints"]]
            return ["envoy.transport_socket_match" in one for one in metadata]

        assert marks() == [True]
        assert marks(peers("DISABLE", **of("ratings"))) == [False]
        assert marks(peers("DISABLE", portLevelMtls={"7000": {"mode": "STRICT"}}, **of("ratings"))) == [False]
