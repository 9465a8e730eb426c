"""What proxies run, before and during: only an active configuration that differs, seen in time, proves anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from meshchaos.errors import EvidenceError, MeshGone
from meshchaos.evidence.config_change import ConfigProver, resources
from meshchaos.evidence.differences import differences
from meshchaos.faults.kind import ConfigProof
from meshchaos.history.records import FaultRecord

RECORD = FaultRecord("chaos-1-0", 0, "timeout", "client", "a -> b", "r", None, (), 1.0, 1.1, None, proof="config")
PROOF = ConfigProof(("a-1.shop", "a-2.shop"), "routes", r"outbound\|80\|[^|]*\|b", "a timeout")


def dump(**route: Any) -> Mapping[str, Any]:
    routes = [{"route": {"cluster": "outbound|80||b", **route}}, {"route": {"cluster": "outbound|80||c"}}]
    config = {"name": "80", "virtual_hosts": [{"name": "b:80", "routes": routes}]}
    return {"configs": [{"dynamic_route_configs": [{"route_config": config}]}]}


class FakeProxy:
    def __init__(self, name: str) -> None:
        self.name = name
        self.runs: Mapping[str, Any] | None = dump()

    def config_dump(self) -> Mapping[str, Any]:
        if self.runs is None:
            raise MeshGone("no answer")
        return self.runs


class FakeMesh:
    def __init__(self) -> None:
        self.there = [FakeProxy(name) for name in PROOF.proxies]

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Any]:
        return list(self.there)

    def entry(self, source: str, url: str, namespace: str) -> Any:
        raise AssertionError("no probe was asked for")


def test_every_proxy_must_show_it() -> None:
    mesh = FakeMesh()
    prover = ConfigProver(mesh, PROOF)
    mesh.there[0].runs = dump(timeout="1s")
    prover.collect()
    with pytest.raises(EvidenceError, match=r"^a-2.shop was not seen"):
        prover.finish(RECORD)
    mesh.there[1].runs = dump(timeout="1s")
    prover.collect()
    mesh.there[0].runs = mesh.there[1].runs = dump()
    prover.collect()
    assert prover.finish(RECORD).shown == (
        "2 proxies ran a timeout",
        "2 proxies: 80 b:80[0].route.timeout: none -> 1s",
    )


def test_what_is_seen_after_the_removal_proves_nothing() -> None:
    mesh = FakeMesh()
    prover = ConfigProver(mesh, PROOF)
    for proxy in mesh.there:
        proxy.runs = dump(timeout="1s")
    prover.collect()
    with pytest.raises(EvidenceError, match="was not seen"):
        prover.finish(replace(RECORD, removed_at=2.0))


def test_a_replica_that_was_taken_away_need_not_show_it_and_one_that_is_silent_must() -> None:
    mesh = FakeMesh()
    prover = ConfigProver(mesh, PROOF)
    mesh.there[0].runs = dump(timeout="1s")
    mesh.there[1].runs = None
    with pytest.raises(EvidenceError, match="does not tell"):
        prover.collect()
    del mesh.there[1]
    prover.collect()
    assert prover.finish(RECORD).shown[0] == "a-1.shop ran a timeout"
    mesh.there = []
    with pytest.raises(EvidenceError, match="no proxy to ask"):
        ConfigProver(mesh, PROOF)


def test_listeners_that_drain_and_other_clusters_are_not_looked_at() -> None:
    active, draining = (
        {"listener": {"name": "virtualInbound", "x": 1}},
        {"listener": {"name": "virtualInbound", "x": 2}},
    )
    listeners = [{"name": "virtualInbound", "active_state": active, "draining_state": draining}]
    clusters = [{"cluster": {"name": name}} for name in ("outbound|80||b", "outbound|80||bb")]
    found = {"configs": [{"dynamic_listeners": listeners}, {"dynamic_active_clusters": clusters}]}
    assert dict(resources(found, "listeners", re.compile("virtualInbound"))) == {"virtualInbound": active["listener"]}
    assert list(dict(resources(found, "clusters", re.compile(PROOF.resources)))) == ["outbound|80||b"]


def test_differences_are_told_by_field() -> None:
    assert list(differences({"a": [{"b": 1}], "c": 1}, {"a": [{"b": 2}], "d": 1})) == [
        "a[0].b: 1 -> 2",
        "c: 1 -> none",
        "d: none -> 1",
    ]
    assert list(differences({"a": [1]}, {"a": [1]})) == []


def test_elements_of_a_list_are_told_by_their_names() -> None:
    before = {"filters": [{"name": "fault"}, {"name": "router", "x": 1}], "chains": [{"a": 1}, {"a": 2}]}
    after = {"filters": [{"name": "rbac"}, {"name": "fault"}, {"name": "router", "x": 2}], "chains": [{"a": 1}]}
    assert list(differences(before, after)) == [
        "chains: 2 elements -> 1",
        "filters: + rbac",
        "filters[router].x: 1 -> 2",
    ]


def test_where_it_comes_from_is_told_only_where_nothing_else_differs() -> None:
    assert list(differences({"metadata": 1, "x": 1}, {"metadata": 2, "x": 2})) == ["x: 1 -> 2"]
    assert list(differences({"metadata": 1, "x": 1}, {"metadata": 2, "x": 1})) == ["metadata: 1 -> 2"]


def test_another_change_than_the_faults_proves_nothing() -> None:
    for proof, wrong, right in (
        (replace(PROOF, field=r"\.timeout\b"), {"retry_policy": {"num_retries": 1}}, {"timeout": "1s"}),
        (replace(PROOF, mark="chaos-1-0"), {"name": "theirs"}, {"name": "chaos-1-0"}),
    ):
        mesh = FakeMesh()
        prover = ConfigProver(mesh, proof)
        for proxy in mesh.there:
            proxy.runs = dump(**wrong)
        prover.collect()
        with pytest.raises(EvidenceError, match="was not seen"):
            prover.finish(RECORD)
        for proxy in mesh.there:
            proxy.runs = dump(**{**wrong, **right})
        prover.collect()
        assert prover.finish(RECORD).shown[0] == "2 proxies ran a timeout"
