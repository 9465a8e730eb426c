"""kill -9 and signals in every phase: an honest verdict, no process left, nothing that cannot be healed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.stage import FILE, PHASES, SHORT, Stage, in_each_phase, kept_up, lines_with, long, said, stage, stuck
from tests.run.shop import wait_for

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

SPOKEN = {phase: f"{phase} for 60 s" for phase in PHASES}


@pytest.fixture(scope="module", autouse=True)
def abandoned() -> Iterator[Stage]:
    """A mesh that stays up, with a fault whose runner was killed: it expires while the other tests run."""
    with stage() as made, kept_up(made):
        with made.running("run", SHORT, *long("fault")) as run:
            run.until_said(SPOKEN["fault"])
            run.signal(signal.SIGKILL)
        yield made


def locust(shop: Stage) -> int:
    return shop.pids_of("-m locust")[0]


def gateway(shop: Stage) -> int:
    return shop.writing("/istio-ingressgateway-", "envoy.log")[0]


def injecting(shop: Stage) -> int:
    return shop.writing("/stars-", "envoy.log")[0]


def supervisor(shop: Stage) -> int:
    return shop.supervisor()


BROKEN = {
    gateway: "the proxy of istio-ingressgateway-",
    injecting: "the proxy of stars-",
    supervisor: "the mesh's supervisor is gone",
}


@pytest.mark.parametrize("victim", BROKEN, ids=lambda victim: victim.__name__)
def test_kill_9_of_a_part_of_the_mesh_is_an_error(victim: Callable[[Stage], int]) -> None:
    with in_each_phase() as running:
        for shop, _ in running.values():
            os.kill(victim(shop), signal.SIGKILL)
        for phase, (shop, run) in running.items():
            assert run.end() == 5, said(run)
            text = said(run)
            assert len(lines_with(text, "stopped: ", BROKEN[victim])) == 1, text
            assert lines_with(text, " ERROR: ", BROKEN[victim]), text
            assert lines_with(text, f"{phase} ended early: error"), text
            result = shop.result()
            assert result["verdict"] == "ERROR"
            assert result["leftovers"] == []
            shop.nothing_left()


def test_kill_9_of_the_runner_leaves_nothing() -> None:
    with in_each_phase() as running:
        for shop, run in running.values():
            run.signal(signal.SIGKILL)
            assert run.end() == -signal.SIGKILL
            said(run)
            shop.nothing_left()


@pytest.mark.parametrize("phase", PHASES)
def test_kill_9_of_locust_is_invalid(up: Stage, phase: str) -> None:
    with up.running("run", SHORT, *long(phase)) as run:
        run.until_said(SPOKEN[phase])
        os.kill(locust(up), signal.SIGKILL)
        assert run.end() == 3, said(run)
    result = up.newest()
    assert result["verdict"] == "INVALID"
    assert result["reason"] == (
        "the load generator died: load main: Locust ended before its time (killed by SIGKILL)"
    ), said(run)
    assert (result["healed"], result["leftovers"]) == (True, [])
    assert up.command("heal").stdout == "nothing to heal\n"


@pytest.mark.parametrize("phase", PHASES)
def test_kill_9_of_the_runner_on_a_mesh_that_stays_up_can_be_healed(up: Stage, phase: str) -> None:
    with up.running("run", SHORT, *long(phase)) as run:
        run.until_said(SPOKEN[phase])
        run.signal(signal.SIGKILL)
        run.end()
    wait_for(lambda: not up.pids_of("-m locust"), "Locust ended with its runner", 20)
    line = up.one_line(5, "run", FILE)
    assert line.endswith("is dead and left changes behind; say: meshchaos heal --mesh shop"), line
    healed = up.command("heal")
    assert healed.returncode == 0, healed.stdout
    assert "put back and verified: EnvoyFilter chaos-" in healed.stdout
    assert up.command("heal").stdout == "nothing to heal\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_heals(up: Stage, number: signal.Signals) -> None:
    with up.running("run", SHORT, *long("fault")) as run:
        run.until_said(SPOKEN["fault"])
        run.signal(number)
        assert run.end() == 130, said(run)
    assert lines_with(said(run), " ERROR: ", f"interrupted by {number.name}; everything was put back")
    result = up.newest()
    assert result["healed"]
    assert result["faults"][0]["goneAt"] is not None
    assert up.command("heal").stdout == "nothing to heal\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_while_the_mesh_comes_up(shop: Stage, number: signal.Signals) -> None:
    with shop.running("run", FILE) as run:
        wait_for(lambda: bool(shop.writing("envoy.log")), "an Envoy starts")
        run.signal(number)
        assert run.end() == 130, said(run)
    assert said(run) == "meshchaos: interrupted; nothing is applied\n"
    shop.nothing_left()


@pytest.mark.parametrize("hanging", ["while it heals", "in the phase"])
def test_a_second_signal_warns_and_the_third_gives_up(up: Stage, hanging: str) -> None:
    """The mesh hangs, so that healing lasts."""
    serving = up.supervisor()
    with up.running("run", SHORT, *long("fault")) as run:
        run.until_said(SPOKEN["fault"])
        os.kill(serving, signal.SIGSTOP)
        try:
            if hanging == "in the phase":
                wait_for(lambda: stuck(run.process.pid), "the run waits for the mesh")
            run.signal(signal.SIGINT)
            wait_for(lambda: stuck(run.process.pid), "the run waits for the mesh")
            run.signal(signal.SIGTERM)  # another one: two of a kind may arrive as one
            run.until_said("then say: meshchaos heal --mesh shop")
            run.signal(signal.SIGINT)
            assert run.end() == 4, said(run)
        finally:
            os.kill(serving, signal.SIGCONT)
    assert lines_with(said(run), "LEFT BEHIND: ", "meshchaos heal --mesh shop"), said(run)
    result = up.newest()
    assert (result["verdict"], result["healed"], len(result["leftovers"]) > 0) == ("ERROR", False, True)
    healed = up.command("heal", "--force")
    assert healed.returncode == 0, healed.stdout


def test_a_second_signal_waits_for_the_heal(up: Stage) -> None:
    serving = up.supervisor()
    with up.running("run", SHORT, *long("fault")) as run:
        run.until_said(SPOKEN["fault"])
        os.kill(serving, signal.SIGSTOP)
        try:
            run.signal(signal.SIGINT)
            run.signal(signal.SIGTERM)  # another one: two of a kind may arrive as one
            run.until_said("then say: meshchaos heal --mesh shop")
        finally:
            os.kill(serving, signal.SIGCONT)
        assert run.end() == 130, said(run)
    assert lines_with(said(run), "still putting back", "EnvoyFilter chaos-") or lines_with(said(run), "still fault")
    assert up.newest()["healed"]
    assert up.command("heal").stdout == "nothing to heal\n"


def test_what_a_dead_runner_left_is_put_back_when_its_time_is_over(abandoned: Stage) -> None:
    """Last in this file: half a minute has gone since."""
    wait_for(lambda: "nothing to heal" in abandoned.command("heal").stdout, "the journal expired", 60)
    done = abandoned.command("run", FILE)
    assert done.returncode == 0, done.stdout + done.stderr
