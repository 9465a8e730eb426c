"""Whole runs of the command on real Envoys, with real load; and what is left when somebody dies in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run.shop import EXPERIMENT, Shop, wait_for

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def nothing_runs(shop: Shop) -> None:
    wait_for(lambda: not shop.processes(), "no process is left", 20)
    assert shop.command("heal").returncode == 0


def test_a_run_passes_proves_its_fault_and_can_be_judged_again(shop: Shop) -> None:
    done = shop.command("run", "no-stars.chaos.yaml", "--json", "all.json", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    result = shop.result()
    assert (result["verdict"], result["seed"], result["healed"], result["leftovers"]) == ("PASS", 7, True, [])
    (fault,) = result["faults"]
    assert fault["injected"]["share"] == 1.0
    assert fault["injected"]["count"] >= 100
    assert [phase["name"] for phase in result["phases"]] == ["warmup", "baseline", "fault", "recovery"]
    (folder,) = (shop.folder / "reports").glob("*/")
    assert folder.name in (shop.folder / "reports" / "index.html").read_text("utf-8")
    assert (folder / "report.html").exists()
    assert (folder / "mesh" / "supervisor.log").exists()
    again = shop.command("report", str(folder))
    assert again.returncode == 0, again.stderr
    judged = shop.result()
    assert judged["expectations"] == result["expectations"]
    assert judged["faults"] == result["faults"]
    nothing_runs(shop)


def test_a_page_that_needs_its_stars_fails(shop: Shop) -> None:
    (shop.folder / "meshchaos.yaml").write_text(
        (shop.folder / "meshchaos.yaml").read_text("utf-8").replace("optional: true", "optional: false"), "utf-8"
    )
    done = shop.command("run", "no-stars.chaos.yaml")
    assert done.returncode == 1, done.stdout
    result = shop.result()
    assert result["verdict"] == "FAIL"
    assert result["expectations"][0]["verdict"] == "FAIL"
    assert result["healed"]


def test_plan_shows_the_diff_and_changes_nothing(shop: Shop) -> None:
    done = shop.command("plan", "no-stars.chaos.yaml", "--assume", "99.9%")
    assert done.returncode == 0, done.stderr
    assert "+kind: EnvoyFilter" in done.stdout
    assert "requests without a bad one" in done.stdout
    assert not (shop.folder / "reports").exists()
    nothing_runs(shop)


def test_a_mistake_in_the_second_file_runs_nothing(shop: Shop) -> None:
    shop.write(EXPERIMENT.replace("to: stars", "to: starz").replace("no-stars", "bad"), "z.chaos.yaml")
    done = shop.command("run", ".")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("meshchaos: z.chaos.yaml:10:")
    assert "starz" in line
    assert "stars" in line.partition("starz")[2]
    assert list((shop.folder / "reports").iterdir()) == []
