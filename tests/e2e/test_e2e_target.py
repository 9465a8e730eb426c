"""Targets that hang, refuse or die: a verdict that claims nothing."""

from __future__ import annotations

import os
import signal

import pytest

from tests.e2e.stage import EXPERIMENT, FILE, SHORT, Stage, in_each_phase, lines_with, long, said

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]


def test_a_target_that_never_answers(shop: Stage) -> None:
    shop.edit_config("page: {stub: {", "page: {stub: {latency: 1h, ")
    shop.fails(3, "run", FILE)
    result = shop.result()
    assert (result["verdict"], result["phases"]) == ("INVALID", [])
    assert "http://shop.example/ did not answer within 3s (at 127." in result["reason"]
    shop.nothing_left()


def test_a_target_that_hangs_later_fails(shop: Stage) -> None:
    """The fault makes the page hang: no answer at all in the phase is FAIL, and the run ends in time."""
    text = EXPERIMENT.replace("abort: {to: stars, httpStatus: 503}", "delay: {to: page, fixedDelay: 1h}")
    shop.write(text.replace("timeout: 3s", "timeout: 500ms"))
    shop.fails(1, "run", FILE)
    result = shop.result()
    assert result["verdict"] == "FAIL"
    assert result["expectations"][0]["estimate"] == 0.0
    assert result["healed"]


def test_a_target_without_anybody_behind_it(shop: Stage) -> None:
    """The gateway answers for it: 503."""
    page = "metadata: {name: page, namespace: shop}\nspec:\n  selector: {matchLabels"
    manifests = (shop.folder / "shop.yaml").read_text("utf-8")
    assert manifests.count(page) == 1
    (shop.folder / "shop.yaml").write_text(manifests.replace(page, page.replace("spec:\n", "spec:\n  replicas: 0\n")))
    shop.fails(3, "run", FILE)
    result = shop.result()
    assert result["verdict"] == "INVALID"
    assert result["reason"].startswith("steady state: success: before any fault: 0 % of ")
    assert result["reason"].endswith("; no fault was applied")
    shop.write(EXPERIMENT.replace("http://shop.example/", "http://page:8000/").replace("rate:", "from: outside, rate:"))
    assert "has no ready endpoint" in shop.one_line(2, "run", FILE)
    shop.nothing_left()


def test_a_stub_that_dies() -> None:
    with in_each_phase() as running:
        for shop, _ in running.values():
            os.kill(shop.writing("/stars-", "app.log")[0], signal.SIGKILL)
        for shop, run in running.values():
            assert run.end() == 5, said(run)
            assert lines_with(said(run), " ERROR: the program of stars-", ".shop was killed by SIGKILL")
            result = shop.result()
            assert (result["verdict"], result["leftovers"]) == ("ERROR", [])
            shop.nothing_left()


def test_every_replica_that_dies(shop: Stage) -> None:
    with shop.running("run", SHORT, *long("fault")) as run:
        run.until_said("fault for 60 s")
        for pid in shop.writing("/stars-"):
            os.kill(pid, signal.SIGKILL)
        assert run.end() == 5, said(run)
    assert lines_with(said(run), " ERROR: ", " of stars-", ".shop was killed by SIGKILL")
    assert shop.result()["leftovers"] == []
    shop.nothing_left()
