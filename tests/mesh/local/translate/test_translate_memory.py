"""EnvoyFilters, what a change costs, log lines."""

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
    REPLICAS,
    SUBSETS,
    aborted,
    destination_rule,
    index,
    server_fault,
    to,
    virtual_host,
    virtual_service,
)

from meshchaos.mesh.local.translate import (
    inbound_routes,
    outbound_routes,
    parse_line,
    proxy_resources,
    refresh,
    resources,
    touches,
)
from meshchaos.mesh.local.translate.envoy_filters import merge
from meshchaos.mesh.local.world import ProxyResources
from meshchaos.mesh.objects import Manifest


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
        base: dict[str, Any] = {"name": "default", "route": {"cluster": "c", "timeout": "0s", "hash_policy": [1]}}
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
        action = virtual_host(new.routes, f"{HOST}:9080")["routes"][1]["route"]
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
