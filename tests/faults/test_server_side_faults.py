"""Faults at the server: the very objects that are made, whom they hit, what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from snapshots import NAMESPACE, bookinfo, manifest, service, workload

from meshchaos.errors import CannotPlace, UserError
from meshchaos.experiment.fields import HttpMatch
from meshchaos.faults.http_fault import ABORT, DELAY, AbortSpec, DelaySpec
from meshchaos.faults.kind import FaultContext, Placement
from meshchaos.mesh.changes import Create, EditObject
from meshchaos.mesh.edits import MISSING, SetField
from meshchaos.mesh.objects import Ref
from meshchaos.mesh.seam import Snapshot

CONTEXT = FaultContext("chaos-r1-1", 0, 7, NAMESPACE)
TYPE = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"


def place(spec: DelaySpec | AbortSpec, mesh: Snapshot | None = None) -> Placement:
    kind = DELAY if isinstance(spec, DelaySpec) else ABORT
    return kind.place(spec, mesh or bookinfo(), CONTEXT)


def http_fault(placement: Placement) -> dict[str, Any]:
    created = placement.changes[-1]
    assert isinstance(created, Create)
    value = created.manifest["spec"]["configPatches"][0]["patch"]["value"]
    fault: dict[str, Any] = value["typed_per_filter_config"]["envoy.filters.http.fault"]
    return fault


class TestObjects:
    def test_a_delay_is_one_envoy_filter(self) -> None:
        placement = place(DelaySpec("ratings", 2.0, percentage=50))
        assert placement.changes == (
            Create(
                {
                    "apiVersion": "networking.istio.io/v1alpha3",
                    "kind": "EnvoyFilter",
                    "metadata": {"name": "chaos-r1-1", "namespace": "bookinfo"},
                    "spec": {
                        "workloadSelector": {"labels": {"app": "ratings"}},
                        "configPatches": [
                            {
                                "applyTo": "HTTP_ROUTE",
                                "match": {
                                    "context": "SIDECAR_INBOUND",
                                    "routeConfiguration": {
                                        "vhost": {"name": "inbound|http|9080", "route": {"name": "default"}}
                                    },
                                },
                                "patch": {
                                    "operation": "MERGE",
                                    "value": {
                                        "typed_per_filter_config": {
                                            "envoy.filters.http.fault": {
                                                "@type": TYPE,
                                                "delay": {
                                                    "fixed_delay": "2s",
                                                    "percentage": {"numerator": 500000, "denominator": "MILLION"},
                                                },
                                            }
                                        }
                                    },
                                },
                            }
                        ],
                    },
                }
            ),
        )
        assert placement.at == "server"
        assert placement.edge == "every client -> ratings:9080"
        assert placement.felt_by == ("every client of ratings.bookinfo",)
        assert placement.proof.replicas == ("ratings-v1-0.bookinfo", "ratings-v1-1.bookinfo")
        assert (placement.proof.side, placement.proof.flag, placement.proof.share) == ("inbound", "DI", 0.5)
        assert placement.proof.clusters == ("inbound|9080||",)
        assert re.match(placement.proof.counter, "http.inbound_0.0.0.0_9080;.fault.delays_injected")
        assert not re.match(placement.proof.counter, "http.inbound_0.0.0.0_19080;.fault.delays_injected")

    @pytest.mark.parametrize(
        ("spec", "abort"),
        [
            (AbortSpec("ratings", http_status=503), {"http_status": 503}),
            (AbortSpec("ratings", grpc_status="UNAVAILABLE"), {"grpc_status": 14}),
            (AbortSpec("ratings", grpc_status="RESOURCE_EXHAUSTED"), {"grpc_status": 8}),
        ],
    )
    def test_an_abort_says_its_status_and_always_its_percentage(self, spec: AbortSpec, abort: dict[str, Any]) -> None:
        percentage = {"numerator": 1_000_000, "denominator": "MILLION"}
        assert http_fault(place(spec)) == {"@type": TYPE, "abort": {**abort, "percentage": percentage}}

    def test_the_target_port_is_in_the_proof_and_the_service_port_in_the_object(self) -> None:
        mesh = bookinfo(
            service("stars", ports=[{"port": 80, "name": "http", "targetPort": 8000}]), workloads=(workload("stars"),)
        )
        placement = place(DelaySpec("stars", 0.25), mesh)
        created = placement.changes[0]
        assert isinstance(created, Create)
        match = created.manifest["spec"]["configPatches"][0]["match"]
        assert match["routeConfiguration"]["vhost"]["name"] == "inbound|http|80"
        assert placement.proof.clusters == ("inbound|8000||",)
        assert http_fault(placement)["delay"]["fixed_delay"] == "0.25s"

    def test_match_goes_in_as_header_matchers_and_into_the_proof(self) -> None:
        match = HttpMatch(
            headers={"end-user": {"exact": "tester"}, "x-b": {"regex": "*"}},
            uri={"exact": "/ratings/0"},
            method={"regex": "GET|HEAD"},
        )
        placement = place(AbortSpec("ratings", http_status=500, match=match))
        assert http_fault(placement)["headers"] == [
            {"name": "end-user", "string_match": {"exact": "tester"}},
            {"name": "x-b", "present_match": True},
            {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}},
            {"name": ":path", "string_match": {"safe_regex": {"regex": r"/ratings/0(?:\?.*)?"}}},
        ]
        proof = placement.proof.match
        assert re.fullmatch(proof[":path"], "/ratings/0?x=1")
        assert not re.fullmatch(proof[":path"], "/ratings/01")
        assert re.fullmatch(proof[":method"], "HEAD")
        assert re.fullmatch(proof["end-user"], "tester")
        assert placement.felt_by[0].endswith("uri = /ratings/0, method regex GET|HEAD")


class TestFrom:
    def test_a_client_is_known_by_its_identity(self) -> None:
        placement = place(DelaySpec("reviews", 1.0, from_=("productpage",)))
        (header,) = http_fault(placement)["headers"]
        assert header["name"] == "x-forwarded-client-cert"
        pattern = header["string_match"]["safe_regex"]["regex"]
        uri = "URI=spiffe://cluster.local/ns/bookinfo/sa/bookinfo-productpage"
        assert re.fullmatch(pattern, f'By=x;Hash=1;Subject="CN=a,O=b";{uri}')
        assert re.fullmatch(pattern, f"By=x;URI=spiffe://other,By=x;{uri};DNS=a")
        assert not re.fullmatch(pattern, f"By=x;{uri},By=x;URI=spiffe://other")
        assert not re.fullmatch(pattern, f"{uri}-v2")
        assert placement.proof.peer is not None
        assert re.fullmatch(placement.proof.peer, "spiffe://cluster.local/ns/bookinfo/sa/bookinfo-productpage")
        assert placement.felt_by == ("productpage",)

    def test_all_versions_by_their_app_label(self) -> None:
        assert place(DelaySpec("ratings", 1.0, from_=("reviews",))).edge == "reviews -> ratings:9080"

    def test_a_shared_account_is_refused(self) -> None:
        with pytest.raises(CannotPlace, match="ServiceAccount bookinfo-reviews, which reviews-v1, reviews-v2 have too"):
            place(DelaySpec("ratings", 1.0, from_=("reviews-v3",)))

    @pytest.mark.parametrize(
        ("extra", "words"),
        [
            (
                manifest("DestinationRule", "r", {"host": "ratings", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}),
                "a DestinationRule sets tls mode DISABLE from productpage-v1",
            ),
            (
                manifest("PeerAuthentication", "p", {"mtls": {"mode": "DISABLE"}}),
                "PeerAuthentication disables mutual TLS for ratings-v1",
            ),
        ],
    )
    def test_a_plaintext_edge_is_refused(self, extra: dict[str, Any], words: str) -> None:
        with pytest.raises(CannotPlace, match=words):
            place(DelaySpec("ratings", 1.0, from_=("productpage",)), bookinfo(extra))

    def test_a_client_without_a_sidecar_is_refused(self) -> None:
        mesh = bookinfo(workloads=(workload("legacy", sidecar=False),))
        with pytest.raises(CannotPlace, match="legacy-v1 has no sidecar"):
            place(DelaySpec("ratings", 1.0, from_=("legacy",)), mesh)


class TestNarrowing:
    def test_a_workload_by_labels_that_are_its_alone(self) -> None:
        placement = place(DelaySpec("reviews", 1.0, workload="reviews-v2"))
        created = placement.changes[0]
        assert isinstance(created, Create)
        assert created.manifest["spec"]["workloadSelector"] == {"labels": {"app": "reviews", "version": "v2"}}
        assert placement.proof.replicas == ("reviews-v2-0.bookinfo",)
        assert placement.felt_by == ("every client of reviews.bookinfo whose request lands on reviews-v2",)

    def test_a_subset_by_its_labels(self) -> None:
        rule = manifest(
            "DestinationRule", "r", {"host": "reviews", "subsets": [{"name": "new", "labels": {"version": "v3"}}]}
        )
        placement = place(DelaySpec("reviews", 1.0, subset="new"), bookinfo(rule))
        created = placement.changes[0]
        assert isinstance(created, Create)
        assert created.manifest["spec"]["workloadSelector"] == {"labels": {"app": "reviews", "version": "v3"}}

    @pytest.mark.parametrize(("asked", "count"), [(1, 1), (2, 2), (0.5, 1), (0.51, 2), (1.0, 2)])
    def test_replicas_get_a_label_for_the_run(self, asked: int | float, count: int) -> None:
        placement = place(DelaySpec("ratings", 1.0, replicas=asked))
        *labels, created = placement.changes
        assert isinstance(created, Create)
        assert created.manifest["spec"]["workloadSelector"] == {"labels": {"chaos-r1-1": "true"}}
        chosen = [name.partition(".")[0] for name in placement.proof.replicas]
        assert len(chosen) == count
        assert labels == [
            EditObject(Ref("Pod", "bookinfo", name), (SetField(("metadata", "labels", "chaos-r1-1"), MISSING, "true"),))
            for name in chosen
        ]

    def test_the_seed_chooses_the_replicas(self) -> None:
        mesh = bookinfo(workloads=(workload("ratings", replicas=20),))
        spec = DelaySpec("ratings", 1.0, replicas=3)
        drawn = {DELAY.place(spec, mesh, FaultContext("c", 0, seed, NAMESPACE)).proof.replicas for seed in (1, 1, 2, 3)}
        assert len(drawn) == 3

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            (DelaySpec("rating", 1.0), "did you mean 'ratings'"),
            (DelaySpec("ratings", 1.0, replicas=3), "replicas: 3 of ratings.bookinfo were asked for, and 2 are ready"),
            (DelaySpec("ratings", 1.0, subset="v9"), "no DestinationRule defines subset 'v9'"),
            (DelaySpec("ratings", 1.0, workload="reviews-v1"), "not behind service ratings.bookinfo; ratings-v1 is"),
            (DelaySpec("ratings", 1.0, from_=("review",)), "did you mean 'reviews'"),
        ],
    )
    def test_mistakes_say_what_would_help(self, spec: DelaySpec | AbortSpec, message: str) -> None:
        with pytest.raises(UserError, match=message):
            place(spec)


class TestWhere:
    def test_a_tcp_port_is_refused(self) -> None:
        mesh = bookinfo(service("db", port_name="tcp-db"), workloads=(workload("db"),))
        for reference in ("db", "db:9080"):
            with pytest.raises(CannotPlace, match=r"port 9080 of db\.bookinfo is TCP"):
                place(DelaySpec(reference, 1.0), mesh)

    def test_a_sniffed_port_is_warned_of(self) -> None:
        mesh = bookinfo(service("odd", port_name="web"), workloads=(workload("odd"),))
        assert "names no protocol" in place(DelaySpec("odd", 1.0), mesh).warnings[0]

    def test_a_server_without_a_sidecar_moves_the_fault_to_the_clients(self) -> None:
        mesh = bookinfo(workloads=(workload("ratings", sidecar=False),))
        placement = place(DelaySpec("ratings", 1.0), mesh)
        assert placement.at == "client"
        assert placement.reason == "in the clients' proxies, for ratings-v1 has no sidecar"
        with pytest.raises(CannotPlace, match="at: server needs a sidecar, and ratings-v1 has no sidecar"):
            place(DelaySpec("ratings", 1.0, at="server"), mesh)

    def test_an_owners_fault_on_the_same_route_is_refused(self) -> None:
        theirs = place(DelaySpec("ratings", 1.0)).changes[0]
        assert isinstance(theirs, Create)
        with pytest.raises(CannotPlace, match=r"EnvoyFilter chaos-r1-1\.bookinfo already puts a fault"):
            place(AbortSpec("ratings", http_status=500), bookinfo(theirs.manifest))

    def test_another_service_of_the_same_container_port_is_patched_and_warned_of(self) -> None:
        other = service("stars", ports=[{"port": 80, "name": "http", "targetPort": 9080}], selector={"app": "ratings"})
        placement = place(DelaySpec("ratings", 1.0), bookinfo(other))
        created = placement.changes[0]
        assert isinstance(created, Create)
        names = [
            patch["match"]["routeConfiguration"]["vhost"]["name"] for patch in created.manifest["spec"]["configPatches"]
        ]
        assert names == ["inbound|http|80", "inbound|http|9080"]
        assert placement.warnings == ("callers of stars.bookinfo:80 feel it too: it leads to the same container port",)
