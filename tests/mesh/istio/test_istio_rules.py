"""Istio's rules: host names, protocols, who governs what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from meshchaos.errors import UserError
from meshchaos.mesh.istio import destination_rules as rules
from meshchaos.mesh.istio import virtual_services as vs
from meshchaos.mesh.istio.hosts import fqdn, matches, most_specific, overlaps, short_names
from meshchaos.mesh.istio.ports import may_be_http, protocol, target_port
from meshchaos.mesh.istio.services import find_service, services, workloads_of

RATINGS = "ratings.shop.svc.cluster.local"


def obj(kind: str, name: str, spec: dict[str, Any], namespace: str = "shop", created: str = "") -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created or "2026-01-01T00:00:00Z"},
        "spec": spec,
    }


@dataclass
class Pod:
    namespace: str
    labels: dict[str, str] = field(default_factory=dict)


class TestHosts:
    @pytest.mark.parametrize(
        ("host", "full"),
        [
            ("ratings", RATINGS),
            ("Ratings", RATINGS),
            ("ratings.shop", "ratings.shop"),
            ("*", "*"),
            ("10.0.0.1", "10.0.0.1"),
            ("www.example.com", "www.example.com"),
        ],
    )
    def test_only_a_name_without_dots_is_completed(self, host: str, full: str) -> None:
        assert fqdn(host, "shop") == full

    def test_short_names_of_a_neighbour_and_of_a_stranger(self) -> None:
        assert short_names(RATINGS, "shop") == ("ratings", "ratings.shop.svc", "ratings.shop")
        assert short_names(RATINGS, "bank") == ("ratings.shop", "ratings.shop.svc")
        assert short_names("www.example.com", "shop") == ()

    def test_wildcards(self) -> None:
        assert matches("*.example.com", "www.example.com")
        assert not matches("*.example.com", "example.com")
        assert matches("*.com", "*.example.com")
        assert not matches("*.example.com", "*.com")
        assert overlaps("*.example.com", "*.com")
        assert most_specific("a.b.com", ["*", "*.com", "*.b.com"]) == "*.b.com"
        assert most_specific("a.b.com", ["*.b.com", "a.b.com"]) == "a.b.com"
        assert most_specific("a.b.com", ["c.com"]) is None


class TestPorts:
    @pytest.mark.parametrize(
        ("port", "expected"),
        [
            ({"port": 80, "name": "http"}, "http"),
            ({"port": 80, "name": "http-web"}, "http"),
            ({"port": 80, "name": "HTTP2-x"}, "http2"),
            ({"port": 80, "name": "grpc-web-x"}, "grpc-web"),
            ({"port": 80, "name": "web"}, "auto"),
            ({"port": 80}, "auto"),
            ({"port": 3306}, "tcp"),
            ({"port": 3306, "name": "http-odd"}, "http"),
            ({"port": 80, "name": "tcp", "appProtocol": "http"}, "http"),
            ({"port": 80, "name": "http", "appProtocol": "kubernetes.io/h2c"}, "http2"),
            ({"port": 53, "name": "http", "protocol": "UDP"}, "udp"),
        ],
    )
    def test_protocol(self, port: dict[str, Any], expected: str) -> None:
        assert protocol(port) == expected

    def test_sniffed_ports_may_be_http_and_tcp_may_not(self) -> None:
        assert may_be_http("auto")
        assert not may_be_http("tcp")
        assert not may_be_http("https")

    def test_target_port_by_number_name_and_default(self) -> None:
        spec = {"containers": [{}, {"ports": [{"name": "web", "containerPort": 8080}]}]}
        assert target_port({"port": 80}) == 80
        assert target_port({"port": 80, "targetPort": 9080}) == 9080
        assert target_port({"port": 80, "targetPort": "web"}, spec) == 8080
        assert target_port({"port": 80, "targetPort": "other"}, spec) is None


class TestGoverningVirtualService:
    def name(self, *objects: dict[str, Any], host: str = RATINGS, namespace: str = "shop") -> str | None:
        found = vs.governing(objects, host, namespace)
        return found and found["metadata"]["name"]

    def test_the_oldest_wins(self) -> None:
        young = obj("VirtualService", "a-young", {"hosts": ["ratings"]}, created="2026-02-01T00:00:00Z")
        old = obj("VirtualService", "z-old", {"hosts": ["ratings"]})
        assert self.name(young, old) == "z-old"

    def test_exported_to_its_own_namespace_alone_goes_first(self) -> None:
        public = obj("VirtualService", "public", {"hosts": ["ratings"]}, created="2025-01-01T00:00:00Z")
        private = obj("VirtualService", "private", {"hosts": ["ratings"], "exportTo": ["."]})
        assert self.name(public, private) == "private"
        assert self.name(public, private, namespace="bank") == "public"

    def test_exact_beats_wildcard_beats_wider_wildcard(self) -> None:
        wide = obj("VirtualService", "wide", {"hosts": ["*.local"]}, created="2024-01-01T00:00:00Z")
        narrow = obj("VirtualService", "narrow", {"hosts": ["*.shop.svc.cluster.local"]})
        exact = obj("VirtualService", "exact", {"hosts": [RATINGS]}, created="2026-02-01T00:00:00Z")
        assert self.name(wide, narrow) == "narrow"
        assert self.name(wide, narrow, exact) == "exact"

    def test_one_for_a_gateway_alone_does_not_govern_sidecars(self) -> None:
        bound = obj("VirtualService", "edge", {"hosts": ["ratings"], "gateways": ["way-in"]})
        both = obj("VirtualService", "both", {"hosts": ["ratings"], "gateways": ["way-in", "mesh"]})
        assert self.name(bound) is None
        assert self.name(bound, both) == "both"

    def test_gateways_merge_and_let_in_by_host_and_namespace(self) -> None:
        one = obj("VirtualService", "one", {"hosts": ["a.example"], "gateways": ["way-in"]})
        two = obj("VirtualService", "two", {"hosts": ["b.example"], "gateways": ["shop/way-in"]}, "bank")
        found = vs.for_gateway([one, two], "shop/way-in", "istio-system", ["*.example"])
        assert [(item["metadata"]["name"], hosts) for item, hosts in found] == [
            ("one", ["a.example"]),
            ("two", ["b.example"]),
        ]
        own = vs.for_gateway([one, two], "shop/way-in", "istio-system", ["./*.example"])
        assert [item["metadata"]["name"] for item, _ in own] == ["one"]
        every = obj("VirtualService", "every", {"hosts": ["*"], "gateways": ["way-in"]})
        assert vs.for_gateway([every], "shop/way-in", "istio-system", ["*/c.example"]) == [(every, ["c.example"])]

    def test_routes_and_weights(self) -> None:
        lone = {"route": [{"destination": {"host": "ratings"}, "weight": 0}]}
        split = {"route": [{"destination": {"host": "ratings"}}, {"destination": {"host": "other"}, "weight": 100}]}
        assert vs.leads_to(lone, "shop", RATINGS)
        assert not vs.leads_to(split, "shop", RATINGS)

    def test_source_labels_are_void_beside_gateways(self) -> None:
        match = {"gateways": ["mesh"], "sourceLabels": {"app": "x"}}
        assert vs.source_matches(match, {"app": "y"}, "shop", ["mesh"], "shop")
        assert not vs.source_matches({"sourceLabels": {"app": "x"}}, {"app": "y"}, "shop", ["mesh"], "shop")
        assert not vs.source_matches({"sourceNamespace": "bank"}, {}, "shop", ["mesh"], "shop")


class TestDestinationRules:
    def policy(self, **more: Any) -> dict[str, Any]:
        return {"host": "ratings", **more}

    def test_subsets_append_and_the_first_policy_wins(self) -> None:
        first = obj("DestinationRule", "a", self.policy(subsets=[{"name": "v1"}]))
        second = obj(
            "DestinationRule",
            "b",
            self.policy(
                trafficPolicy={"tls": {"mode": "DISABLE"}}, subsets=[{"name": "v1", "labels": {}}, {"name": "v2"}]
            ),
        )
        found = rules.effective([second, first], RATINGS, "shop", {}, service_namespace="shop")
        assert found is not None
        assert found["spec"] == self.policy(
            subsets=[{"name": "v1"}, {"name": "v2"}], trafficPolicy={"tls": {"mode": "DISABLE"}}
        )

    def test_the_clients_namespace_goes_before_the_services(self) -> None:
        theirs = obj("DestinationRule", "service", self.policy())
        ours = obj("DestinationRule", "client", {"host": RATINGS}, "bank")
        hidden = obj("DestinationRule", "hidden", self.policy(exportTo=["."]))

        def names(*objects: dict[str, Any]) -> list[str]:
            found = rules.rules_for(objects, RATINGS, "bank", {}, service_namespace="shop")
            return [rule["metadata"]["name"] for rule in found]

        assert names(theirs, ours) == ["client"]
        assert names(theirs) == ["service"]
        assert names(hidden) == []

    def test_a_selector_replaces_the_rest_for_its_workload_only(self) -> None:
        catch_all = obj("DestinationRule", "all", self.policy(), created="2025-01-01T00:00:00Z")
        chosen = obj("DestinationRule", "one", self.policy(workloadSelector={"matchLabels": {"app": "reviews"}}))
        for labels, name in (({"app": "reviews"}, "one"), ({"app": "page"}, "all")):
            found = rules.rules_for([catch_all, chosen], RATINGS, "shop", labels, service_namespace="shop")
            assert [rule["metadata"]["name"] for rule in found] == [name]

    def test_port_level_replaces_instead_of_inheriting(self) -> None:
        rule = obj(
            "DestinationRule",
            "a",
            self.policy(
                trafficPolicy={
                    "connectionPool": {"tcp": {"maxConnections": 1}},
                    "outlierDetection": {"interval": "1s"},
                    "portLevelSettings": [{"port": {"number": 9080}, "connectionPool": {"tcp": {"maxConnections": 2}}}],
                },
                subsets=[{"name": "v1", "trafficPolicy": {"outlierDetection": {"interval": "2s"}}}],
            ),
        )
        assert rules.traffic_policy(rule, 9080) == {"connectionPool": {"tcp": {"maxConnections": 2}}}
        assert rules.traffic_policy(rule, 80, "v1") == {
            "connectionPool": {"tcp": {"maxConnections": 1}},
            "outlierDetection": {"interval": "2s"},
        }
        # The subset overrides what the rule says for the port.
        assert rules.traffic_policy(rule, 9080, "v1") == {
            "connectionPool": {"tcp": {"maxConnections": 2}},
            "outlierDetection": {"interval": "2s"},
        }


class TestReferences:
    shop = (
        obj("Service", "ratings", {"selector": {"app": "ratings"}, "ports": [{"port": 9080, "name": "http"}]}),
        obj("Service", "page", {"ports": [{"port": 80, "name": "http"}, {"port": 9000, "name": "tcp-x"}]}),
        obj("Service", "bank", {"ports": [{"port": 80}]}, "money"),
        obj("Service", "alias", {"type": "ExternalName"}),
    )

    @pytest.mark.parametrize(
        "reference", ["ratings", "ratings.shop", "ratings.shop.svc", RATINGS, "ratings:9080", "ratings.shop:http"]
    )
    def test_all_ways_to_name_one(self, reference: str) -> None:
        found = find_service(self.shop, reference, "shop")
        assert found.service.host == RATINGS
        assert found.port is not None
        assert found.port.number == 9080

    def test_several_ports_need_one_named(self) -> None:
        assert find_service(self.shop, "page", "shop").port is None

    @pytest.mark.parametrize(
        ("reference", "message"),
        [
            (
                "rating",
                "there is no service 'rating' in namespace shop; did you mean 'ratings'?; "
                "namespace shop has page, ratings",
            ),
            ("bank", "there is no service 'bank' in namespace shop; did you mean 'bank.money'?"),
            ("x.nowhere", "there is no service 'x.nowhere' in namespace nowhere; the mesh has bank.money, page.shop,"),
            ("page:81", "service page.shop has no port '81'; it has 80 (http), 9000 (tcp-x)"),
        ],
    )
    def test_unknown_ones_say_what_there_is(self, reference: str, message: str) -> None:
        with pytest.raises(UserError) as caught:
            find_service(self.shop, reference, "shop")
        assert str(caught.value).startswith(message)

    def test_who_stands_behind_a_service(self) -> None:
        ratings, page, *_ = (next(s for s in services(self.shop) if s.name == name) for name in ("ratings", "page"))
        pods = [Pod("shop", {"app": "ratings", "version": "v1"}), Pod("shop"), Pod("money", {"app": "ratings"})]
        assert workloads_of(ratings, pods) == pods[:1]
        assert workloads_of(page, pods) == []
