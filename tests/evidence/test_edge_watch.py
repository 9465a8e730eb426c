"""Edges watched on a real mesh, and what becomes of evidence that is not there."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from meshchaos.errors import EvidenceError, UserError
from meshchaos.evidence.edge_file import FILE, read_edges
from meshchaos.evidence.edge_watch import EdgeWatch
from meshchaos.history.asks import EdgeAsk
from meshchaos.history.edges import EdgeRecord, between
from meshchaos.mesh.local.client import LocalMesh
from meshchaos.run.edges import edge_of
from tests.mesh.local.small_mesh import NAMESPACE, small, until

ASK = EdgeAsk("api", ("web",), stats=(r"upstream_rq_total",))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    with LocalMesh.start(small(tmp_path_factory.mktemp("mesh") / "logs")) as started:
        yield started


def call(mesh: LocalMesh, path: str) -> int:
    entry = mesh.entry("web", "http://api/", NAMESPACE)
    connection = http.client.HTTPConnection(entry.address, timeout=10)
    try:
        connection.request("GET", f"http://{entry.host}{path}", headers={"Host": entry.host})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def watch(mesh: LocalMesh, folder: Path, do: Callable[[EdgeWatch], None]) -> Sequence[EdgeRecord]:
    told: list[Sequence[EdgeRecord]] = []
    records = [edge_of(ASK, mesh.snapshot(), NAMESPACE)]
    until(lambda: all(proxy.replica.ready for proxy in mesh.proxies()), "all proxies answer")
    watching = EdgeWatch(mesh, records, folder, lambda some: told.append(list(some)))
    try:
        watching.start()
        do(watching)
        watching.finish()
    finally:
        watching.close()
    assert len(told) == 2
    return told[-1]


@pytest.mark.envoy
def test_each_request_is_seen_at_both_ends(mesh: LocalMesh, tmp_path: Path) -> None:
    call(mesh, "/before")

    def traffic(watching: EdgeWatch) -> None:
        assert [call(mesh, f"/{number}") for number in range(5)] == [200] * 5
        watching.collect()

    (record,) = watch(mesh, tmp_path, traffic)
    assert record.problem is None
    edge = read_edges(tmp_path, [record])[ASK]
    assert [one.line.path for one in edge.sent] == [f"/{number}" for number in range(5)]
    assert {one.proxy for one in edge.sent} == {peer.name for peer in record.clients}
    assert {one.line.request_id for one in edge.sent} == {one.line.request_id for one in edge.received}
    assert {one.line.peer for one in edge.received} == set(record.identities) != set()
    assert {one.line.upstream_host.partition(":")[0] for one in edge.sent} == {one.address for one in record.servers}
    assert max(point.value for point in edge.stats) >= 6
    middle = edge.sent[2].line.start
    assert len(between(edge.sent, middle, middle + 100)) == 3


@pytest.mark.envoy
def test_a_replica_that_comes_later_is_watched_too(mesh: LocalMesh, tmp_path: Path) -> None:
    (first,) = (peer.name for peer in edge_of(ASK, mesh.snapshot(), NAMESPACE).servers)

    def restart(watching: EdgeWatch) -> None:
        assert call(mesh, "/old") == 200
        # What a proxy had not written yet dies with it.
        until(lambda: watching.collect() or (tmp_path / FILE).read_text().count('"/old"') == 2, "both ends logged it")
        mesh.kill([first], restart_after=0.0)
        until(lambda: call(mesh, "/new") == 200, "the new replica answers")
        watching.collect()

    (record,) = watch(mesh, tmp_path, restart)
    edge = read_edges(tmp_path, [record])[ASK]
    assert len(record.servers) == 2
    assert {"/old", "/new"} <= {one.line.path for one in edge.received}
    assert len({one.line.upstream_host for one in edge.sent if one.line.status == 200}) == 2


@pytest.mark.envoy
def test_a_client_that_is_killed_takes_lines_with_it_and_is_told(mesh: LocalMesh, tmp_path: Path) -> None:
    def kill(watching: EdgeWatch) -> None:
        assert call(mesh, "/old") == 200
        until(lambda: watching.collect() or (tmp_path / FILE).read_text().count('"/old"') == 2, "both ends logged it")
        (client,) = mesh.proxies("web")
        mesh.kill([client.name], restart_after=0.0)
        (new,) = until(lambda: mesh.proxies("web"), "a new replica")  # not there yet: it must not be asked anything
        watching.collect()
        until(lambda: mesh.proxies("web") == [new] and new.replica.ready, "a new client")
        until(lambda: call(mesh, "/new") == 200, "the new client asks")

    (record,) = watch(mesh, tmp_path, kill)
    old, new = (peer.name for peer in record.clients)
    assert [loss.proxy for loss in record.losses] == [old] != [new]
    edge = read_edges(tmp_path, [record])[ASK]
    at = edge.sent[0].line.start
    assert edge.lost_in(at, at + 60) == (old,)
    assert edge.lost_in(record.losses[0].before + 1, at + 600) == ()


def test_names_that_are_nobodys_are_refused(mesh: LocalMesh) -> None:
    snapshot = mesh.snapshot()
    with pytest.raises(UserError, match=r"there is no service 'apy'.*did you mean 'api'"):
        edge_of(EdgeAsk("apy"), snapshot, NAMESPACE)
    with pytest.raises(UserError, match="there is no workload 'wep'"):
        edge_of(EdgeAsk("api", ("wep",)), snapshot, NAMESPACE)


@pytest.mark.envoy
def test_a_log_that_was_emptied_is_the_edges_problem(mesh: LocalMesh, tmp_path: Path) -> None:
    def emptied(watching: EdgeWatch) -> None:
        call(mesh, "/a")
        watching.collect()
        (client,) = mesh.proxies("web")
        log = next(Path(r.logs) for r in mesh.world().replicas if f"{r.name}.{r.namespace}" == client.name)
        (log / "access.log").write_text("")
        with pytest.raises(EvidenceError, match="somebody emptied it"):
            watching.collect()

    (record,) = watch(mesh, tmp_path, emptied)
    assert record.problem is not None
    assert "somebody emptied it" in record.problem


def test_a_line_that_a_crash_cut_is_left_out_and_nonsense_is_told(mesh: LocalMesh, tmp_path: Path) -> None:
    record = replace(edge_of(ASK, mesh.snapshot(), NAMESPACE), since=time.time())
    (tmp_path / FILE).write_text('["stat",0,1.0,"web-0.shop","cluster.x.y",3]\n["stat",0,2.0,"web')
    assert [point.value for point in read_edges(tmp_path, [record])[ASK].stats] == [3]
    (tmp_path / FILE).write_text('["stat",7,1.0,"web-0.shop","cluster.x.y",3]\n')
    with pytest.raises(EvidenceError, match=r"edges\.jsonl:1: not as a run writes it"):
        read_edges(tmp_path, [record])
