"""Real Locust against a real server: rates, arrivals, stalls, and every way in which a request can fail."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from load_server import RUN_ID, Server, until

from meshchaos.errors import LoadError
from meshchaos.history.samples import Outcome, request_id
from meshchaos.load.driver import LoadPlan, RequestPlan
from meshchaos.load.locust_driver import LocustDriver

Drive = Callable[[LoadPlan], LocustDriver]


def test_requests_start_when_they_are_due_and_each_has_its_row(server: Server, aimed: LoadPlan, drive: Drive) -> None:
    plan = replace(
        aimed,
        rate=200.0,
        requests=(
            RequestPlan("browse", "GET", "/page?x=1", {"X-Tier": "web"}, None, 3.0),
            RequestPlan("pay", "POST", "/pay", {}, b"money", 1.0),
        ),
    )
    driver = drive(plan)
    until(lambda: driver.poll().due >= 300)
    driver.stop(5.0)
    pulse = driver.poll()
    samples = driver.samples()
    rows = samples.rows
    assert pulse.finished
    assert pulse.in_flight == 0
    assert len(rows) == pulse.due == len(server.seen)
    assert np.allclose(np.diff(rows["start"]), 1 / 200, atol=1e-5)
    assert (rows["lag"] >= -1e-3).all()
    assert (rows["latency"] >= rows["lag"]).all()
    assert samples.good().all()
    ids = {request.headers["x-request-id"] for _, request in server.seen}
    assert ids == {request_id(RUN_ID, 3, seq) for seq in range(pulse.due)}
    assert {request.headers["host"] for _, request in server.seen} == {"shop.example"}
    by_target = Counter((request.method, request.target, request.body) for _, request in server.seen)
    browsed, paid = by_target["GET", "/page?x=1", b""], by_target["POST", "/pay", b"money"]
    assert browsed + paid == pulse.due
    assert browsed == len(samples.of_request("browse"))
    assert 0.65 < browsed / pulse.due < 0.85  # 3 of 4; the seed is fixed
    health = driver.health(rows["start"][0], rows["start"][-1])
    assert health.target == 200.0
    assert health.dropped == 0


def test_a_stall_of_the_server_shows_in_every_request_it_held_up(server: Server, aimed: LoadPlan, drive: Drive) -> None:
    driver = drive(replace(aimed, timeout=5.0))
    begin = driver.poll().at + 0.5
    server.stall = (begin, begin + 1.0)
    until(lambda: driver.poll().resolved > begin + 2.0)
    rows = driver.samples().between(begin - 0.4, begin + 2.0).rows
    assert np.quantile(rows["latency"], 0.5) < 0.9
    assert np.quantile(rows["latency"], 0.95) > 0.7  # of 2.4 s, one was stalled: a closed loop would see one request
    slow = np.count_nonzero(rows["latency"] > 0.1)
    assert slow >= 80


def test_a_server_that_never_answers_fills_the_cap_then_drops(server: Server, aimed: LoadPlan, drive: Drive) -> None:
    server.mode = "silent"
    driver = drive(replace(aimed, timeout=0.6, max_in_flight=20))
    until(lambda: driver.poll().due > 120)
    assert driver.poll().in_flight <= 20
    driver.stop(5.0)
    samples = driver.samples()
    rows = samples.rows
    assert driver.poll().finished
    assert set(rows["outcome"]) == {Outcome.TIMEOUT, Outcome.DROPPED}
    assert samples.dropped().sum() > 20
    assert not samples.good().any()
    timed_out = rows[rows["outcome"] == Outcome.TIMEOUT]
    assert (timed_out["latency"] - timed_out["lag"] >= 0.59).all()
    assert len(rows) == driver.poll().due
    health = driver.health(rows["start"][0], rows["start"][-1])
    assert health.achieved == pytest.approx(100.0, rel=0.01)  # drops are the target's fault
    assert health.dropped > 20


def test_resets_and_bad_statuses(server: Server, aimed: LoadPlan, drive: Drive) -> None:
    server.mode = 503
    driver = drive(aimed)
    until(lambda: driver.poll().due > 30)
    server.mode = "reset"
    turned = driver.poll().at
    until(lambda: driver.poll().resolved > turned + 0.3)
    rows = driver.samples().rows
    early, late = rows[rows["start"] < turned - 0.1], rows[rows["start"] > turned + 0.1]
    assert set(early["outcome"]) == {Outcome.ANSWERED}
    assert set(early["status"]) == {503}
    assert set(late["outcome"]) == {Outcome.RESET}
    assert set(late["status"]) == {0}


def test_a_closed_port_is_a_sample_not_an_error(plan: LoadPlan, drive: Drive) -> None:
    driver = drive(plan)
    until(lambda: driver.poll().due > 20)
    driver.stop(5.0)
    assert set(driver.samples().rows["outcome"]) == {Outcome.CONNECT}


def test_through_an_explicit_proxy_the_request_line_holds_the_url(
    server: Server, aimed: LoadPlan, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    driver = drive(replace(aimed, entry=replace(aimed.entry, proxied=True)))
    until(lambda: len(server.seen) > 3)
    driver.stop(5.0)
    assert {request.target for _, request in server.seen} == {"http://shop.example/page?x=1"}


def test_locust_killed_is_an_error_that_says_so(server: Server, aimed: LoadPlan, drive: Drive) -> None:
    driver = drive(aimed)
    until(lambda: driver.poll().resolved > 0 and len(driver.samples()) > 0)
    assert driver.pid is not None
    os.kill(driver.pid, signal.SIGKILL)
    with pytest.raises(LoadError, match="killed by SIGKILL"):
        until(lambda: driver.poll().due < 0)
    assert len(driver.samples()) > 0


def test_secrets_are_in_no_file_argument_or_environment(server: Server, aimed: LoadPlan, drive: Drive) -> None:
    secret = "correct-horse-battery"
    request = RequestPlan("page", "POST", "/", {"authorization": f"Bearer {secret}"}, secret.encode(), 1.0)
    driver = drive(replace(aimed, requests=(request,)))
    until(lambda: len(server.seen) > 3)
    for name in ("cmdline", "environ"):
        assert secret.encode() not in Path(f"/proc/{driver.pid}/{name}").read_bytes()
    driver.stop(5.0)
    driver.close()
    assert server.seen[0][1].headers["authorization"] == f"Bearer {secret}"
    for path in aimed.samples.parent.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_no_permission_on_the_folder_is_one_line(plan: LoadPlan, drive: Drive) -> None:
    with pytest.raises(LoadError, match="cannot write"):
        drive(replace(plan, samples=plan.samples.parent / "missing" / "samples.bin"))
