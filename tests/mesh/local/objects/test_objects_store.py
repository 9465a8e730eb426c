"""The store, as a client of the real API knows it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from meshchaos.errors import AlreadyExists, Conflict, NotFound, ProxyRejected, Refused
from meshchaos.mesh.apply import apply_change, undo_change
from meshchaos.mesh.changes import Create, EditObject, recorded
from meshchaos.mesh.edits import InsertNamed
from meshchaos.mesh.istio.order import oldest_first
from meshchaos.mesh.local.objects.managed import last_writer
from meshchaos.mesh.local.objects.store import Event, Store, Transaction
from meshchaos.mesh.objects import Ref, ref_of

NOW = 1_700_000_000.5


def virtual_service(name: str = "ratings", **http: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"hosts": [name], "http": [{"name": "own", "route": [{"destination": {"host": name}}], **http}]},
    }


REF = ref_of(virtual_service())


def pod(name: str) -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r-1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "ownerReferences": [owner]},
        "spec": {"containers": [{"name": "r"}]},
    }


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    return Store(clock=clock)


def test_a_new_object_gets_what_the_server_gives(store: Store) -> None:
    made = store.create(virtual_service())["metadata"]
    assert made["creationTimestamp"] == "2023-11-14T22:13:20Z"
    assert made["generation"] == 1
    assert len(made["uid"]) == 36
    assert made["resourceVersion"] == "1"
    assert store.create(virtual_service("other"))["metadata"]["resourceVersion"] == "2"
    assert store.get(REF)["metadata"] == made


def test_a_name_is_taken_once(store: Store) -> None:
    store.create(virtual_service())
    with pytest.raises(AlreadyExists, match=r"VirtualService ratings\.shop already exists"):
        store.create(virtual_service())
    store.create({**virtual_service(), "metadata": {"name": "ratings", "namespace": "other"}})


def test_what_is_refused_is_not_stored(store: Store) -> None:
    with pytest.raises(Refused, match="did you mean retries"):
        store.create(virtual_service(retrys={}))
    assert store.objects() == ()


def test_a_replacement_counts_versions_and_changes_of_the_spec(store: Store, clock: Clock) -> None:
    made = store.create(virtual_service())
    clock.now += 60
    relabelled = copy.deepcopy(made)
    relabelled["metadata"]["labels"] = {"a": "b"}
    relabelled = store.replace(relabelled)
    assert (relabelled["metadata"]["generation"], relabelled["metadata"]["resourceVersion"]) == (1, "2")
    relabelled["spec"]["http"][0]["timeout"] = "1s"
    relabelled["metadata"].update(generation=99, creationTimestamp="1999-01-01T00:00:00Z")
    changed = store.replace(relabelled)
    assert (changed["metadata"]["generation"], changed["metadata"]["resourceVersion"]) == (2, "3")
    for key in ("uid", "creationTimestamp"):
        assert changed["metadata"][key] == made["metadata"][key]


def test_a_stale_version_conflicts_and_changes_nothing(store: Store) -> None:
    first = store.create(virtual_service())
    store.replace({**first, "spec": virtual_service(timeout="1s")["spec"]})
    before = store.objects()
    with pytest.raises(Conflict, match="resourceVersion 2, not 1"):
        store.replace({**first, "spec": virtual_service(timeout="2s")["spec"]})
    assert store.objects() == before
    with pytest.raises(Refused, match="must be given for an update"):
        store.replace(virtual_service())
    with pytest.raises(NotFound):
        store.replace({**first, "metadata": {**first["metadata"], "name": "nobody"}})


def test_an_object_made_anew_is_another_one(store: Store) -> None:
    first = store.create(virtual_service())
    store.delete(REF, first["metadata"]["uid"])
    second = store.create(virtual_service())
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    with pytest.raises(Conflict, match="made anew"):
        store.delete(REF, first["metadata"]["uid"])
    with pytest.raises(Conflict, match="made anew"):
        store.replace({**second, "metadata": {**second["metadata"], "uid": first["metadata"]["uid"]}})
    store.delete(REF)
    with pytest.raises(NotFound):
        store.get(REF)
    with pytest.raises(NotFound):
        store.delete(REF)


def test_a_write_that_changes_nothing_writes_nothing(clock: Clock) -> None:
    told: list[tuple[Event, ...]] = []
    store = Store(clock=clock, changed=told.append)
    made = store.create(virtual_service())
    clock.now += 60
    assert store.replace(made, manager="someone else") == made
    assert len(told) == 1


def test_what_is_read_is_the_readers_own(store: Store) -> None:
    store.create(virtual_service())
    store.get(REF)["spec"]["hosts"].append("x")
    store.of_kind("VirtualService")[0]["spec"].clear()
    given = virtual_service("given")
    store.create(given)
    given["spec"]["hosts"].append("x")
    assert [m["spec"]["hosts"] for m in store.of_kind("VirtualService")] == [["ratings"], ["given"]]
    assert store.of_kind("VirtualService", "elsewhere") == []


def test_status_is_written_alone_and_by_nothing_else(store: Store) -> None:
    store.create(pod("p"))
    ref = Ref("Pod", "shop", "p")
    written = store.set_status(ref, {"podIP": "127.64.0.9"})
    assert (written["metadata"]["generation"], written["metadata"]["resourceVersion"]) == (1, "2")
    written["metadata"]["labels"] = {"chaos": "true"}
    assert store.replace({**written, "status": {"podIP": "forged"}})["status"] == {"podIP": "127.64.0.9"}
    assert store.set_status(ref, {"podIP": "127.64.0.9"})["metadata"]["resourceVersion"] == "3", "nothing changed"


def test_of_a_pod_only_metadata_changes(store: Store) -> None:
    made = store.create(pod("p"))
    with pytest.raises(Refused, match="only labels and annotations"):
        store.replace({**made, "spec": {"containers": [{"name": "other"}]}})


def test_a_veto_leaves_everything_as_it_was(clock: Clock) -> None:
    told: list[tuple[Event, ...]] = []
    seen: list[list[str]] = []

    def admission(transaction: Transaction) -> None:
        seen.append([str(ref_of(manifest)) for manifest in transaction.objects()])
        if any(route.get("timeout") for m in transaction.objects() for route in m["spec"]["http"]):
            raise ProxyRejected("Envoy says no")

    store = Store(clock=clock, admission=admission, changed=told.append)
    made = store.create(virtual_service())
    with pytest.raises(ProxyRejected, match="Envoy says no"):
        store.replace({**made, "spec": virtual_service(timeout="1s")["spec"]})
    assert store.get(REF) == made
    with pytest.raises(ProxyRejected):
        store.create(virtual_service("other", timeout="1s"))
    assert seen[-1] == ["VirtualService ratings.shop", "VirtualService other.shop"]
    assert [event.verb for events in told for event in events] == ["create"]
    assert store.create(virtual_service("third"))["metadata"]["resourceVersion"] == "2"


def test_a_transaction_is_all_or_nothing_and_loses_to_a_quicker_one(store: Store) -> None:
    made = store.create(virtual_service())
    slow = store.begin("slow")
    slow.create(virtual_service("one"))
    slow.delete(REF)
    assert [m["metadata"]["name"] for m in slow.objects()] == ["one"]
    assert [event.verb for event in slow.events] == ["create", "delete"]
    assert store.get(REF) == made
    store.create(virtual_service("quick"))
    with pytest.raises(Conflict, match="while this change was being prepared"):
        slow.commit()
    assert [m["metadata"]["name"] for m in store.objects()] == ["ratings", "quick"]


def test_manifests_keep_their_order_as_their_age(store: Store) -> None:
    store.load([virtual_service("zebra"), virtual_service("middle"), virtual_service("apple")])
    store.create(virtual_service("aaa"))
    aged = [m["metadata"]["name"] for m in oldest_first(store.objects(), "VirtualService")]
    assert aged == ["zebra", "middle", "apple", "aaa"]
    with pytest.raises(AlreadyExists):
        store.load([virtual_service("new"), virtual_service("zebra")])
    assert len(store.objects()) == 4


def test_who_wrote_what_can_be_told(store: Store, clock: Clock) -> None:
    made = store.create(virtual_service(), manager="kubectl")
    clock.now += 60
    made["metadata"]["labels"] = {"team": "stars"}
    made = store.replace(made, manager="flagger")
    clock.now += 60
    made["spec"]["http"][0]["timeout"] = "1s"
    made = store.replace(made, manager="meshchaos")
    entries = {entry["manager"]: entry for entry in made["metadata"]["managedFields"]}
    assert entries["kubectl"]["fieldsV1"] == {"f:spec": {"f:hosts": {}}}
    assert entries["flagger"]["fieldsV1"] == {"f:metadata": {"f:labels": {"f:team": {}}}}
    assert entries["meshchaos"]["fieldsV1"] == {"f:spec": {"f:http": {}}}
    assert entries["meshchaos"]["time"] == "2023-11-14T22:15:20Z"
    assert last_writer(made) == ("meshchaos", "2023-11-14T22:15:20Z")
    del made["metadata"]["labels"]
    made = store.replace(made, manager="meshchaos")
    assert [entry["manager"] for entry in made["metadata"]["managedFields"]] == ["kubectl", "meshchaos"]
    assert last_writer(virtual_service()) == ("", "")


class Client:
    """The part of a mesh that making and undoing changes needs."""

    def __init__(self, store: Store) -> None:
        self.get, self.create, self.replace, self.delete = store.get, store.create, store.replace, store.delete


def test_a_change_made_and_undone_leaves_spec_and_metadata_as_they_were(store: Store) -> None:
    client = Client(store)
    before = store.create(virtual_service())
    copy_of_route = {**before["spec"]["http"][0], "name": "chaos-1-0", "timeout": "1s"}
    edit = recorded(before, EditObject(REF, (InsertNamed(("spec", "http"), 0, copy_of_route),)))
    new = Create(virtual_service("chaos-1-1"))
    for change in (edit, new):
        apply_change(client, change, "1")
    assert [route["name"] for route in store.get(REF)["spec"]["http"]] == ["chaos-1-0", "own"]
    for change in (new, edit):
        assert undo_change(client, change, "1") == []
    after = store.get(REF)
    assert after["spec"] == before["spec"]
    assert set(after["metadata"]) == set(before["metadata"])
    assert [m["metadata"]["name"] for m in store.objects()] == ["ratings"]


def test_a_change_planned_on_another_object_is_not_made(store: Store) -> None:
    client = Client(store)
    planned_on = store.create(virtual_service())
    element = {**planned_on["spec"]["http"][0], "name": "chaos-1-0"}
    edit = recorded(planned_on, EditObject(REF, (InsertNamed(("spec", "http"), 0, element),)))
    meanwhile = store.replace({**planned_on, "spec": virtual_service(timeout="1s")["spec"]})
    with pytest.raises(Conflict, match=r"an element of spec\.http was changed since this was planned"):
        apply_change(client, edit, "1")
    assert store.get(REF) == meanwhile
