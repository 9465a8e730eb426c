"""Plans that lead to a server of the test's own, and drivers that end with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from load_server import RUN_ID, Server

from meshchaos.load.driver import LoadPlan, RequestPlan
from meshchaos.load.locust_driver import LocustDriver
from meshchaos.mesh.seam import Entry


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def plan(tmp_path: Path) -> LoadPlan:
    """To a port that is closed; ``replace`` what a test is about."""
    return LoadPlan(
        name="main",
        index=3,
        run_id=RUN_ID,
        entry=Entry(address="127.0.0.1:9", host="shop.example", proxied=False, words=""),
        target="http://shop.example/",
        requests=(RequestPlan("page", "GET", "/page?x=1", {}, None, 1.0),),
        rate=100.0,
        arrivals="uniform",
        timeout=2.0,
        max_in_flight=400,
        seed=7,
        duration=60.0,
        samples=tmp_path / "samples-main.bin",
        log=tmp_path / "locust.log",
    )


@pytest.fixture
def drive() -> Iterator[Callable[[LoadPlan], LocustDriver]]:
    """Starts a driver; ends it with the test."""
    drivers: list[LocustDriver] = []

    def start(plan: LoadPlan) -> LocustDriver:
        driver = LocustDriver(plan)
        drivers.append(driver)
        driver.start()
        return driver

    yield start
    for driver in drivers:
        driver.close()


@pytest.fixture
def aimed(plan: LoadPlan, server: Server) -> LoadPlan:
    """At the server."""
    return replace(plan, entry=replace(plan.entry, address=server.address))
