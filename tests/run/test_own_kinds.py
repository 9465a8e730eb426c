"""A fault and an expectation of a user's own, from a package that is installed as users do, on a real mesh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import meshchaos.plugin
from meshchaos.plugin import DELAY, FaultContext, build
from tests.e2e.stage import Stage, stage
from tests.faults.snapshots import bookinfo

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

PACKAGE = Path(__file__).parents[1] / "example_plugin"
EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: brownout}
spec:
  hypothesis: The page is whole though the stars are answered late and with 503.
  load: {target: "http://shop.example/", rate: 60, arrivals: uniform, timeout: 3s}
  phases: {warmup: 300ms, baseline: 1500ms, fault: 3s, recovery: 1s}
  faults:
    - brownout: {to: stars, slowBy: 20ms}
  expect:
    - success: 90%
    - whole: {atLeast: 90%, bytes: 2000}
    - whole: {atLeast: 90%, bytes: 2000, during: recovery, name: whole again}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """With the package in a folder of its own, so that the other tests do not meet it."""
    target = tmp_path_factory.mktemp("installed")
    build = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    copy = tmp_path_factory.mktemp("source") / "brownout"
    _copy(PACKAGE, copy)
    subprocess.run([sys.executable, "-m", "pip", "install", *build, "--target", target, copy], check=True)
    with stage() as made:
        made.environment["PYTHONPATH"] = os.pathsep.join([str(target), os.environ.get("PYTHONPATH", "")])
        text = (made.folder / "meshchaos.yaml").read_text("utf-8")
        body = "        stars: {stub: {body: '" + 3000 * "*" + "'}}\n"
        (made.folder / "meshchaos.yaml").write_text(text + body, "utf-8")
        made.write(EXPERIMENT, "brownout.chaos.yaml")
        yield made


def _copy(source: Path, target: Path) -> None:
    """Building leaves nothing in the repository."""
    for path in source.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            there = target / path.relative_to(source)
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(path.read_bytes())


def test_both_are_in_a_run(shop: Stage) -> None:
    """The page is there without its stars, and not whole: only the expectation of one's own sees it."""
    shop.fails(1, "run", "brownout.chaos.yaml", "--seed", "3")
    result = shop.newest()
    (fault,) = result["faults"]
    assert (fault["kind"], fault["proof"]["verdict"], fault["injected"]["share"]) == ("brownout", "PASS", 1.0)
    assert fault["injected"]["count"] >= 100
    found = {one["name"]: (one["kind"], one["verdict"], one["estimate"]) for one in result["expectations"]}
    assert found == {
        "success": ("success", "PASS", 1.0),
        "whole": ("whole", "FAIL", 0.0),
        "whole again": ("whole", "PASS", 1.0),
    }
    (steady,) = [one for one in result["steadyState"] if one["kind"] == "whole"]
    assert steady["verdict"] == "PASS"
    (folder,) = (shop.folder / "reports").glob("*/")
    assert shop.command("report", str(folder)).returncode == 1, "judged again by the same plug-in"


def test_the_plan_tells_the_diff_and_the_samples(shop: Stage) -> None:
    said = shop.command("plan", "brownout.chaos.yaml").stdout
    assert "in the server's inbound proxy, as the server itself would do it" in said
    assert "numerator: 1000000" in said
    assert "whole (fault): 29 requests without a bad one" in said


def test_the_schema_and_the_mistakes_know_them(shop: Stage) -> None:
    schema = json.loads(shop.command("schema", "experiment").stdout)
    kinds = schema["definitions"]
    assert "how long the body of a whole answer is at least" in json.dumps(kinds["expect.whole"])
    assert "slowBy" in json.dumps(kinds["fault.brownout"])
    for old, new, message in (
        ("slowBy: 20ms", "slowBy: 20", "brownout.slowBy"),
        ("slowBy: 20ms", "slowly: 20ms", "slowBy"),
        ("to: stars,", "to: starz,", "did you mean 'stars'?"),
        ("bytes: 2000}", "bytes: 0}", "bytes must be at least 1"),
    ):
        bad = shop.write(EXPERIMENT.replace(old, new), "bad.yaml")
        line = shop.one_line(2, "run", str(bad))
        assert message in line, line
        assert "bad.yaml:" in line


def test_without_the_package_the_kind_is_unknown(shop: Stage) -> None:
    shop.fails(2, "validate", "brownout.chaos.yaml", environment={"PYTHONPATH": ""})


def test_all_that_is_public_is_there_and_listed() -> None:
    public = {name for name, value in vars(meshchaos.plugin).items() if not name.startswith("_")} - {"annotations"}
    assert sorted(public) == sorted(meshchaos.plugin.__all__)


def test_the_example_is_typed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "-p", "brownout"],
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_a_bug_of_a_plug_in_is_told_as_its_own(shop: Stage) -> None:
    installed = Path(shop.environment["PYTHONPATH"].partition(os.pathsep)[0]) / "brownout" / "fault.py"
    text = installed.read_text("utf-8")
    line = "        found = find_service"
    installed.write_text(text.replace(line, f"        {{}}['oops']\n{line}"), "utf-8")
    try:
        done = shop.command("plan", "brownout.chaos.yaml")
    finally:
        installed.write_text(text, "utf-8")
    assert done.returncode == 5
    assert "KeyError: 'oops'" in done.stderr, "the plug-in's author wants the traceback"
    last = done.stderr.splitlines()[-1]
    assert last.startswith("meshchaos: raised in `brownout`, which brownout.fault brings: a bug of that plug-in;")


def test_a_kind_may_build_on_ours() -> None:
    """As the documentation shows it."""
    mesh = bookinfo()
    asked = build(DELAY.kind, {"to": "ratings", "fixedDelay": "2s", "percentage": 10})
    placed = replace(DELAY.place(asked, mesh, FaultContext("chaos-r1-0", 0, 1, "bookinfo")), kind="slowDatabase")
    assert (placed.kind, placed.at, placed.proof.share) == ("slowDatabase", "server", 0.1)
