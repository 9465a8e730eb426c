"""A generator in another process, asked over a connection that may be cut: real Locust, a real agent."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from load_server import Server, until

from meshchaos.errors import LoadError, MeshError, MeshGone
from meshchaos.load import file_driver, host
from meshchaos.load.away import AwayDriver
from meshchaos.load.driver import LoadPlan
from meshchaos.load.wire import encode
from meshchaos.mesh.seam import Entry
from meshchaos.probes.away import ask_away
from tests.agents import Away


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Away]:
    running = Away(tmp_path / "pod")
    yield running
    running.close()


@pytest.fixture
def drive(away: Away) -> Iterator[Callable[[LoadPlan], AwayDriver]]:
    drivers: list[AwayDriver] = []

    def start(plan: LoadPlan) -> AwayDriver:
        drivers.append(AwayDriver(away.link, plan))
        drivers[-1].start()
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.close()


Drive = Callable[[LoadPlan], AwayDriver]


def numbers(driver: AwayDriver) -> list[int]:
    return sorted(int(row["seq"]) for row in driver.samples().rows)


def test_its_rows_are_here_as_they_come(aimed: LoadPlan, server: Server, drive: Drive) -> None:
    driver = drive(aimed)
    until(lambda: driver.poll().due > 100)
    driver.stop(5.0)
    assert driver.poll().finished
    assert numbers(driver) == list(range(len(server.seen)))
    rows = driver.samples().rows
    assert driver.health(float(rows["start"][0]), float(rows["start"][-1])).requests == len(rows) - 1


def test_a_cut_connection_costs_no_row(aimed: LoadPlan, server: Server, away: Away, drive: Drive) -> None:
    driver = drive(aimed)
    for more in (40, 80, 120):
        until(lambda more=more: driver.poll().due > more)  # type: ignore[misc]
        away.cut()
    away.open = False
    before = len(server.seen)
    until(lambda: len(server.seen) > before + 40)  # it goes on while nobody can ask
    away.open = True
    until(lambda: driver.poll().due > before + 40)
    driver.stop(5.0)
    assert len(away.made) > 3
    assert numbers(driver) == list(range(len(server.seen)))


def test_a_generator_that_died_there_is_told_with_its_end(aimed: LoadPlan, away: Away, drive: Drive) -> None:
    driver = drive(replace(aimed, entry=replace(aimed.entry, words="from web.shop")))
    (locust,) = away.locust()
    os.kill(locust, signal.SIGKILL)
    with pytest.raises(LoadError, match=r"load main, from web\.shop: .*killed by SIGKILL"):
        until(lambda: driver.poll().due < 0)


def test_a_pod_that_is_gone_is_told_after_a_while(
    aimed: LoadPlan, away: Away, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_driver, "SILENCE", 0.5)
    driver = drive(aimed)
    away.process.kill()
    with pytest.raises(LoadError, match=r"stood still for 0\.5 s: the Pod is not reached"):
        until(lambda: driver.poll().due < 0)


def test_closing_ends_the_generator_there(aimed: LoadPlan, away: Away, drive: Drive) -> None:
    driver = drive(aimed)
    assert len(away.locust()) == 1
    driver.close()
    until(lambda: not away.locust())


def test_a_runner_that_is_gone_leaves_no_generator(
    aimed: LoadPlan, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "SILENCE", 0.3)

    async def abandoned() -> str:
        hosting = host.LoadHost(tmp_path)
        guard = asyncio.ensure_future(hosting.guard())
        await hosting.start({"load": 3, "plan": encode(aimed, parent=0, guard=False).decode()})
        hosted = hosting._loads[3]
        deadline = time.monotonic() + 20.0
        while hosted.ended is None and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        guard.cancel()
        answer = await hosting.pull({"load": 3, "offset": 0})
        assert answer["rows"]  # what it sent is still there to be fetched
        return str(answer["ended"])

    assert "nobody asked for its rows" in asyncio.run(abandoned())
    before = len(server.seen)
    with pytest.raises(AssertionError):
        until(lambda: len(server.seen) > before, 0.5)


def test_what_cannot_be_done_there_is_one_line(away: Away, plan: LoadPlan, tmp_path: Path) -> None:
    own = replace(plan, locustfile=tmp_path / "own.py")
    driver = AwayDriver(away.link, own)
    with pytest.raises(LoadError, match="load main: the Pod: a locustfile of the user's own does not run away"):
        driver.start()
    with pytest.raises(MeshError, match="KeyError: 'dance'"):
        away.link.submit({"op": "dance"}).result(5)
    with pytest.raises(MeshError, match="load 3 was not started here"):
        away.link.submit({"op": "pull", "load": 3, "offset": 0}).result(5)


def test_a_clock_that_differs_is_no_evidence(away: Away, aimed: LoadPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr("meshchaos.load.away.time.time", lambda: now() - 3.0)
    with pytest.raises(LoadError, match=r"is 3\.0 s ahead of this machine's"):
        AwayDriver(away.link, aimed).start()


def test_probes_are_made_there(away: Away, server: Server) -> None:
    entry = Entry(server.address, "shop.example", proxied=False, words="", at="web.shop")

    async def both() -> None:
        found, start, end = await ask_away(
            away.link, entry, "GET", "http://shop/x", headers={"x-request-id": "7"}, timeout=2.0
        )
        assert (found.status, found.failure) == (200, "")
        assert 0 < end - start < 2.0
        nobody = replace(entry, address="127.0.0.1:9")
        refused, _, _ = await ask_away(away.link, nobody, "GET", "http://shop/x", headers={}, timeout=2.0)
        assert (refused.status, refused.failure) == (0, "connect")
        away.open = False
        away.cut()
        lost, _, _ = await ask_away(away.link, entry, "GET", "http://shop/x", headers={}, timeout=2.0)
        assert (lost.status, lost.failure) == (0, "other")

    asyncio.run(both())
    assert Counter(message.target for _, message in server.seen) == {"/x": 1}
    assert server.seen[0][1].headers["x-request-id"] == "7"
    away.link.close()
    with pytest.raises(MeshGone):
        away.link.submit({"op": "hello"})
