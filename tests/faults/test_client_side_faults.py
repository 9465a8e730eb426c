"""Faults in the clients' proxies: the copies of routes, whom they hit, what they bypass, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from snapshots import NAMESPACE, REVIEWS, STARS, bookinfo, manifest, virtual_service, workload

from meshchaos.errors import CannotPlace
from meshchaos.experiment.fields import HttpMatch
from meshchaos.faults.http_fault import ABORT, DELAY, AbortSpec, DelaySpec
from meshchaos.faults.kind import FaultContext, Placement
from meshchaos.mesh.changes import Create, EditObject, edited, restored, stale
from meshchaos.mesh.edits import InsertNamed
from meshchaos.mesh.objects import Manifest, Ref, ref_of
from meshchaos.mesh.seam import Snapshot

CONTEXT = FaultContext("chaos-r1-1", 0, 7, NAMESPACE)
HTTP = ("spec", "http")


def abort(to: str = "ratings", **more: Any) -> AbortSpec:
    return AbortSpec(to, http_status=503, at="client", **more)


FAULT = {"abort": {"httpStatus": 503, "percentage": {"value": 100.0}}}


def place(spec: DelaySpec | AbortSpec, mesh: Snapshot | None = None, context: FaultContext = CONTEXT) -> Placement:
    kind = DELAY if isinstance(spec, DelaySpec) else ABORT
    return kind.place(spec, mesh or bookinfo(), context)


def find(mesh: Snapshot, kind: str, name: str) -> Manifest:
    return next(o for o in mesh.objects if o["kind"] == kind and o["metadata"]["name"] == name)


def only_edit(placement: Placement) -> InsertNamed:
    (change,) = placement.changes
    assert isinstance(change, EditObject)
    (edit,) = change.edits
    assert isinstance(edit, InsertNamed)
    return edit


def matches(placement: Placement) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = only_edit(placement).element["match"]
    return found


class TestCopies:
    def test_the_governing_route_is_copied_ahead_of_itself(self) -> None:
        mesh = bookinfo()
        placement = place(DelaySpec("ratings", 0.25, percentage=10, at="client"), mesh)
        element = {
            "name": "chaos-r1-1",
            "fault": {"delay": {"fixedDelay": "0.25s", "percentage": {"value": 10}}},
            **{key: value for key, value in STARS.items() if key != "name"},
        }
        change = EditObject(Ref("VirtualService", NAMESPACE, "ratings"), (InsertNamed(HTTP, 0, element, anchor=STARS),))
        assert placement.changes == (change,)
        owner = find(mesh, "VirtualService", "ratings")
        changed = edited(owner, change)
        assert [route["name"] for route in changed["spec"]["http"]] == ["chaos-r1-1", "stars"]
        assert restored(changed, change) == (owner, [])

    def test_proof_and_blast_radius(self) -> None:
        placement = place(DelaySpec("ratings", 0.25, percentage=10, at="client"))
        proof = placement.proof
        assert (proof.side, proof.flag, proof.share) == ("outbound", "DI", 0.1)
        assert proof.routes == ("chaos-r1-1",)
        assert "reviews-v2-0.bookinfo" in proof.replicas
        assert "ingress-0.istio-system" not in proof.replicas
        assert placement.felt_by == ("every client of ratings.bookinfo with a sidecar",)
        assert placement.bypassed == (
            "timeout 500ms of VirtualService ratings.bookinfo",
            "retries 5 on 5xx of VirtualService ratings.bookinfo",
        )

    def test_a_gateways_own_virtual_service_is_concerned_too(self) -> None:
        placement = place(abort("productpage"))
        edit, create = placement.changes
        assert isinstance(edit, EditObject)
        assert isinstance(create, Create)
        assert edit.ref == Ref("VirtualService", NAMESPACE, "bookinfo")
        assert isinstance(edit.edits[0], InsertNamed)
        assert edit.edits[0].element == {
            "name": "chaos-r1-1",
            "match": [{"uri": {"exact": "/productpage"}}, {"uri": {"prefix": "/static"}}],
            "fault": FAULT,
            "route": [{"destination": {"host": "productpage", "port": {"number": 9080}}}],
        }
        assert create.manifest["spec"]["hosts"] == ["productpage.bookinfo.svc.cluster.local"]
        assert placement.proof.routes == ("chaos-r1-1", "chaos-r1-1-2")
        assert placement.felt_by == ("ingress", "every client of productpage.bookinfo with a sidecar")

    def test_from_the_gateway_alone(self) -> None:
        placement = place(abort("productpage", from_=("gateway",)))
        assert matches(placement) == [
            {"uri": {"exact": "/productpage"}, "gateways": ["bookinfo"]},
            {"uri": {"prefix": "/static"}, "gateways": ["bookinfo"]},
        ]
        assert placement.proof.replicas == ("ingress-0.istio-system",)

    def test_a_host_that_nobody_governs_gets_a_virtual_service(self) -> None:
        placement = place(abort("reviews"))
        route = [{"destination": {"host": REVIEWS}}]
        assert placement.changes == (
            Create(
                {
                    "apiVersion": "networking.istio.io/v1",
                    "kind": "VirtualService",
                    "metadata": {"name": "chaos-r1-1", "namespace": NAMESPACE},
                    "spec": {"hosts": [REVIEWS], "http": [{"name": "chaos-r1-1", "fault": FAULT, "route": route}]},
                }
            ),
        )
        assert placement.bypassed == ("Istio's default retries",)

    def test_a_narrowed_one_keeps_the_default_route_behind_it(self) -> None:
        (create,) = place(abort("reviews", match=HttpMatch({"end-user": {"exact": "tester"}}))).changes
        assert isinstance(create, Create)
        first, rest = create.manifest["spec"]["http"]
        assert first["match"] == [{"headers": {"end-user": {"exact": "tester"}}}]
        assert rest == {"name": "chaos-r1-1-rest", "route": [{"destination": {"host": REVIEWS}}]}

    def test_the_oldest_of_two_is_the_one_that_is_edited(self) -> None:
        young = virtual_service(
            "a", ["ratings"], [{**STARS, "name": "young"}], creationTimestamp="2026-05-01T00:00:00Z"
        )
        change = place(abort(), bookinfo(young)).changes[0]
        assert change.ref == Ref("VirtualService", NAMESPACE, "ratings")

    def test_several_routes_of_one_are_all_copied_in_place(self) -> None:
        http = [
            {"name": "a", "match": [{"uri": {"prefix": "/a"}}], "route": [{"destination": {"host": "ratings"}}]},
            {"name": "b", "match": [{"uri": {"prefix": "/b"}}], "route": [{"destination": {"host": "details"}}]},
            {"name": "c", "route": [{"destination": {"host": "ratings", "subset": "v1"}}]},
        ]
        mesh = bookinfo(virtual_service("mine", ["ratings"], http), without=("ratings",))
        (change,) = place(abort(), mesh).changes
        assert isinstance(change, EditObject)
        names = [route["name"] for route in edited(find(mesh, "VirtualService", "mine"), change)["spec"]["http"]]
        assert names == ["chaos-r1-1", "a", "b", "chaos-r1-1-2", "c"]

    def test_a_route_in_a_delegate_is_copied_there(self) -> None:
        root = virtual_service("root", ["ratings"], [{"delegate": {"name": "leaf"}}])
        leaf = manifest("VirtualService", "leaf", {"http": [STARS]})
        change = place(abort(), bookinfo(root, leaf, without=("ratings",))).changes[0]
        assert change.ref == Ref("VirtualService", NAMESPACE, "leaf")


class TestNarrowing:
    def test_from_is_labels_and_namespace(self) -> None:
        placement = place(abort(from_=("reviews-v3",)))
        assert matches(placement) == [
            {"sourceLabels": {"app": "reviews", "version": "v3"}, "sourceNamespace": NAMESPACE}
        ]
        assert placement.proof.replicas == ("reviews-v3-0.bookinfo",)

    def test_all_versions_are_a_match_each(self) -> None:
        assert [m["sourceLabels"]["version"] for m in matches(place(abort(from_=("reviews",))))] == ["v1", "v2", "v3"]

    def test_owner_and_fault_are_both_matched(self) -> None:
        owner = [{"name": "x", "uri": {"prefix": "/ratings"}, "gateways": ["mesh"], "headers": {"A": {"exact": "1"}}}]
        mesh = bookinfo(virtual_service("mine", ["ratings"], [{**STARS, "match": owner}]), without=("ratings",))
        spec = abort(
            from_=("productpage",),
            match=HttpMatch({"b": {"prefix": "2"}}, uri={"exact": "/ratings/0"}, method={"exact": "GET"}),
        )
        assert matches(place(spec, mesh)) == [
            {
                "uri": {"exact": "/ratings/0"},
                "headers": {"a": {"exact": "1"}, "b": {"prefix": "2"}},
                "method": {"exact": "GET"},
                "sourceLabels": {"app": "productpage", "version": "v1"},
                "sourceNamespace": NAMESPACE,
            }
        ]

    def test_a_route_that_cannot_fit_is_not_copied(self) -> None:
        http = [
            {"name": "a", "match": [{"uri": {"prefix": "/a"}}], "route": [{"destination": {"host": "ratings"}}]},
            {"name": "b", "match": [{"uri": {"prefix": "/b"}}], "route": [{"destination": {"host": "ratings"}}]},
        ]
        mesh = bookinfo(virtual_service("mine", ["ratings"], http), without=("ratings",))
        edit = only_edit(place(abort(match=HttpMatch(uri={"prefix": "/b/c"})), mesh))
        assert edit.at == 1
        assert edit.element["match"] == [{"uri": {"prefix": "/b/c"}}]

    def test_a_subset_by_the_routes_that_name_it_alone(self) -> None:
        http = [
            {
                "name": "tester",
                "match": [{"headers": {"end-user": {"exact": "t"}}}],
                "route": [{"destination": {"host": "reviews", "subset": "v2"}}],
            },
            {"name": "rest", "route": [{"destination": {"host": "reviews", "subset": "v1"}}]},
        ]
        rule = manifest(
            "DestinationRule",
            "reviews",
            {"host": "reviews", "subsets": [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]},
        )
        mesh = bookinfo(virtual_service("reviews", ["reviews"], http), rule)
        assert only_edit(place(abort("reviews", subset="v2"), mesh)).at == 0
        assert only_edit(place(abort("reviews", subset="v1"), mesh)).at == 1


class TestRefusals:
    def test_a_split_that_leads_there_only_in_part(self) -> None:
        split = [{"destination": {"host": "ratings"}, "weight": 10}, {"destination": {"host": "details"}, "weight": 90}]
        mesh = bookinfo(virtual_service("mine", ["ratings"], [{"name": "s", "route": split}]), without=("ratings",))
        with pytest.raises(CannotPlace, match=r"route s of VirtualService mine.* sends only 10 % to ratings"):
            place(abort(), mesh)

    def test_a_split_among_versions_of_it_is_whole(self) -> None:
        split = [{"destination": {"host": "ratings", "subset": v}, "weight": 50} for v in ("v1", "v2")]
        mesh = bookinfo(virtual_service("mine", ["ratings"], [{"name": "s", "route": split}]), without=("ratings",))
        assert only_edit(place(abort(), mesh)).element["route"] == split

    def test_an_owners_fault(self) -> None:
        mesh = bookinfo(virtual_service("mine", ["ratings"], [{**STARS, "fault": FAULT}]), without=("ratings",))
        with pytest.raises(CannotPlace, match=r"route stars of VirtualService mine.* has a fault of its owner's"):
            place(abort(), mesh)

    @pytest.mark.parametrize("more", [{"workload": "ratings-v1"}, {"replicas": 1}])
    def test_what_only_a_server_can_do(self, more: dict[str, Any]) -> None:
        with pytest.raises(CannotPlace, match=r"before a replica of ratings.* is chosen; write at: server"):
            place(abort(**more))

    def test_two_header_patterns_that_istio_cannot_say_at_once(self) -> None:
        owner = [{"headers": {"a": {"regex": "x.*"}}}]
        mesh = bookinfo(virtual_service("mine", ["ratings"], [{**STARS, "match": owner}]), without=("ratings",))
        with pytest.raises(CannotPlace, match=r"already matches the header a by regex x\.\*"):
            place(abort(match=HttpMatch({"a": {"prefix": "y"}})), mesh)

    def test_a_client_without_a_sidecar_and_one_that_looks_like_another(self) -> None:
        mesh = bookinfo(workloads=(workload("legacy", sidecar=False),))
        with pytest.raises(CannotPlace, match="legacy-v1 has no sidecar"):
            place(abort(from_=("legacy",)), mesh)
        assert place(abort(), mesh).warnings == ("clients with no sidecar do not feel it: legacy-v1",)

    @pytest.mark.parametrize(
        ("claim", "refused"),
        [
            (("retries", "reviews -> ratings"), True),
            (("timeout", "ratings.bookinfo"), True),
            (("circuitBreaker", "details, reviews-v3 -> ratings"), True),
            (("ejection", ""), True),
            (("retries", "reviews -> details"), False),
            (("retries", "details -> ratings"), False),
            (("success", "ratings"), False),
        ],
    )
    def test_claims_about_what_it_bypasses(self, claim: tuple[str, str], refused: bool) -> None:
        context = FaultContext("chaos-r1-1", 0, 7, NAMESPACE, (claim,))
        spec = abort(from_=("reviews",))
        if not refused:
            place(spec, context=context)
            return
        with pytest.raises(CannotPlace, match=f"the expectation {claim[0]} would test nothing"):
            place(spec, context=context)


class TestSeveral:
    def place_all(self, mesh: Snapshot, *specs: DelaySpec | AbortSpec) -> tuple[Placement, ...]:
        placed = [place(spec, mesh, FaultContext(f"c-{n}", n, 7, NAMESPACE)) for n, spec in enumerate(specs, start=1)]
        return DELAY.combine(tuple(placed))

    def applied(self, mesh: Snapshot, placements: tuple[Placement, ...]) -> dict[Ref, Manifest]:
        objects = {ref_of(item): item for item in mesh.objects}
        for placement in placements:
            for change in placement.changes:
                if isinstance(change, EditObject):
                    assert stale(objects[change.ref], change) == []
                    objects[change.ref] = edited(objects[change.ref], change)
                else:
                    objects[change.ref] = change.manifest
        return objects

    def test_delay_and_abort_at_one_server_are_one_filter(self) -> None:
        first, second = self.place_all(
            bookinfo(), DelaySpec("ratings", 1.0, percentage=50), AbortSpec("ratings", http_status=500)
        )
        assert second.changes == ()
        (create,) = first.changes
        assert isinstance(create, Create)
        value = create.manifest["spec"]["configPatches"][0]["patch"]["value"]["typed_per_filter_config"]
        fault = value["envoy.filters.http.fault"]
        assert fault["delay"]["percentage"]["numerator"] == 500_000
        assert fault["abort"]["http_status"] == 500
        assert second.reason.endswith("in one EnvoyFilter with c-1")

    @pytest.mark.parametrize(
        ("other", "why"),
        [
            (DelaySpec("ratings", 2.0), "both are a fault of kind delay"),
            (AbortSpec("ratings", http_status=500, from_=("productpage",)), "narrowed differently"),
            (AbortSpec("ratings", http_status=500, replicas=1), "on different replicas"),
        ],
    )
    def test_what_envoy_cannot_keep_on_one_route(self, other: DelaySpec | AbortSpec, why: str) -> None:
        with pytest.raises(CannotPlace, match=f"meet on one route .*{why}"):
            self.place_all(bookinfo(), DelaySpec("ratings", 1.0), other)

    def test_other_replicas_of_one_service_do_not_meet(self) -> None:
        placed = self.place_all(
            bookinfo(),
            DelaySpec("reviews", 1.0, workload="reviews-v1"),
            DelaySpec("reviews", 2.0, workload="reviews-v2"),
        )
        assert all(placement.changes for placement in placed)

    def test_delay_and_abort_of_one_client_are_one_copy(self) -> None:
        mesh = bookinfo()
        placed = self.place_all(mesh, DelaySpec("ratings", 1.0, at="client"), abort())
        assert placed[1].changes == ()
        assert placed[1].proof.routes == ("c-1",)
        http = self.applied(mesh, placed)[Ref("VirtualService", NAMESPACE, "ratings")]["spec"]["http"]
        assert [route["name"] for route in http] == ["c-1", "stars"]
        assert set(http[0]["fault"]) == {"delay", "abort"}

    def test_two_clients_keep_their_copies_in_order(self) -> None:
        mesh = bookinfo()
        placed = self.place_all(mesh, abort(from_=("reviews-v1",)), abort(from_=("reviews-v2",)))
        http = self.applied(mesh, placed)[Ref("VirtualService", NAMESPACE, "ratings")]["spec"]["http"]
        assert [route["name"] for route in http] == ["c-1", "c-2", "stars"]

    def test_positions_hold_after_earlier_copies(self) -> None:
        http = [
            {"name": "a", "match": [{"uri": {"prefix": "/a"}}], "route": [{"destination": {"host": "ratings"}}]},
            {"name": "b", "match": [{"uri": {"prefix": "/b"}}], "route": [{"destination": {"host": "ratings"}}]},
            {"name": "c", "route": [{"destination": {"host": "ratings"}}]},
        ]
        mesh = bookinfo(virtual_service("mine", ["ratings"], http), without=("ratings",))
        placed = self.place_all(
            mesh,
            abort(from_=("reviews-v1",)),
            abort(from_=("reviews-v2",), match=HttpMatch(uri={"prefix": "/b"})),
            abort(from_=("reviews-v3",)),
        )
        after = self.applied(mesh, placed)[Ref("VirtualService", NAMESPACE, "mine")]
        names = [route["name"] for route in after["spec"]["http"]]
        assert names == ["c-1", "c-3", "a", "c-1-2", "c-2", "c-3-2", "b", "c-1-3", "c-2-2", "c-3-3", "c"]
        first = placed[0].changes[0]
        assert isinstance(first, EditObject)
        assert edited(after, first) == after  # seen as there still, whatever went in beside it

    def test_two_faults_on_an_ungoverned_host_share_our_virtual_service(self) -> None:
        mesh = bookinfo()
        placed = self.place_all(mesh, abort("reviews", from_=("productpage",)), abort("reviews", from_=("details",)))
        assert placed[1].changes == ()
        created = self.applied(mesh, placed)[Ref("VirtualService", NAMESPACE, "c-1")]
        assert [route["name"] for route in created["spec"]["http"]] == ["c-1", "c-2", "c-1-rest"]

    def test_overlapping_copies_are_refused(self) -> None:
        with pytest.raises(CannotPlace, match="some requests fit both"):
            self.place_all(bookinfo(), abort(), abort(from_=("reviews-v1",)))


def test_our_exact_host_does_not_take_over_from_somebodys_wildcard() -> None:
    wildcard = virtual_service(
        "wild",
        ["*.bookinfo.svc.cluster.local"],
        [{"name": "w", "route": [{"destination": {"host": REVIEWS}}]}],
        namespace="bank",
        exportTo=["."],
    )
    teller = workload("teller")
    mesh = bookinfo(wildcard, workloads=(replace(teller, namespace="bank"),))
    edit, create = place(abort("reviews"), mesh).changes
    assert edit.ref == Ref("VirtualService", "bank", "wild")
    assert isinstance(create, Create)
    assert create.manifest["spec"]["exportTo"] == ["."]
