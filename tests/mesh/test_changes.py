"""Edits to objects and their undoing: exact when alone, and never at the cost of somebody else's edit."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from meshchaos.mesh.changes import Create, EditObject, dump, edited, in_place, load, recorded, restored, stale
from meshchaos.mesh.edits import MISSING, Edit, EditItem, InsertNamed, SetField
from meshchaos.mesh.objects import Ref

REF = Ref("VirtualService", "shop", "ratings")
ROUTE = {"name": "stars", "route": [{"destination": {"host": "ratings"}}]}
OTHER = {"name": "other", "route": [{"destination": {"host": "other"}}]}
OURS = {"name": "chaos-1-0", "fault": {"delay": {"fixedDelay": "2s"}}, "route": ROUTE["route"]}


def virtual_service(*routes: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "kind": "VirtualService",
        "metadata": {"name": "ratings", "namespace": "shop"},
        "spec": {"hosts": ["ratings"], "http": list(routes), **spec},
    }


def change(*edits: Edit) -> EditObject:
    return EditObject(REF, edits)


def there_and_back(manifest: dict[str, Any], *edits: Edit) -> None:
    before = copy.deepcopy(manifest)
    planned = recorded(manifest, change(*edits))
    made = edited(manifest, planned)
    assert made != manifest
    back, left = restored(made, planned)
    assert (back, left) == (before, [])
    assert manifest == before, "the argument was changed in place"
    assert restored(back, planned) == (before, []), "not idempotent"


def test_a_field_goes_back_to_what_it_was() -> None:
    there_and_back(virtual_service(ROUTE), SetField(("spec", "exportTo"), None, ["."]))
    there_and_back(virtual_service(ROUTE, exportTo=["*"]), SetField(("spec", "exportTo"), None, ["."]))
    there_and_back(virtual_service(ROUTE, exportTo=None), SetField(("spec", "exportTo"), None, ["."]))
    there_and_back(virtual_service(ROUTE, exportTo=["*"]), SetField(("spec", "exportTo"), None, MISSING))


def test_parents_that_we_made_vanish_again() -> None:
    there_and_back(virtual_service(ROUTE), SetField(("metadata", "labels", "chaos"), MISSING, "true"))
    there_and_back(
        virtual_service(ROUTE), SetField(("spec", "a", "b", "c"), MISSING, 1), SetField(("spec", "a", "d"), MISSING, 2)
    )


def test_parents_that_were_there_stay_though_empty() -> None:
    manifest = virtual_service(ROUTE)
    manifest["metadata"]["labels"] = {}
    there_and_back(manifest, SetField(("metadata", "labels", "chaos"), MISSING, "true"))


def test_a_parent_that_we_made_stays_while_somebody_uses_it() -> None:
    planned = recorded(virtual_service(ROUTE), change(SetField(("metadata", "labels", "chaos"), MISSING, "true")))
    made = edited(virtual_service(ROUTE), planned)
    made["metadata"]["labels"]["team"] = "stars"
    back, left = restored(made, planned)
    assert back["metadata"]["labels"] == {"team": "stars"}
    assert left == []


def test_an_element_goes_ahead_of_the_owners_route() -> None:
    planned = recorded(virtual_service(OTHER, ROUTE), change(InsertNamed(("spec", "http"), 1, OURS)))
    assert edited(virtual_service(OTHER, ROUTE), planned)["spec"]["http"] == [OTHER, OURS, ROUTE]
    there_and_back(virtual_service(OTHER, ROUTE), InsertNamed(("spec", "http"), 1, OURS))
    there_and_back(virtual_service(OTHER), InsertNamed(("spec", "http"), 1, OURS))


def test_a_list_that_was_not_there_vanishes_and_an_empty_one_stays() -> None:
    there_and_back(virtual_service(ROUTE), InsertNamed(("spec", "tcp"), 0, OURS))
    there_and_back(virtual_service(ROUTE, tcp=[]), InsertNamed(("spec", "tcp"), 0, OURS))


def test_making_an_edit_twice_is_making_it_once() -> None:
    planned = recorded(virtual_service(ROUTE), change(InsertNamed(("spec", "http"), 0, OURS)))
    once = edited(virtual_service(ROUTE), planned)
    assert edited(once, planned) == once


def test_a_list_shifted_after_planning_still_gets_the_element_ahead_of_its_anchor() -> None:
    planned = recorded(virtual_service(ROUTE), change(InsertNamed(("spec", "http"), 0, OURS)))
    shifted = virtual_service(OTHER, ROUTE)
    assert stale(shifted, planned) == []
    assert edited(shifted, planned)["spec"]["http"] == [OTHER, OURS, ROUTE]


def test_a_list_shifted_while_we_are_in_it_keeps_its_other_elements() -> None:
    planned = recorded(virtual_service(ROUTE), change(InsertNamed(("spec", "http"), 0, OURS)))
    made = edited(virtual_service(ROUTE), planned)
    made["spec"]["http"].insert(0, OTHER)
    assert edited(made, planned) == made, "ours is still there, whatever went ahead of it"
    back, left = restored(made, planned)
    assert back["spec"]["http"] == [OTHER, ROUTE]
    assert left == []


def test_an_element_of_ours_goes_even_when_somebody_edited_it() -> None:
    planned = recorded(virtual_service(ROUTE), change(InsertNamed(("spec", "http"), 0, OURS)))
    made = edited(virtual_service(ROUTE), planned)
    made["spec"]["http"][0]["timeout"] = "9s"
    assert edited(made, planned) != made
    assert restored(made, planned) == (virtual_service(ROUTE), [])


def test_an_element_of_ours_under_another_name_is_named() -> None:
    planned = recorded(virtual_service(ROUTE), change(InsertNamed(("spec", "http"), 0, OURS)))
    made = edited(virtual_service(ROUTE), planned)
    made["spec"]["http"][0]["name"] = "renamed"
    back, left = restored(made, planned)
    assert back == made
    assert left == [
        "VirtualService ratings.shop: spec.http holds a copy of chaos-1-0 under the name 'renamed'; left as it is"
    ]


@pytest.mark.parametrize("first", [0, 1])
def test_two_runs_in_one_list_undo_each_their_own_in_any_order(first: int) -> None:
    one = recorded(virtual_service(ROUTE), change(InsertNamed(("spec", "http"), 0, OURS)))
    with_one = edited(virtual_service(ROUTE), one)
    two = recorded(with_one, change(InsertNamed(("spec", "http"), 0, {**OURS, "name": "chaos-2-0"})))
    now = edited(with_one, two)
    assert [route["name"] for route in now["spec"]["http"]] == ["chaos-2-0", "chaos-1-0", "stars"]
    for planned in ([one, two], [two, one])[first]:
        now, left = restored(now, planned)
        assert left == []
    assert now == virtual_service(ROUTE)


def test_two_changes_planned_on_one_list_go_each_ahead_of_their_own_routes() -> None:
    def copies(run: str) -> EditObject:
        edits = [InsertNamed(("spec", "http"), at, {**OURS, "name": f"chaos-{run}-{at}"}) for at in (0, 2)]
        return recorded(virtual_service(OTHER, ROUTE), change(*edits))

    now = virtual_service(OTHER, ROUTE)
    for run in "ab":
        now = edited(now, copies(run))
    names = [route["name"] for route in now["spec"]["http"]]
    assert names == ["chaos-a-0", "chaos-b-0", "other", "chaos-a-2", "chaos-b-2", "stars"]


def test_a_field_that_somebody_wrote_meanwhile_stays_and_is_named() -> None:
    planned = recorded(virtual_service(ROUTE, timeout="1s"), change(SetField(("spec", "timeout"), None, "2s")))
    made = edited(virtual_service(ROUTE, timeout="1s"), planned)
    made["spec"]["timeout"] = "3s"
    back, left = restored(made, planned)
    assert back["spec"]["timeout"] == "3s"
    assert left == ["VirtualService ratings.shop: spec.timeout was changed by somebody else meanwhile; left as it is"]


def test_a_field_that_somebody_put_back_needs_nothing() -> None:
    planned = recorded(virtual_service(ROUTE), change(SetField(("spec", "a", "b"), MISSING, "2s")))
    made = edited(virtual_service(ROUTE), planned)
    del made["spec"]["a"]["b"]
    assert restored(made, planned) == (virtual_service(ROUTE), [])
    assert restored(virtual_service(ROUTE), planned) == (virtual_service(ROUTE), [])


def test_a_field_that_we_took_out_does_not_come_back_where_its_place_is_gone() -> None:
    manifest = virtual_service(ROUTE, pool={"limit": 3})
    planned = recorded(manifest, change(SetField(("spec", "pool", "limit"), None, MISSING)))
    made = edited(manifest, planned)
    del made["spec"]["pool"]
    back, left = restored(made, planned)
    assert back == virtual_service(ROUTE)
    assert left == [
        "VirtualService ratings.shop: spec.pool.limit: "
        "what held it was removed by somebody else meanwhile; left as it is"
    ]


def test_what_changed_between_planning_and_making_is_said() -> None:
    planned = recorded(
        virtual_service(ROUTE), change(SetField(("spec", "a"), None, 1), InsertNamed(("spec", "http"), 0, OURS))
    )
    assert stale(virtual_service(ROUTE), planned) == []
    assert stale(edited(virtual_service(ROUTE), planned), planned) == []
    assert stale(virtual_service({**ROUTE, "timeout": "1s"}, a=5), planned) == [
        "VirtualService ratings.shop: spec.a was changed since this was planned",
        "VirtualService ratings.shop: an element of spec.http was changed since this was planned",
    ]


def test_elements_without_a_name_and_of_other_types_are_nobodys() -> None:
    there_and_back(virtual_service({"route": []}, odd=["text", 3, None]), InsertNamed(("spec", "odd"), 1, OURS))


def test_changes_survive_a_journal() -> None:
    planned = recorded(
        virtual_service(ROUTE),
        change(
            SetField(("metadata", "labels", "x"), None, "y"),
            InsertNamed(("spec", "http"), 0, OURS),
            InsertNamed(("spec", "http"), 9, OURS),
        ),
    )
    for each in (planned, Create(virtual_service(ROUTE))):
        assert load(json.loads(json.dumps(dump(each)))) == each


KEYS = ("a", "b", "c")


def any_value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(5 if depth else 3)
    if kind == 3:
        return {key: any_value(rng, depth - 1) for key in rng.sample(KEYS, rng.randrange(len(KEYS)))}
    if kind == 4:
        return [{"name": f"n{i}", "v": rng.randrange(3)} for i in range(rng.randrange(3))]
    return (None, "text", 7)[kind]


def any_manifest(rng: random.Random) -> dict[str, Any]:
    return {"kind": "VirtualService", "spec": {key: any_value(rng, 3) for key in rng.sample(KEYS, rng.randrange(4))}}


def lists_in(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(node, list):
        return [path]
    if not isinstance(node, dict):
        return []
    return [found for key, value in node.items() for found in lists_in(value, (*path, key))]


def any_edit(rng: random.Random, manifest: dict[str, Any], name: str) -> SetField | InsertNamed | None:
    """An edit as a fault would make one: into mappings that are there or not, never through a scalar or a list."""
    node: Any = manifest["spec"]
    path: tuple[str, ...] = ("spec",)
    for _ in range(rng.randrange(1, 4)):
        if node is not None and not isinstance(node, dict):
            return None
        key = rng.choice(KEYS)
        path = (*path, key)
        node = (node or {}).get(key) if node is None or key in node else None
    if rng.random() < 0.5:
        return SetField(path, None, rng.choice([f"set by {name}", {"deep": {}}, [], MISSING]))
    where = rng.choice(lists_in(manifest) or [path])
    return InsertNamed(where, rng.randrange(3), {"name": name, "v": "ours"})


def walkable(manifest: dict[str, Any], path: tuple[str, ...]) -> bool:
    """Whether every step on the way is a mapping or not there at all."""
    node: Any = manifest
    for key in path[:-1]:
        if key not in node:
            return True
        node = node[key]
        if not isinstance(node, dict):
            return False
    return True


def test_any_edits_alone_leave_no_trace() -> None:
    count = 0
    for seed in range(400):
        rng = random.Random(seed)
        manifest = any_manifest(rng)
        now, edits = manifest, []
        for number in range(rng.randrange(1, 5)):
            edit = any_edit(rng, now, f"chaos-{number}")
            if edit is not None and possible(now, edit):
                edits.append(edit)
                now = edited(now, change(edit))
        planned = recorded(manifest, change(*edits))
        assert stale(manifest, planned) == [], f"seed {seed}"
        made = edited(manifest, planned)
        assert made == now, f"seed {seed}"
        assert restored(made, planned) == (manifest, []), f"seed {seed}"
        assert load(json.loads(json.dumps(dump(planned)))) == planned, f"seed {seed}"
        count += made != manifest
    assert count > 200


def test_edits_of_others_meanwhile_survive() -> None:
    count = 0
    for seed in range(400):
        rng = random.Random(seed)
        manifest = any_manifest(rng)
        ours = any_edit(rng, manifest, "chaos-1")
        if ours is None or not possible(manifest, ours):
            continue
        planned = recorded(manifest, change(ours))
        made = edited(manifest, planned)
        expected = copy.deepcopy(manifest)
        for each in (made, expected):
            each["metadata"] = {"annotations": {"owner": "was here"}}
            each["spec"]["theirs"] = seed
        if isinstance(ours, InsertNamed):
            items, wanted = at(made, ours.path), at(expected, ours.path)
            if isinstance(wanted, list):
                items.insert(rng.randrange(len(items) + 1), {"name": "theirs"})
                wanted[:] = [item for item in items if item["name"] != "chaos-1"]
        assert restored(made, planned) == (expected, []), f"seed {seed}"
        count += 1
    assert count > 200


def at(node: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(node, dict) or key not in node:
            return MISSING
        node = node[key]
    return node


def possible(manifest: dict[str, Any], edit: SetField | InsertNamed) -> bool:
    if isinstance(edit, InsertNamed):
        found = at(manifest, edit.path)
        return isinstance(found, list) or (found == MISSING and walkable(manifest, edit.path))
    return walkable(manifest, edit.path)


TIMEOUT = SetField(("timeout",), MISSING, "1s")
ATTEMPTS = SetField(("retries", "attempts"), MISSING, 0)


def unnamed(host: str, **more: Any) -> dict[str, Any]:
    return {"route": [{"destination": {"host": host}}], **more}


def in_routes(item: dict[str, Any], *fields: SetField) -> EditItem:
    return EditItem(("spec", "http"), item, fields)


def test_fields_of_an_element_without_a_name_go_back_wherever_it_stands() -> None:
    there_and_back(virtual_service(unnamed("a"), unnamed("b")), in_routes(unnamed("b"), TIMEOUT, ATTEMPTS))
    there_and_back(virtual_service(ROUTE, OTHER), in_routes(OTHER, ATTEMPTS))
    there_and_back(virtual_service(unnamed("a", retries={})), in_routes(unnamed("a", retries={}), ATTEMPTS))
    planned = recorded(virtual_service(unnamed("a"), unnamed("b")), change(in_routes(unnamed("b"), TIMEOUT)))
    made = edited(virtual_service(unnamed("c"), unnamed("b"), unnamed("a")), planned)
    assert made == virtual_service(unnamed("c"), unnamed("b", timeout="1s"), unnamed("a"))
    made["spec"]["http"].reverse()
    assert restored(made, planned) == (virtual_service(unnamed("a"), unnamed("b"), unnamed("c")), [])


def test_of_equal_elements_the_one_that_was_meant_goes_back() -> None:
    owners, ours = unnamed("a", timeout="1s"), unnamed("a")
    for manifest in (virtual_service(owners, ours), virtual_service(ours, owners), virtual_service(ours, ours)):
        there_and_back(manifest, in_routes(ours, TIMEOUT))


def test_an_edit_beside_ours_in_an_element_without_a_name_stays() -> None:
    planned = recorded(virtual_service(unnamed("a"), unnamed("b")), change(in_routes(unnamed("b"), TIMEOUT)))
    made = edited(virtual_service(unnamed("a"), unnamed("b")), planned)
    made["spec"]["http"][1]["rewrite"] = {"uri": "/"}
    assert restored(made, planned) == (virtual_service(unnamed("a"), unnamed("b", rewrite={"uri": "/"})), [])


def test_our_field_that_somebody_rewrote_stays_and_is_named() -> None:
    planned = recorded(virtual_service(unnamed("b")), change(in_routes(unnamed("b"), TIMEOUT)))
    theirs = virtual_service(unnamed("b", timeout="7s"))
    back, left = restored(theirs, planned)
    assert back == theirs
    assert left == [
        "VirtualService ratings.shop: spec.http: an element without a name: timeout was changed by somebody else "
        "meanwhile; left as it is"
    ]


def test_an_element_that_nobody_can_tell_is_named_and_one_that_is_gone_is_not() -> None:
    planned = recorded(virtual_service(unnamed("b"), OTHER), change(in_routes(unnamed("b"), TIMEOUT)))
    assert restored(virtual_service(OTHER), planned) == (virtual_service(OTHER), [])
    theirs = virtual_service(unnamed("z", timeout="1s"), OTHER)
    back, left = restored(theirs, planned)
    assert back == theirs
    assert len(left) == 1


def test_a_route_of_ours_is_never_taken_for_the_owners() -> None:
    copied = {**unnamed("b"), "name": "chaos-2-0", "timeout": "1s"}
    planned = recorded(virtual_service(unnamed("b")), change(in_routes(unnamed("b"), TIMEOUT)))
    assert edited(virtual_service(copied, unnamed("b")), planned) == virtual_service(copied, unnamed("b", timeout="1s"))
    assert restored(virtual_service(copied), planned) == (virtual_service(copied), [])


def test_an_element_changed_between_planning_and_making_is_said() -> None:
    planned = recorded(virtual_service(unnamed("b")), change(in_routes(unnamed("b"), TIMEOUT)))
    assert stale(virtual_service(OTHER, unnamed("b")), planned) == []
    assert stale(virtual_service(unnamed("b", timeout="1s")), planned) == []
    assert len(stale(virtual_service(unnamed("b", timeout="2s")), planned)) == 1
    assert len(stale(virtual_service(unnamed("c")), planned)) == 1


def test_any_edits_of_elements_leave_no_trace_among_other_peoples() -> None:
    """Routes with and without names, twins among them; others add routes, move them, and write beside our fields."""
    for seed in range(400):
        rng = random.Random(seed)
        routes = [unnamed(rng.choice("abc")) for _ in range(rng.randint(1, 5))]
        for number, route in enumerate(routes):
            if rng.random() < 0.4:
                route["name"] = f"r{number}"
            if rng.random() < 0.3:
                route["timeout"] = rng.choice(("1s", "9s"))
            if rng.random() < 0.3:
                route["retries"] = rng.choice(({}, {"attempts": 3}, {"retryOn": "5xx"}))
        manifest = virtual_service(*routes)
        fields = rng.sample((TIMEOUT, ATTEMPTS, SetField(("retries", "retryOn"), MISSING, "reset")), rng.randint(1, 3))
        target = rng.choice(routes)
        planned = recorded(manifest, change(in_routes(target, *fields)))
        assert stale(manifest, planned) == [], f"seed {seed}"
        made = edited(manifest, planned)
        assert edited(made, planned) == made, f"seed {seed}"
        assert load(json.loads(json.dumps(dump(planned)))) == planned, f"seed {seed}"
        assert restored(made, planned) == (manifest, []), f"seed {seed}"
        assert restored(manifest, planned) == (manifest, []), f"seed {seed}"
        extra = unnamed("theirs")
        place = rng.randint(0, len(routes))
        made["spec"]["http"].insert(place, extra)
        made["spec"]["theirs"] = seed
        expected = virtual_service(*routes, theirs=seed)
        expected["spec"]["http"].insert(place, extra)
        assert restored(made, planned) == (expected, []), f"seed {seed}"


def test_edits_are_in_place_only_where_they_hold() -> None:
    planned = recorded(virtual_service(unnamed("b")), change(in_routes(unnamed("b"), TIMEOUT)))
    assert not in_place(virtual_service(unnamed("b")), planned)
    assert in_place(virtual_service(unnamed("b", timeout="1s")), planned)
    assert in_place(virtual_service(unnamed("b", timeout="1s", retries={"attempts": 0})), planned)
    assert not in_place(virtual_service(unnamed("b", timeout="2s")), planned)
    assert not in_place(virtual_service(OTHER), planned), "the element is gone"
    later = recorded(
        virtual_service(unnamed("b", timeout="1s")), change(in_routes(unnamed("b", timeout="1s"), ATTEMPTS))
    )
    assert not in_place(virtual_service(unnamed("b")), later)
    twins = virtual_service(unnamed("a", timeout="1s"), unnamed("a"))
    second = recorded(twins, change(in_routes(unnamed("a"), TIMEOUT)))
    assert not in_place(twins, second)
    assert in_place(edited(twins, second), second)
    inserted = change(InsertNamed(("spec", "http"), 0, OURS))
    assert in_place(virtual_service(OURS, ROUTE), inserted)
    assert not in_place(virtual_service({**OURS, "fault": {}}, ROUTE), inserted)
