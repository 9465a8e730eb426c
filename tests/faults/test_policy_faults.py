"""Faults that change a policy: where they go, whom they reach, what is refused and what is warned of."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from snapshots import NAMESPACE, REVIEWS, STARS, bookinfo, manifest, virtual_service, workload

from meshchaos.errors import CannotPlace, UserError
from meshchaos.faults.apply_objects import APPLY, ApplySpec
from meshchaos.faults.authorization import AUTHORIZATION, AuthorizationSpec, Calls
from meshchaos.faults.control_plane import CERTIFICATES, CONTROL_PLANE, CertificateSpec, ControlPlaneSpec
from meshchaos.faults.destination_policy import (
    CONNECTION_POOL,
    OUTLIER_DETECTION,
    ConnectionPoolSpec,
    OutlierDetectionSpec,
)
from meshchaos.faults.http_fault import DELAY, DelaySpec
from meshchaos.faults.kill import KILL, KillSpec
from meshchaos.faults.kind import ConfigProof, FaultContext, PartitionProof, Placement, WeightsProof
from meshchaos.faults.mtls import MTLS, MtlsSpec
from meshchaos.faults.partition import PARTITION, PartitionSpec
from meshchaos.faults.request_authentication import REQUEST_AUTHENTICATION, RequestAuthenticationSpec
from meshchaos.faults.route_combining import refuse_crossing
from meshchaos.faults.route_policy import RETRIES, TIMEOUT, RetriesSpec, TimeoutSpec
from meshchaos.faults.scale import SCALE, ScaleSpec
from meshchaos.faults.traffic_shift import TRAFFIC_SHIFT, TrafficShiftSpec
from meshchaos.mesh.changes import Create, EditObject, edited, restored, stale
from meshchaos.mesh.edits import InsertNamed
from meshchaos.mesh.objects import Manifest, Ref, ref_of
from meshchaos.mesh.proxy_marks import CERTIFICATE, UPDATES
from meshchaos.mesh.seam import Snapshot

CONTEXT = FaultContext("chaos-r1-0", 0, 7, NAMESPACE)
SECOND = replace(CONTEXT, id="chaos-r1-1", index=1)
SUBSETS = manifest(
    "DestinationRule",
    "reviews",
    {
        "host": "reviews",
        "trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 5}},
        "subsets": [
            {"name": "v1", "labels": {"version": "v1"}},
            {
                "name": "v2",
                "labels": {"version": "v2"},
                "trafficPolicy": {"outlierDetection": {"interval": "1s"}},
            },
        ],
    },
)


def made(placement: Placement, mesh: Snapshot) -> list[Manifest]:
    """The objects as the fault leaves them; each edit is seen to be undone to what was there."""
    objects = {ref_of(item): item for item in mesh.objects}
    result = []
    for change in placement.changes:
        if isinstance(change, Create):
            result.append(change.manifest)
            continue
        before = objects[change.ref]
        assert stale(before, change) == []
        after = edited(before, change)
        assert restored(after, change) == (before, [])
        result.append(after)
    return result


def refused(kind: Any, spec: Any, mesh: Snapshot | None = None, context: FaultContext = CONTEXT) -> str:
    with pytest.raises(CannotPlace) as caught:
        kind.place(spec, mesh or bookinfo(), context)
    return str(caught.value)


class TestRoutePolicies:
    def test_the_owners_route_gets_the_field(self) -> None:
        mesh = bookinfo()
        placement = TIMEOUT.place(TimeoutSpec("ratings", 2.0), mesh, CONTEXT)
        (after,) = made(placement, mesh)
        assert after["spec"]["http"] == [{**STARS, "timeout": "2s"}]
        assert isinstance(placement.proof, ConfigProof)
        assert "reviews-v3-0.bookinfo" in placement.proof.proxies
        assert placement.felt_by == ("every client of ratings.bookinfo with a sidecar",)

    def test_a_route_without_a_name_is_found(self) -> None:
        mesh = bookinfo(virtual_service("details", ["details"], [{"route": [{"destination": {"host": "details"}}]}]))
        (after,) = made(RETRIES.place(RetriesSpec("details", 3, retry_on="5xx"), mesh, CONTEXT), mesh)
        assert after["spec"]["http"][0]["retries"] == {"attempts": 3, "retryOn": "5xx"}

    def test_one_client_gets_a_copy_of_its_own(self) -> None:
        mesh = bookinfo()
        placement = RETRIES.place(RetriesSpec("ratings", 0, from_=("reviews-v3",)), mesh, CONTEXT)
        (change,) = placement.changes
        assert isinstance(change, EditObject)
        (edit,) = change.edits
        assert isinstance(edit, InsertNamed)
        assert edit.element["retries"] == {"attempts": 0}
        assert edit.element["timeout"] == "500ms"
        assert edit.element["match"][0]["sourceLabels"] == {"app": "reviews", "version": "v3"}
        assert placement.felt_by == ("reviews-v3",)

    def test_the_gateways_own_virtual_service_is_edited_too(self) -> None:
        mesh = bookinfo()
        objects = made(TIMEOUT.place(TimeoutSpec("productpage", 1.0), mesh, CONTEXT), mesh)
        assert [ref_of(item) for item in objects] == [
            Ref("VirtualService", NAMESPACE, "bookinfo"),
            Ref("VirtualService", NAMESPACE, "chaos-r1-0"),
        ]

    def test_the_oldest_virtual_service_for_the_host_is_the_one_that_is_edited(self) -> None:
        older = {"creationTimestamp": "2020-01-01T00:00:00Z"}
        route = {"route": [{"destination": {"host": "ratings"}}]}
        mesh = bookinfo(virtual_service("older", ["ratings"], [route], **older))
        objects = made(TIMEOUT.place(TimeoutSpec("ratings", 1.0), mesh, CONTEXT), mesh)
        assert [item["metadata"]["name"] for item in objects] == ["older"]

    def test_a_policy_that_is_there_already_is_refused(self) -> None:
        assert "hold timeout 0.5s already" in refused(
            TIMEOUT,
            TimeoutSpec("ratings", 0.5),
            bookinfo(virtual_service("r", ["ratings"], [{**STARS, "timeout": "0.5s"}]), without=("ratings",)),
        )

    def test_a_port_that_is_not_http_is_refused(self) -> None:
        tcp = manifest("Service", "db", {"selector": {"app": "ratings"}, "ports": [{"port": 1, "name": "tcp"}]})
        assert "port 1 of db.bookinfo is TCP" in refused(TIMEOUT, TimeoutSpec("db", 1.0), bookinfo(tcp))

    def test_a_controller_that_owns_the_route_is_named(self) -> None:
        mesh = bookinfo()
        owner = next(o for o in mesh.objects if ref_of(o).name == "ratings" and o["kind"] == "VirtualService")
        owner["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "x"}
        assert "Argo CD owns" in TIMEOUT.place(TimeoutSpec("ratings", 1.0), mesh, CONTEXT).warnings[0]

    def test_a_client_from_which_a_sidecar_object_hides_the_service(self) -> None:
        only = manifest("Sidecar", "narrow", {"egress": [{"hosts": ["istio-system/*"]}]})
        only["spec"]["workloadSelector"] = {"labels": {"app": "details"}}
        mesh = bookinfo(only)
        (warning,) = TIMEOUT.place(TimeoutSpec("ratings", 2.0), mesh, CONTEXT).warnings
        assert warning == "Sidecar narrow.bookinfo hides ratings.bookinfo from details-v1"
        text = refused(TIMEOUT, TimeoutSpec("ratings", 2.0, ("details",)), mesh)
        assert text == "Sidecar narrow.bookinfo hides ratings.bookinfo from details-v1: no route there leads to it"

    def test_two_fields_of_one_route_follow_one_another_and_the_same_is_refused(self) -> None:
        mesh = bookinfo(virtual_service("details", ["details"], [{"route": [{"destination": {"host": "details"}}]}]))
        first = TIMEOUT.place(TimeoutSpec("details", 1.0), mesh, CONTEXT)
        second = RETRIES.place(RetriesSpec("details", 0), mesh, SECOND)
        together = TIMEOUT.combine((first, second))
        (one,), (other,) = (placement.changes for placement in together)
        assert isinstance(one, EditObject)
        assert isinstance(other, EditObject)
        before = next(o for o in mesh.objects if ref_of(o) == one.ref)
        after = edited(edited(before, one), other)
        assert after["spec"]["http"][0] == {
            "route": [{"destination": {"host": "details"}}],
            "timeout": "1s",
            "retries": {"attempts": 0},
        }
        again = TIMEOUT.place(TimeoutSpec("details", 2.0), mesh, SECOND)
        with pytest.raises(CannotPlace, match="would change the same"):
            TIMEOUT.combine((first, again))

    def test_a_copy_and_a_change_of_the_copied_route_are_refused(self) -> None:
        mesh = bookinfo()
        copied = DELAY.place(DelaySpec("ratings", 0.1, at="client"), mesh, CONTEXT)
        changed = TIMEOUT.place(TimeoutSpec("ratings", 1.0), mesh, SECOND)
        for order in ((copied, changed), (changed, copied)):
            with pytest.raises(CannotPlace, match="a request would meet one of them only"):
                refuse_crossing(*order)
        refuse_crossing(DELAY.place(DelaySpec("ratings", 0.1), mesh, CONTEXT), changed)


class TestWeights:
    def test_destinations_by_subset(self) -> None:
        route = {"route": [{"destination": {"host": "reviews", "subset": "v1"}, "headers": {"x": 1}}]}
        mesh = bookinfo(SUBSETS, virtual_service("reviews", ["reviews"], [route]))
        placement = TRAFFIC_SHIFT.place(TrafficShiftSpec("reviews", {"v1": 90, "v2": 10}), mesh, CONTEXT)
        (after,) = made(placement, mesh)
        assert after["spec"]["http"][0]["route"] == [
            {"destination": {"host": "reviews", "subset": "v1"}, "headers": {"x": 1}, "weight": 90},
            {"destination": {"host": "reviews", "subset": "v2"}, "weight": 10},
        ]
        assert isinstance(placement.proof, WeightsProof)
        assert placement.proof.weights == {f"outbound|9080|v1|{REVIEWS}": 0.9, f"outbound|9080|v2|{REVIEWS}": 0.1}

    def test_a_subset_that_nobody_defines_is_refused(self) -> None:
        assert "no DestinationRule defines subset 'v9'" in refused(
            TRAFFIC_SHIFT, TrafficShiftSpec("reviews", {"v9": 100})
        )


class TestLimits:
    def test_the_rule_and_its_subsets_that_have_their_own(self) -> None:
        mesh = bookinfo(SUBSETS)
        placement = OUTLIER_DETECTION.place(
            OutlierDetectionSpec("reviews", consecutive5xx_errors=1, max_ejection_percent=100), mesh, CONTEXT
        )
        (after,) = made(placement, mesh)
        values = {"consecutive5xxErrors": 1, "maxEjectionPercent": 100}
        assert after["spec"]["trafficPolicy"]["outlierDetection"] == values
        assert "trafficPolicy" not in after["spec"]["subsets"][0]
        assert after["spec"]["subsets"][1]["trafficPolicy"]["outlierDetection"] == {"interval": "1s", **values}

    def test_one_client_gets_the_whole_rule(self) -> None:
        mesh = bookinfo(SUBSETS)
        spec = ConnectionPoolSpec("reviews", from_=("productpage",), tcp={"maxConnections": 1})
        (copied,) = made(CONNECTION_POOL.place(spec, mesh, CONTEXT), mesh)
        assert copied["spec"]["workloadSelector"] == {"matchLabels": {"app": "productpage", "version": "v1"}}
        assert copied["spec"]["subsets"] == SUBSETS["spec"]["subsets"]
        assert copied["spec"]["trafficPolicy"] == {
            "outlierDetection": {"consecutive5xxErrors": 5},
            "connectionPool": {"tcp": {"maxConnections": 1}},
        }

    @pytest.mark.parametrize(("percent", "warned"), [(None, True), (49, True), (50, False), (100, False)])
    def test_what_can_never_eject_is_warned_of(self, percent: int | None, warned: bool) -> None:
        spec = OutlierDetectionSpec("ratings", consecutive5xx_errors=1, max_ejection_percent=percent)
        placement = OUTLIER_DETECTION.place(spec, bookinfo(), CONTEXT)
        assert any("nothing can ever be ejected" in line for line in placement.warnings) == warned

    def test_beside_an_ejection_expectation_on_that_edge_it_is_refused(self) -> None:
        spec = ConnectionPoolSpec("ratings", tcp={"maxConnections": 1})
        claims = replace(CONTEXT, claims=(("ejection", "reviews -> ratings"),))
        assert "forget whom they ejected" in refused(CONNECTION_POOL, spec, context=claims)
        CONNECTION_POOL.place(spec, bookinfo(), replace(CONTEXT, claims=(("ejection", " -> details"),)))

    def test_two_on_one_rule_are_refused(self) -> None:
        mesh = bookinfo()
        first = CONNECTION_POOL.place(ConnectionPoolSpec("ratings", tcp={"maxConnections": 1}), mesh, CONTEXT)
        second = OUTLIER_DETECTION.place(OutlierDetectionSpec("ratings", interval=1.0), mesh, SECOND)
        with pytest.raises(CannotPlace, match="one DestinationRule"):
            CONNECTION_POOL.combine((first, second))

    def test_no_limit_is_not_the_least_one(self) -> None:
        with pytest.raises(ValueError, match="0 is no limit"):
            ConnectionPoolSpec("ratings", tcp={"maxConnections": 0}).check()


class TestReplicas:
    DEPLOYMENT = manifest("Deployment", "ratings-v1", {"replicas": 2})

    def test_an_owner_of_the_number_refuses_it(self) -> None:
        target = {"scaleTargetRef": {"kind": "Deployment", "name": "ratings-v1"}}
        hpa = manifest("HorizontalPodAutoscaler", "stars", target)
        spec = ScaleSpec("ratings-v1", 1)
        assert "HorizontalPodAutoscaler stars decides" in refused(SCALE, spec, bookinfo(self.DEPLOYMENT, hpa))
        keda = manifest("ScaledObject", "stars", {"scaleTargetRef": {"name": "ratings-v1"}})
        assert "ScaledObject stars decides" in refused(SCALE, spec, bookinfo(self.DEPLOYMENT, keda))
        flux = manifest("Deployment", "ratings-v1", {}, labels={"kustomize.toolkit.fluxcd.io/name": "x"})
        assert "Flux decides" in refused(SCALE, spec, bookinfo(flux))

    def test_the_number_that_is_there_is_refused(self) -> None:
        mesh = bookinfo(self.DEPLOYMENT)
        assert "has 2 replicas already" in refused(SCALE, ScaleSpec("ratings-v1", 2), mesh)
        (after,) = made(SCALE.place(ScaleSpec("ratings-v1", 0), mesh, CONTEXT), mesh)
        assert after["spec"]["replicas"] == 0


class TestSecurity:
    def test_the_owners_policy_at_that_scope_is_edited(self) -> None:
        policy = manifest("PeerAuthentication", "default", {"mtls": {"mode": "PERMISSIVE"}})
        mesh = bookinfo(policy)
        (after,) = made(MTLS.place(MtlsSpec("STRICT", namespace=NAMESPACE), mesh, CONTEXT), mesh)
        assert after["spec"] == {"mtls": {"mode": "STRICT"}}
        assert after["metadata"]["name"] == "default"

    def test_the_mode_that_is_there_is_refused(self) -> None:
        assert "PERMISSIVE already" in refused(MTLS, MtlsSpec("PERMISSIVE", workload="ratings-v1"))

    def test_clients_without_a_sidecar_are_warned_of(self) -> None:
        mesh = bookinfo(workloads=(workload("details", sidecar=False),))
        lines = MTLS.place(MtlsSpec("STRICT", mesh_wide=True), mesh, CONTEXT).warnings
        assert any("will be refused: details-v1" in line for line in lines)

    @pytest.mark.parametrize(
        ("mode", "tls", "speak"), [("STRICT", "DISABLE", "plaintext"), ("DISABLE", "ISTIO_MUTUAL", "mutual TLS")]
    )
    def test_clients_whose_rule_is_at_odds_with_it_are_warned_of(self, mode: Any, tls: str, speak: str) -> None:
        rule = manifest("DestinationRule", "odd", {"host": "ratings", "trafficPolicy": {"tls": {"mode": tls}}})
        rule["spec"]["workloadSelector"] = {"matchLabels": {"app": "reviews"}}
        lines = MTLS.place(MtlsSpec(mode, workload="ratings-v1"), bookinfo(rule), CONTEXT).warnings
        told = f"clients that speak {speak} to ratings.bookinfo (DestinationRule odd.bookinfo) will be refused: "
        assert [line for line in lines if "speak" in line] == [f"{told}reviews-v1, reviews-v2, reviews-v3"]

    def test_a_policy_for_several_workloads_is_not_bent_for_one(self) -> None:
        policy = manifest(
            "PeerAuthentication",
            "reviews",
            {"selector": {"matchLabels": {"app": "reviews"}}, "mtls": {"mode": "DISABLE"}},
        )
        spec = MtlsSpec("STRICT", workload="reviews-v1")
        assert "a second one would not act" in refused(MTLS, spec, bookinfo(policy))

    def test_a_denial_says_who_and_what(self) -> None:
        calls = Calls("ratings", from_=("reviews",), methods=("GET",), paths=("/ratings/*",))
        mesh = bookinfo()
        (policy,) = made(AUTHORIZATION.place(AuthorizationSpec(deny=calls), mesh, CONTEXT), mesh)
        assert policy["spec"] == {
            "selector": {"matchLabels": {"app": "ratings"}},
            "action": "DENY",
            "rules": [
                {
                    "from": [{"source": {"principals": ["cluster.local/ns/bookinfo/sa/bookinfo-reviews"]}}],
                    "to": [{"operation": {"methods": ["GET"], "paths": ["/ratings/*"]}}],
                }
            ],
        }

    def test_a_caller_that_shares_its_account_is_refused(self) -> None:
        spec = AuthorizationSpec(deny=Calls("ratings", from_=("reviews-v3",)))
        assert "ServiceAccount bookinfo-reviews, which reviews-v1, reviews-v2 have too" in refused(AUTHORIZATION, spec)

    def test_a_call_that_would_do_something_is_not_made(self) -> None:
        calls = Calls("ratings", methods=("POST",))
        placement = AUTHORIZATION.place(AuthorizationSpec(deny=calls), bookinfo(), CONTEXT)
        assert isinstance(placement.proof, ConfigProof)
        assert placement.proof.probe is None
        assert placement.warnings == ("no call of ours shows that it bites, only that the proxies run it",)


TOKENS = {"issuer": "https://issuer.example"}


class TestRequestAuthentication:
    def test_one_workload_alone_and_a_call_with_a_wrong_token(self) -> None:
        mesh = bookinfo()
        placement = REQUEST_AUTHENTICATION.place(RequestAuthenticationSpec("reviews-v2", (TOKENS,)), mesh, CONTEXT)
        (policy,) = made(placement, mesh)
        assert policy["spec"] == {
            "selector": {"matchLabels": {"app": "reviews", "version": "v2"}},
            "jwtRules": [TOKENS],
        }
        assert isinstance(placement.proof, ConfigProof)
        assert placement.proof.probe is not None
        assert placement.proof.probe.headers == {"authorization": "Bearer meshchaos"}
        assert "without a token pass" in placement.warnings[0]

    def test_where_tokens_are_looked_at_already_no_call_shows_it(self) -> None:
        there = manifest("RequestAuthentication", "tokens", {"jwtRules": [TOKENS]})
        placement = REQUEST_AUTHENTICATION.place(
            RequestAuthenticationSpec("ratings-v1", (TOKENS,)), bookinfo(there), CONTEXT
        )
        assert isinstance(placement.proof, ConfigProof)
        assert placement.proof.probe is None
        assert "no call of ours shows that it bites" in placement.warnings[1]

    def test_what_cannot_be_is_refused(self) -> None:
        bare = replace(bookinfo(), workloads=(workload("ratings", sidecar=False),))
        assert "ratings-v1 has no sidecar" in refused(
            REQUEST_AUTHENTICATION, RequestAuthenticationSpec("ratings-v1", (TOKENS,)), bare
        )
        twin = replace(workload("ratings"), name="twin")
        assert "twin has all those of ratings-v1" in refused(
            REQUEST_AUTHENTICATION, RequestAuthenticationSpec("ratings-v1", (TOKENS,)), bookinfo(workloads=(twin,))
        )
        assert "is several workloads" in refused(
            REQUEST_AUTHENTICATION, RequestAuthenticationSpec("reviews", (TOKENS,)), bookinfo()
        )

    @pytest.mark.parametrize(
        ("rule", "words"),
        [
            ({"isuer": "x"}, "jwtRules has no field 'isuer'; did you mean 'issuer'?"),
            ({"audiences": ["x"]}, "each of jwtRules needs issuer or jwksUri"),
        ],
    )
    def test_rules_that_istio_has_not(self, rule: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=re.escape(words)):
            RequestAuthenticationSpec("ratings-v1", (rule,)).check()


class TestPartition:
    def test_the_owners_route_is_copied_and_leads_to_a_dead_end(self) -> None:
        mesh = bookinfo()
        placement = PARTITION.place(PartitionSpec("ratings", ("reviews-v3",)), mesh, CONTEXT)
        dead, owner = made(placement, mesh)
        assert dead["spec"]["endpoints"] == [{"address": "127.0.0.1"}]
        assert dead["spec"]["ports"][0]["targetPort"] == 1
        ours, theirs = owner["spec"]["http"]
        assert theirs == STARS
        to_nobody = {"host": "chaos-r1-0.partition.invalid", "port": {"number": 9080}}
        assert ours == {
            **STARS,
            "name": "chaos-r1-0",
            "match": [{"sourceLabels": {"app": "reviews", "version": "v3"}, "sourceNamespace": NAMESPACE}],
            "route": [{"destination": to_nobody}],
        }
        assert isinstance(placement.proof, PartitionProof)
        assert placement.proof.identities == (), "the other versions have the same account"
        assert placement.felt_by == ("reviews-v3",)

    def test_a_black_hole_is_where_the_mesh_says(self) -> None:
        mesh = replace(bookinfo(), silent="127.64.16.0:15002")
        (dead, *_) = made(PARTITION.place(PartitionSpec("ratings", ("details",), "blackhole"), mesh, CONTEXT), mesh)
        assert dead["spec"]["endpoints"] == [{"address": "127.64.16.0"}]
        assert dead["spec"]["ports"][0]["targetPort"] == 15002

    def test_mirrors_to_it_are_cut_too(self) -> None:
        route = {
            "route": [{"destination": {"host": "ratings"}}],
            "mirrors": [{"destination": {"host": "ratings"}}, {"destination": {"host": "details"}}],
        }
        mesh = bookinfo(virtual_service("own", ["ratings"], [route]), without=("ratings",))
        (_, owner) = made(PARTITION.place(PartitionSpec("ratings", ("details",)), mesh, CONTEXT), mesh)
        assert owner["spec"]["http"][0]["mirrors"] == [{"destination": {"host": "details"}}]

    def test_what_cannot_be_cut_is_refused(self) -> None:
        assert "no route of gateway leads to ratings" in refused(PARTITION, PartitionSpec("ratings", ("gateway",)))
        bare = bookinfo(workloads=(workload("details", sidecar=False),))
        assert "details-v1 has no sidecar" in refused(PARTITION, PartitionSpec("ratings", ("details",)), bare)
        with pytest.raises(UserError, match="there is no workload 'detail'"):
            PARTITION.place(PartitionSpec("ratings", ("detail",)), bookinfo(), CONTEXT)
        with pytest.raises(ValueError, match="from is empty"):
            PartitionSpec("ratings", ()).check()


PAYMENTS = manifest(
    "ServiceEntry",
    "payments",
    {
        "hosts": ["payments.example.com"],
        "resolution": "STATIC",
        "ports": [
            {"number": 80, "name": "http", "protocol": "HTTP"},
            {"number": 5432, "name": "db", "protocol": "TCP"},
        ],
        "endpoints": [{"address": "127.0.0.1"}],
    },
)


class TestHostsOfServiceEntries:
    def test_a_delay_is_in_the_clients_proxies(self) -> None:
        mesh = bookinfo(PAYMENTS)
        placement = DELAY.place(DelaySpec("payments.example.com", 1.0), mesh, CONTEXT)
        assert placement.at == "client"
        assert "whose servers are not ours" in placement.reason
        (owner,) = made(placement, mesh)
        assert owner["spec"]["hosts"] == ["payments.example.com"]
        assert owner["spec"]["http"][0]["route"] == [{"destination": {"host": "payments.example.com"}}]

    def test_a_partition(self) -> None:
        mesh = bookinfo(PAYMENTS)
        placement = PARTITION.place(PartitionSpec("payments.example.com:80", ("reviews-v3",)), mesh, CONTEXT)
        dead, owner = made(placement, mesh)
        assert dead["kind"] == "ServiceEntry"
        assert owner["spec"]["http"][0]["match"][0]["sourceLabels"] == {"app": "reviews", "version": "v3"}

    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            (
                DelaySpec("payments.example.com", 1.0, at="server"),
                "a host of a ServiceEntry, whose servers are not ours",
            ),
            (DelaySpec("payments.example.com", 1.0, workload="ratings-v1"), "workload: the servers of payments.exam"),
            (DelaySpec("payments.example.com:db", 1.0), "port 5432 of payments.example.com is TCP"),
            (DelaySpec("payments.example.com:90", 1.0), "has no port '90'; it has 80 (http), 5432 (db)"),
        ],
    )
    def test_what_cannot_be(self, spec: DelaySpec, words: str) -> None:
        assert words in refused(DELAY, spec, bookinfo(PAYMENTS))


class TestControlPlane:
    MESH = replace(bookinfo(), marks=frozenset({CERTIFICATE, UPDATES}))

    def pods(self, *names: str) -> Snapshot:
        found = tuple(manifest("Pod", name, {}) for name in names)
        return replace(self.MESH, objects=(*self.MESH.objects, *found))

    def test_every_ready_replica_is_marked(self) -> None:
        mesh = self.pods("ratings-v1-0", "ratings-v1-1")
        placement = CERTIFICATES.place(CertificateSpec("ratings-v1"), mesh, CONTEXT)
        marked = made(placement, mesh)
        assert [one["metadata"]["annotations"] for one in marked] == [{CERTIFICATE: "expired"}] * 2
        assert isinstance(placement.proof, ConfigProof)
        assert placement.proof.probe is not None

    def test_a_version_among_others_is_shown_by_its_proxies_alone(self) -> None:
        placement = CERTIFICATES.place(CertificateSpec("reviews-v2"), self.pods("reviews-v2-0"), CONTEXT)
        assert isinstance(placement.proof, ConfigProof)
        assert placement.proof.probe is None, "another version would answer"
        assert "no call of ours shows that it bites" in placement.warnings[1]

    @pytest.mark.parametrize(
        ("kind", "spec"),
        [(CERTIFICATES, CertificateSpec("ratings-v1")), (CONTROL_PLANE, ControlPlaneSpec("ratings-v1"))],
    )
    def test_other_meshes_refuse_it(self, kind: Any, spec: Any) -> None:
        assert "that can be done in a local mesh only" in refused(kind, spec, bookinfo())

    def test_what_has_no_proxy_is_refused(self) -> None:
        bare = replace(self.MESH, workloads=(workload("ratings", sidecar=False),))
        assert "ratings-v1 has no proxy" in refused(CONTROL_PLANE, ControlPlaneSpec("ratings-v1"), bare)
        alone = replace(self.MESH, workloads=(workload("ratings"),))
        assert "nobody but ratings-v1 has a proxy" in refused(CONTROL_PLANE, ControlPlaneSpec("ratings-v1"), alone)

    def test_two_about_one_workload_are_refused(self) -> None:
        one = CONTROL_PLANE.place(ControlPlaneSpec("ratings-v1"), self.MESH, CONTEXT)
        with pytest.raises(CannotPlace, match="two faults are about one thing"):
            CONTROL_PLANE.combine((one, one))


class TestKill:
    def test_it_changes_nothing_and_says_whom(self) -> None:
        placement = KILL.place(KillSpec("ratings-v1", 0.5, every=10.0), bookinfo(), CONTEXT)
        assert placement.changes == ()
        assert placement.edge == "ratings-v1, 1 of 2 replicas"
        assert "every 10s" in placement.reason
        assert placement.kill is not None
        assert placement.kill.count == 0.5
        assert placement.warnings == ()

    def test_nobody_left_is_warned_of(self) -> None:
        (warning,) = KILL.place(KillSpec("ratings-v1", 2), bookinfo(), CONTEXT).warnings
        assert warning == "nobody of ratings-v1 is left meanwhile"

    def test_what_is_not_there_is_refused(self) -> None:
        assert "replicas: 3 of ratings-v1 were asked for, and 2 are ready" in refused(
            KILL, KillSpec("ratings-v1", 3), bookinfo()
        )
        bare = workload("ratings-v1", sidecar=False)
        mesh = replace(bookinfo(), workloads=(bare,))
        assert "has no proxy" in refused(KILL, KillSpec("ratings-v1", what="proxy"), mesh)
        gateway = replace(workload("ratings-v1"), gateway=True)
        mesh = replace(bookinfo(), workloads=(gateway,))
        assert "is a gateway" in refused(KILL, KillSpec("ratings-v1", what="app"), mesh)

    def test_two_on_one_workload_are_refused(self) -> None:
        one = KILL.place(KillSpec("ratings-v1"), bookinfo(), CONTEXT)
        with pytest.raises(CannotPlace, match="two faults are about the replicas of ratings-v1"):
            KILL.combine((one, replace(one, id=SECOND.id)))


def test_a_secret_is_never_applied() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}
    with pytest.raises(ValueError, match="Secret is refused"):
        ApplySpec((secret,)).check()


def test_objects_that_are_there_already_are_refused() -> None:
    mesh = bookinfo(SUBSETS)
    assert "there already" in refused(APPLY, ApplySpec(({**SUBSETS, "apiVersion": "x/v1"},)), mesh)
