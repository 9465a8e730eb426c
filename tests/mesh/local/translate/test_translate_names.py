"""Names, values and order of translated resources: Istio's own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from worlds import (
    SUBSETS,
    aborted,
    base_objects,
    destination_rule,
    made,
    replica,
    server_fault,
    service,
    to,
    virtual_service,
)

from meshchaos.mesh.local.translate import (
    Index,
    bootstrap,
    clusters,
    inbound_routes,
    listeners,
    outbound_routes,
    parse_line,
    proxy_resources,
    refresh,
    resources,
    touches,
)
from meshchaos.mesh.local.translate.envoy_filters import merge
from meshchaos.mesh.local.translate.names import duration
from meshchaos.mesh.local.translate.retries import retry_policy
from meshchaos.mesh.local.world import LocalReplica, ProxyResources, World
from meshchaos.mesh.objects import Manifest

PAGE = replica("page", "127.64.0.2", service_ports={"ratings.shop.svc.cluster.local:9080": 16000})
RATINGS = replica("ratings-v1", "127.64.0.3", labels={"app": "ratings", "version": "v1"}, service_account="ratings")
GATEWAY = replica(
    "gateway", "127.64.0.4", namespace="istio-system", labels={"istio": "ingressgateway"}, gateway=True, applications={}
)
REPLICAS = (PAGE, RATINGS, GATEWAY)
HOST = "ratings.shop.svc.cluster.local"


def index(*extra: Manifest, replicas: tuple[LocalReplica, ...] = REPLICAS, before: Index | None = None) -> Index:
    return Index(World((*BASE, *extra), replicas, service_addresses={HOST: "127.64.15.1"}), before)


BASE = base_objects()


def virtual_host(routes: dict[str, Any], name: str) -> Any:
    return next(host for host in routes["http_proxy"]["virtual_hosts"] if host["name"] == name)


def routes_of(*rules: dict[str, Any], **spec: Any) -> Any:
    found = outbound_routes(index(virtual_service("ratings", *rules, **spec)), PAGE)
    return virtual_host(found, f"{HOST}:9080")["routes"][1:]


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


class TestEnvoyFilters:
    def faulted(self, *filters: Manifest, labels: dict[str, str] | None = None) -> Any:
        one = replace(RATINGS, labels={**RATINGS.labels, **(labels or {})})
        found = inbound_routes(index(*filters, replicas=(PAGE, one, GATEWAY)), one)
        [route] = found["inbound|9080||"]["virtual_hosts"][0]["routes"]
        return route.get("typed_per_filter_config", {}).get("envoy.filters.http.fault")

    def test_by_labels_of_the_pod_and_namespace(self) -> None:
        fault = server_fault(aborted(503), **{"chaos": "1"})
        assert self.faulted(fault) is None
        assert self.faulted(fault, labels={"chaos": "1"})["abort"]["http_status"] == 503
        elsewhere = {**fault, "metadata": {**fault["metadata"], "namespace": "other"}}
        assert self.faulted(elsewhere, labels={"chaos": "1"}) is None
        mesh_wide = {**fault, "metadata": {**fault["metadata"], "namespace": "istio-system"}}
        assert self.faulted(mesh_wide, labels={"chaos": "1"}) is not None

    def test_the_younger_replaces_the_older_under_one_filter_name(self) -> None:
        older, younger = server_fault(aborted(500), name="b"), server_fault(aborted(503), name="a")
        assert self.faulted(younger, older)["abort"]["http_status"] == 503

    @pytest.mark.parametrize(
        ("match", "hit"),
        [
            ({"name": "inbound|9080||"}, True),
            ({"name": "inbound|9081||"}, False),
            ({"portNumber": 9080}, True),
            ({"portNumber": 9081}, False),
            ({"vhost": {"name": "inbound|http|9080"}}, True),
            ({"vhost": {"name": "inbound|http|80"}}, False),
            ({"vhost": {"route": {"name": "other"}}}, False),
            ({"vhost": {"route": {"action": "ROUTE"}}}, True),
        ],
    )
    def test_matches(self, match: dict[str, Any], hit: bool) -> None:
        fault = server_fault(aborted(503))
        fault["spec"]["configPatches"][0]["match"]["routeConfiguration"] = match
        assert (self.faulted(fault) is not None) is hit

    def test_merge_is_protobufs(self) -> None:
        base = {"name": "default", "route": {"cluster": "c", "timeout": "0s", "hash_policy": [1]}}
        assert merge(base, {"route": {"hashPolicy": [2], "timeout": "1s"}}) == {
            "name": "default",
            "route": {"cluster": "c", "timeout": "1s", "hash_policy": [1, 2]},
        }
        assert merge(base, {"directResponse": {"status": 200}}) == {
            "name": "default",
            "direct_response": {"status": 200},
        }
        assert base["route"]["hash_policy"] == [1]


class TestRemembering:
    def test_equal_worlds_give_equal_bytes(self) -> None:
        def text() -> str:
            extra = (destination_rule(subsets=SUBSETS), virtual_service("ratings", {"route": [to()]}))
            stamped = [{**item, "metadata": {**item["metadata"], "creationTimestamp": "x"}} for item in extra]
            found = proxy_resources(index(*stamped).world, PAGE)
            return json.dumps([found.bootstrap, found.listeners, found.clusters, found.endpoints, found.routes])

        assert text() == text()

    def test_a_server_fault_touches_one_route_of_one_proxy(self) -> None:
        before = index()
        kept = {one.name: resources(before, one) for one in REPLICAS}
        after = index(server_fault(aborted(503)), before=before)
        new = {one.name: refresh(after, one, kept[one.name], ["EnvoyFilter"]) for one in REPLICAS}
        assert [name for name in new if new[name] is not kept[name]] == ["ratings-v1"]
        changed = new["ratings-v1"]
        assert changed.clusters is kept["ratings-v1"].clusters
        assert changed.listeners is kept["ratings-v1"].listeners
        assert changed.routes["http_proxy"] is kept["ratings-v1"].routes["http_proxy"]
        assert changed == resources(index(server_fault(aborted(503))), RATINGS)

    def test_clients_that_are_alike_share_their_resources(self) -> None:
        twin = replace(PAGE, name="twin", address="127.64.0.9")
        found = index(replicas=(*REPLICAS, twin))
        one, other = outbound_routes(found, PAGE), outbound_routes(found, twin)
        assert one["http_proxy"] is other["http_proxy"]

    def test_a_changed_rule_leaves_other_hosts_as_they_were(self) -> None:
        before = index()
        kept = resources(before, PAGE)
        pool = {"connectionPool": {"tcp": {"maxConnections": 1}}}
        after = index(destination_rule(trafficPolicy=pool), before=before)
        new = refresh(after, PAGE, kept, ["DestinationRule"])
        differing = {name for name in new.clusters if new.clusters[name] is not kept.clusters[name]}
        assert differing == {f"outbound|9080||{HOST}"}
        back = refresh(index(before=after), PAGE, new, ["DestinationRule"])
        assert back == kept

    def test_consistent_hash_reaches_the_routes_of_a_virtual_service(self) -> None:
        ruled = virtual_service("ratings", {"route": [to()]})
        before = index(ruled)
        kept = resources(before, PAGE)
        hashed = {"loadBalancer": {"consistentHash": {"httpHeaderName": "end-user"}}}
        after = index(ruled, destination_rule(trafficPolicy=hashed), before=before)
        new = refresh(after, PAGE, kept, ["DestinationRule"])
        action = virtual_host(dict(new.routes), f"{HOST}:9080")["routes"][1]["route"]
        assert action["hash_policy"] == [{"header": {"header_name": "end-user"}}]
        assert "retry_host_predicate" not in action["retry_policy"]

    def test_kinds_that_nothing_is_known_of_touch_everything(self) -> None:
        assert touches("EnvoyFilter") == {"inbound_routes"}
        assert touches("Service") == touches("SomethingNew")
        assert touches("Deployment") == frozenset()

    def test_nothing_to_do_is_the_same_object(self) -> None:
        found = index()
        kept: ProxyResources = resources(found, PAGE)
        assert refresh(index(before=found), PAGE, kept, ["VirtualService", "Service"]) is kept


class TestLogLines:
    def test_a_full_line(self) -> None:
        line = {
            "side": "outbound", "start": "1795468446.015546", "us": 17040, "ms": 17, "id": "r", "method": "GET",
            "path": "/x", "authority": "a:1", "status": 503, "flags": "URX,UF", "details": "d", "route": "n",
            "cluster": "c", "upstream": "1.2.3.4:5", "attempts": 3, "attempted": "1.2.3.4:5,1.2.3.5:5", "peer": "p",
            "headers": {"end-user": "bob", "absent": None},
        }  # fmt: skip
        found = parse_line(json.dumps(line).encode())
        assert (found.start, found.duration) == (1795468446.015546, 0.01704)
        assert found.flags == ("URX", "UF")
        assert found.hosts_attempted == ("1.2.3.4:5", "1.2.3.5:5")
        assert dict(found.headers) == {"end-user": "bob"}

    def test_a_request_that_got_no_answer(self) -> None:
        line = {"side": "inbound", "start": "1.5", "us": None, "ms": 40, "status": 0, "flags": "DC", "id": None}
        found = parse_line(json.dumps(line).encode())
        assert (found.status, found.duration, found.flags, found.request_id) == (0, 0.04, ("DC",), "")

    def test_something_else_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="Expecting"):
            parse_line(b"[2026-01-01] GET /")
