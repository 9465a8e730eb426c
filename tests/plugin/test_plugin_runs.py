"""Experiments run by pytest on real Envoys: what passes, how a failure reads, and that nothing outlives pytest."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.e2e.stage import EXPERIMENT, stuck
from tests.plugin.project import FAILING, Project
from tests.run.shop import wait_for

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

LONG = EXPERIMENT.replace("fault: 1500ms", "fault: 60s").replace("no-stars", "long")
WITH_FIXTURES = """
import pytest

def test_by_hand(chaos, mesh):
    result = chaos.run("no-stars.chaos.yaml")
    assert result.verdict.value == "PASS"
    assert result.faults[0].gone_at is not None
    assert result.mesh == mesh.name == "shop"
    assert mesh.journal.entries() == []

def test_what_is_not_there(chaos):
    with pytest.raises(Exception, match="nowhere.chaos.yaml: no such file"):
        chaos.run("nowhere.chaos.yaml")
    with pytest.raises(Exception, match="there is no experiment 'other'"):
        chaos.run("no-stars.chaos.yaml", "other")

def test_the_same_mesh(mesh, request):
    assert mesh is request.getfixturevalue("mesh")
"""


def test_one_passes_and_one_fails_with_its_place(mine: Project) -> None:
    """On a mesh that pytest starts for both, and ends."""
    path = mine.write("needs.chaos.yaml", FAILING)
    line = FAILING.splitlines().index("    - success: 90%") + 1
    ran = mine.pytest(".", "--junitxml=junit.xml")
    assert (ran.code, ran.outcomes()) == (1, "1 failed, 1 passed")
    assert "Traceback" not in ran.text
    text = ran.text.partition("FAILURES")[2]
    assert f"{path}:{line}: FAIL success: " in text
    assert "    > - success: 90%\n    expected: at least 90 %\n    observed: " in text
    assert "report.html" in text
    (summary,) = [one for one in ran.text.splitlines() if one.startswith("FAILED ")]
    assert summary.startswith("FAILED needs.chaos.yaml::needs-stars - FAIL: success: 0 % of ")
    junit = (mine.folder / "junit.xml").read_text("utf-8")
    assert '<property name="meshchaos.verdict" value="FAIL"' in junit
    results = [json.loads(one.read_text("utf-8")) for one in (mine.folder / "reports").glob("*/result.json")]
    assert sorted(result["verdict"] for result in results) == ["FAIL", "PASS"]
    mine.shop.nothing_left()


def test_fixtures(up: Project) -> None:
    up.write("tests/test_shop.py", WITH_FIXTURES)
    up.write("tests/no-stars.chaos.yaml", EXPERIMENT)
    ran = up.pytest("tests/test_shop.py")
    assert (ran.code, ran.outcomes()) == (0, "3 passed")


def test_options_and_ini_keys(up: Project) -> None:
    up.write("elsewhere/meshchaos.yaml", (up.folder / "meshchaos.yaml").read_text("utf-8"))
    up.write("elsewhere/shop.yaml", (up.folder / "shop.yaml").read_text("utf-8"))
    up.write(
        "ini/pytest.ini",
        "[pytest]\nmeshchaos_config = ../meshchaos.yaml\nmeshchaos_output = out\nmeshchaos_mesh = shop\n",
    )
    up.write("ini/x.chaos.yaml", EXPERIMENT)
    ran = up.pytest("-c", "ini/pytest.ini", "ini", "--meshchaos-seed", "7")
    assert (ran.code, ran.outcomes()) == (0, "1 passed")
    (result,) = (up.folder / "ini" / "out").glob("*/result.json")
    assert json.loads(result.read_text("utf-8"))["seed"] == 7
    ran = up.pytest("no-stars.chaos.yaml", "--meshchaos-mesh", "shopp")
    assert ran.code == 1
    assert "there is no mesh 'shopp', did you mean 'shop'?" in ran.text
    assert "Traceback" not in ran.text
    ran = up.pytest("no-stars.chaos.yaml", "--meshchaos-config", "nowhere.yaml")
    assert "nowhere.yaml: there is no such file" in ran.text


def test_the_configuration_is_found_from_rootdir(up: Project) -> None:
    (up.folder / "other").mkdir()
    ran = up.pytest(str(up.folder / "no-stars.chaos.yaml"), "--collect-only", "-q", where="other")
    assert ran.code == 0
    ran = up.pytest(f"--rootdir={up.folder}", str(up.folder / "no-stars.chaos.yaml"), where="other")
    assert (ran.code, ran.outcomes()) == (0, "1 passed")
    assert list((up.folder / "other").iterdir()) == [], "reports go into rootdir"


def test_names_that_the_mesh_does_not_know(up: Project) -> None:
    up.write("a/starz.chaos.yaml", EXPERIMENT.replace("to: stars", "to: starz"))
    ran = up.pytest("a/starz.chaos.yaml")
    assert ran.code == 1
    assert "Traceback" not in ran.text
    assert "starz.chaos.yaml:9:7: spec.faults[0].abort: there is no service 'starz'" in ran.text


def test_ctrl_c_heals_and_ends_the_session(mine: Project) -> None:
    mine.write("a.chaos.yaml", LONG)
    with mine.running("a.chaos.yaml", "no-stars.chaos.yaml") as (process, output):
        in_fault_phase(mine, "long")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 2, output.read_text("utf-8")
    text = output.read_text("utf-8")
    assert "KeyboardInterrupt" in text
    assert "Traceback" not in text
    (result,) = (mine.folder / "reports").glob("*/result.json")
    found = json.loads(result.read_text("utf-8"))
    assert found["reason"] == "interrupted by SIGINT; everything was put back"
    mine.shop.nothing_left()


def test_kill_9_of_pytest_leaves_nothing(mine: Project) -> None:
    mine.write("a.chaos.yaml", LONG)
    with mine.running("a.chaos.yaml") as (process, _):
        in_fault_phase(mine, "long")
        process.kill()
        process.wait(60)
    mine.shop.nothing_left()


def test_leftovers_fail_the_test_and_end_the_session(up: Project) -> None:
    """The mesh hangs while the run heals, and the user does not wait."""
    up.write("z/a.chaos.yaml", LONG)
    up.write("z/b.chaos.yaml", EXPERIMENT)
    serving = up.shop.supervisor()
    with up.running("z") as (process, output):
        in_fault_phase(up, "long")
        os.kill(serving, signal.SIGSTOP)
        try:
            process.send_signal(signal.SIGINT)
            wait_for(lambda: stuck(process.pid), "the run waits for the mesh")
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: process.poll() is not None, "pytest ends", 60)
        finally:
            os.kill(serving, signal.SIGCONT)
    text = output.read_text("utf-8")
    assert process.returncode == 1, text
    assert "left behind: " in text
    assert "meshchaos heal --mesh shop" in text
    assert "b.chaos.yaml" not in text.partition("FAILURES")[2]
    healed = up.shop.command("heal", "--force")
    assert healed.returncode == 0, healed.stdout


def in_fault_phase(mine: Project, name: str) -> None:
    """Read from the run's history, which is written as it happens."""

    def live() -> bool:
        events = [
            json.loads(line)
            for path in (mine.folder / "reports").glob(f"{name}-*/history.jsonl")
            for line in path.read_text("utf-8").splitlines(keepends=True)
            if line.endswith("\n")
        ]
        return any(event["event"] == "PhaseStarted" and event["name"] == "fault" for event in events)

    wait_for(live, "the fault phase", 60)
