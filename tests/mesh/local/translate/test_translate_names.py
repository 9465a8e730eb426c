"""Names, values and order of translated resources: Istio's own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from worlds import (
    GATEWAY,
    HOST,
    PAGE,
    RATINGS,
    SUBSETS,
    destination_rule,
    index,
    made,
    routes_of,
    service,
    to,
    virtual_host,
)

from meshchaos.mesh.local.translate import (
    bootstrap,
    clusters,
    inbound_routes,
    listeners,
    outbound_routes,
    proxy_resources,
    resources,
)
from meshchaos.mesh.local.translate.names import duration
from meshchaos.mesh.local.translate.retries import retry_policy


class TestNames:
    def test_what_a_sidecar_gets(self) -> None:
        found = proxy_resources(index(destination_rule(subsets=SUBSETS)).world, RATINGS)
        assert set(found.listeners) == {"virtualInbound", "virtualOutbound", "connect_http"}
        assert set(found.clusters) == {
            "BlackHoleCluster",
            "PassthroughCluster",
            "connect_http",
            "inbound|9080||",
            "outbound|80||istio-ingressgateway.istio-system.svc.cluster.local",
            "outbound|9080||page.shop.svc.cluster.local",
            "outbound|7000||sniffed.shop.svc.cluster.local",
            "outbound|7001||raw.shop.svc.cluster.local",
            f"outbound|9080||{HOST}",
            f"outbound|9080|v1|{HOST}",
            f"outbound|9080|v2|{HOST}",
        }
        assert set(found.endpoints) == {name for name in found.clusters if name.startswith("outbound")}
        assert set(found.routes) == {"inbound|7000||", "inbound|9080||", "http_proxy"}
        assert all(resource["name"] == name for name, resource in found.routes.items())

    def test_what_a_gateway_gets(self) -> None:
        found = proxy_resources(index().world, GATEWAY)
        assert set(found.listeners) == {"0.0.0.0_8080"}
        assert set(found.routes) == {"http.8080"}
        [host] = found.routes["http.8080"]["virtual_hosts"]
        assert (host["name"], host["domains"]) == ("shop.example:80", ["shop.example"])

    def test_outbound_cluster(self) -> None:
        found = clusters(index(destination_rule(subsets=SUBSETS)), PAGE)[f"outbound|9080|v1|{HOST}"]
        assert found["alt_stat_name"] == f"outbound|9080|v1|{HOST};"
        assert (found["connect_timeout"], found["lb_policy"]) == ("10s", "LEAST_REQUEST")
        [thresholds] = found["circuit_breakers"]["thresholds"]
        assert {value for key, value in thresholds.items() if key.startswith("max_")} == {2**32 - 1}
        mutual, plain = found["transport_socket_matches"]
        assert (mutual["name"], mutual["match"]) == ("tlsMode-istio", {"tlsMode": "istio"})
        assert (plain["name"], plain["match"]) == ("tlsMode-disabled", {})
        context = mutual["transport_socket"]["typed_config"]
        assert context["sni"] == f"outbound_.9080_.v1_.{HOST}"
        common = context["common_tls_context"]
        [matcher] = common["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"]
        assert matcher == {"san_type": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/shop/sa/ratings"}}
        assert common["tls_certificate_sds_secret_configs"][0]["name"] == "default"

    def test_a_killed_replica_leaves_endpoints_and_clusters_as_they_were(self) -> None:
        before = index()
        away = index(replicas=(PAGE, replace(RATINGS, serving=False), GATEWAY), before=before)
        assert clusters(away, PAGE) == clusters(before, PAGE)
        old, new = resources(before, PAGE), resources(away, PAGE)
        assert new.endpoints[f"outbound|9080||{HOST}"]["endpoints"] == []
        assert old.endpoints[f"outbound|9080||{HOST}"] != new.endpoints[f"outbound|9080||{HOST}"]

    def test_inbound_listener(self) -> None:
        found = listeners(index(), RATINGS)["virtualInbound"]
        assert [address["address"]["socket_address"]["port_value"] for address in found["additional_addresses"]] == [
            9080
        ]
        hole, mutual, plain = found["filter_chains"]
        assert hole["name"] == "virtualInbound-blackhole"
        assert mutual["filter_chain_match"]["transport_protocol"] == "tls"
        assert "istio-http/1.1" in mutual["filter_chain_match"]["application_protocols"]
        assert plain["filter_chain_match"] == {"destination_port": 9080, "transport_protocol": "raw_buffer"}
        manager = plain["filters"][0]["typed_config"]
        assert manager["stat_prefix"] == "inbound_0.0.0.0_9080;"
        assert manager["rds"]["route_config_name"] == "inbound|9080||"
        assert [item["name"].removeprefix("envoy.filters.http.") for item in manager["http_filters"]] == [
            *("grpc_stats", "fault", "cors", "router")
        ]
        outside = listeners(index(), PAGE)["virtualOutbound"]["filter_chains"][0]["filters"][0]["typed_config"]
        assert [item["name"].removeprefix("envoy.filters.http.") for item in outside["http_filters"]] == [
            *("grpc_stats", "istio.alpn", "fault", "cors", "router")
        ]

    def test_inbound_routes(self) -> None:
        [host] = inbound_routes(index(service("again")), RATINGS)["inbound|9080||"]["virtual_hosts"]
        assert (host["name"], host["domains"]) == ("inbound|http|9080", ["*"])
        [route] = host["routes"]
        assert route["name"] == "default"
        assert route["route"]["retry_policy"] == {"retry_on": "reset-before-request", "num_retries": 2}

    def test_service_port_and_target_port_differ(self) -> None:
        moved = made(
            "Service", "moved", "shop",
            {"selector": {"app": "ratings"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]},
        )  # fmt: skip
        pod = made("Pod", "ratings-v1", "shop", {"containers": [{"ports": [{"name": "web", "containerPort": 81}]}]})
        world = index(moved, pod, replicas=(PAGE, replace(RATINGS, applications={81: "127.0.0.1:5"}), GATEWAY))
        one = world.world.replicas[1]
        [host] = inbound_routes(world, one)["inbound|81||"]["virtual_hosts"]
        assert host["name"] == "inbound|http|80"
        name = "outbound|80||moved.shop.svc.cluster.local"
        [endpoint] = resources(world, PAGE).endpoints[name]["endpoints"][0]["lb_endpoints"]
        # Privileged ports are bound elsewhere.
        assert endpoint["endpoint"]["address"] == {"socket_address": {"address": one.address, "port_value": 10_081}}

    def test_domains(self) -> None:
        domains = virtual_host(outbound_routes(index(), PAGE), f"{HOST}:9080")["domains"]
        assert domains == [
            f"{HOST}:9080",
            f"{HOST}.:9080",
            *("ratings:9080", "ratings.shop.svc:9080", "ratings.shop:9080"),
            "127.64.15.1:9080",
        ]
        web = outbound_routes(index(service("web", "shop", 80)), PAGE)
        assert {"web", "web:80", "web.shop", "web.shop.svc.cluster.local"} <= set(
            virtual_host(web, "web.shop.svc.cluster.local:80")["domains"]
        )
        assert web["http_proxy"]["virtual_hosts"][-1]["name"] == "block_all"

    def test_bootstrap_is_the_replicas_own(self) -> None:
        found = bootstrap(RATINGS)
        assert found["node"]["id"] == "sidecar~127.64.0.3~ratings-v1.shop~shop.svc.cluster.local"
        assert bootstrap(GATEWAY)["node"]["id"].startswith("router~")
        assert found["admin"]["address"] == {"pipe": {"path": RATINGS.admin}}

    def test_grpc_ports_speak_http2(self) -> None:
        rpc = service("rpc", name="grpc-x")
        found = index(rpc)
        cluster = clusters(found, PAGE)["outbound|9080||rpc.shop.svc.cluster.local"]
        [options] = cluster["typed_extension_protocol_options"].values()
        assert options["explicit_http_config"] == {"http2_protocol_options": {}}
        route = virtual_host(outbound_routes(found, PAGE), "rpc.shop.svc.cluster.local:9080")["routes"][1]
        assert "istio-h2" in json.dumps(route["typed_per_filter_config"]["istio.alpn"])


class TestRoutes:
    @pytest.mark.parametrize(
        ("retries", "expected"),
        [
            (None, {"num_retries": 2, "retry_on": "connect-failure,refused-stream,unavailable,cancelled,"
                    "retriable-status-codes"}),
            ({"attempts": 3, "retryOn": "5xx"}, {"num_retries": 3, "retry_on": "5xx"}),
            ({"attempts": 1, "retryOn": "503,reset"},
             {"num_retries": 1, "retry_on": "reset,retriable-status-codes", "retriable_status_codes": [503]}),
            ({"attempts": 2, "perTryTimeout": "250ms", "backoff": "1s"},
             {"per_try_timeout": "0.25s", "retry_back_off": {"base_interval": "1s"}}),
        ],
    )  # fmt: skip
    def test_retry_policy(self, retries: Any, expected: dict[str, Any]) -> None:
        found = retry_policy(retries)
        assert found is not None
        assert {key: found[key] for key in expected} == expected
        assert found["host_selection_retry_max_attempts"] == 5
        assert found["retry_host_predicate"][0]["name"] == "envoy.retry_host_predicates.previous_hosts"

    def test_no_attempts_no_retries(self) -> None:
        assert retry_policy({"attempts": 0}) is None
        assert retry_policy({"retryOn": "5xx"}) is None
        assert "retry_host_predicate" not in (retry_policy(None, hashed=True) or {})

    @pytest.mark.parametrize(
        ("text", "expected"), [("250ms", "0.25s"), ("1m30s", "90s"), ("0s", "0s"), ("1.5h", "5400s")]
    )
    def test_durations(self, text: str, expected: str) -> None:
        assert duration(text) == expected

    def test_percentages_are_cut_to_a_ten_thousandth(self) -> None:
        abort = {"httpStatus": 503, "percentage": {"value": 12.34567}}
        [route] = routes_of({"route": [to()], "fault": {"abort": abort}})
        fault = route["typed_per_filter_config"]["envoy.filters.http.fault"]
        assert fault["abort"]["percentage"] == {"numerator": 123456, "denominator": "MILLION"}

    def test_a_rule_that_catches_all_ends_the_list(self) -> None:
        found = routes_of({"name": "all", "route": [to()]}, {"name": "never", "route": [to()]})
        assert [route["name"] for route in found] == ["all"]
        by_match = routes_of(
            {"name": "all", "match": [{"name": "m", "uri": {"prefix": "/"}}], "route": [to()]},
            {"name": "never", "route": [to()]},
        )
        assert [route["name"] for route in by_match] == ["all.m"]

    def test_port_source_and_gateway_conditions(self) -> None:
        found = routes_of(
            {"name": "port", "match": [{"port": 1}], "route": [to()]},
            {"name": "label", "match": [{"sourceLabels": {"app": "page"}}], "route": [to()]},
            {"name": "namespace", "match": [{"sourceNamespace": "else"}], "route": [to()]},
            {"name": "gateway", "match": [{"gateways": ["shop/shop"]}], "route": [to()]},
        )
        # What is left of it matches everything, and so ends the list.
        assert [route["name"] for route in found] == ["label"]

    def test_nothing_for_this_client_is_the_default(self) -> None:
        [route] = routes_of({"name": "other", "match": [{"sourceLabels": {"app": "x"}}], "route": [to()]})
        assert route["name"] == "default"

    def test_the_objects_path_is_in_the_metadata(self) -> None:
        [route] = routes_of({"route": [to()]})
        path = route["metadata"]["filter_metadata"]["istio"]["config"]
        assert path == "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/ratings"
