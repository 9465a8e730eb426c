"""A user's own locustfile: led into the mesh as it is, its requests written down, its mistakes passed on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from load_server import Server, until

from meshchaos.errors import LoadError
from meshchaos.history.samples import Outcome
from meshchaos.load.driver import LoadPlan
from meshchaos.load.locust_driver import LocustDriver

Drive = Callable[[LoadPlan], LocustDriver]

OWN = """
from locust import FastHttpUser, HttpUser, constant, task

class Slow(HttpUser):
    wait_time = constant(0.02)
    @task
    def page(self):
        self.client.get("/slow")

class Fast(FastHttpUser):
    wait_time = constant(0.02)
    @task
    def page(self):
        self.client.get("/fast", headers={"x-tier": "web"})
        with self.client.get("/marked", name="marked", catch_response=True) as response:
            response.failure("not what I want")
"""


@pytest.fixture
def own(aimed: LoadPlan, tmp_path: Path) -> Callable[[str], LoadPlan]:
    def write(text: str) -> LoadPlan:
        path = tmp_path / "own.py"
        path.write_text(text, encoding="utf-8")
        return replace(aimed, rate=None, requests=(), locustfile=path, users=2)

    return write


@pytest.mark.parametrize("proxied", [False, True])
def test_both_kinds_of_users_enter_where_the_load_does(
    own: Callable[[str], LoadPlan], server: Server, drive: Drive, proxied: bool
) -> None:
    plan = own(OWN)
    driver = drive(replace(plan, entry=replace(plan.entry, proxied=proxied)))
    until(lambda: driver.poll().due > 0 and set(driver.samples().requests) >= {"/slow", "/fast", "marked"})
    driver.stop(10.0)
    samples = driver.samples()
    assert driver.poll().finished
    assert samples.closed
    assert len(samples) == len(server.seen)
    assert samples.of_request("/slow").good().all()
    assert samples.of_request("/fast").good().all()
    marked = samples.of_request("marked")
    assert not marked.good().any()
    assert set(marked.rows["outcome"]) == {Outcome.OTHER}
    assert {request.headers["host"] for _, request in server.seen} == {"shop.example"}
    prefix = ("http://shop.example/", "http://shop.example:80/") if proxied else ("/",)
    assert all(request.target.startswith(prefix) for _, request in server.seen)
    health = driver.health(samples.rows["start"][0], samples.rows["start"][-1])
    assert health.closed
    assert health.target is None


def test_a_server_that_never_answers_is_a_timeout(own: Callable[[str], LoadPlan], server: Server, drive: Drive) -> None:
    server.mode = "silent"
    driver = drive(replace(own(OWN), timeout=0.5))
    until(lambda: driver.poll().oldest > 0.3)
    until(lambda: driver.poll().due > 0 and len(driver.samples()) >= 3)
    assert set(driver.samples().rows["outcome"]) == {Outcome.TIMEOUT}


PATIENT = """
from locust import FastHttpUser, HttpUser, task

class Slow(HttpUser):
    @task
    def page(self):
        self.client.get("/slow", timeout=600)

class Fast(FastHttpUser):
    network_timeout = 600
    @task
    def page(self):
        self.client.get("/fast", name="fast")
"""


def test_requests_still_under_way_when_users_end_are_not_forgotten(
    own: Callable[[str], LoadPlan], server: Server, drive: Drive
) -> None:
    """Users that wait for longer than the load's timeout: were their requests left out, a hang would look like rest."""
    server.mode = "silent"
    driver = drive(replace(own(PATIENT), timeout=0.5))
    until(lambda: driver.poll().in_flight == 2 and driver.poll().oldest > 1.0)
    driver.stop(10)
    assert driver.poll().finished
    samples = driver.samples()
    assert {samples.requests[index] for index in samples.rows["request"]} == {"/slow", "fast"}
    assert set(samples.rows["outcome"]) == {Outcome.TIMEOUT}
    assert (samples.rows["latency"] >= 0.5).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
        ("x = 1", "No User class found"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_locustfile_that_cannot_run_is_told_in_its_own_words(
    own: Callable[[str], LoadPlan], drive: Drive, text: str, words: str
) -> None:
    with pytest.raises(LoadError, match=words):
        drive(own(text))
