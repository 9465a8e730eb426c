"""What the plug-in collects, and how it says that a file is wrong; without any mesh."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import meshchaos
from tests.e2e.stage import EXPERIMENT
from tests.plugin.project import Project

ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def test_experiments_are_tests(mine: Project) -> None:
    mine.write("deep/er/two.chaos.yaml", EXPERIMENT + "---\n" + EXPERIMENT.replace("no-stars", "other"))
    mine.write("notes.yaml", "chaos: no")
    ran = mine.pytest("--collect-only", "-q")
    assert ran.text.splitlines()[:9] == [
        f"{experiment}::{item}"
        for experiment in (
            "deep/er/two.chaos.yaml::no-stars",
            "deep/er/two.chaos.yaml::other",
            "no-stars.chaos.yaml::no-stars",
        )
        for item in ("run", "success", "heal")
    ]
    assert ran.code == 0


def test_each_expectation_has_its_name_and_line(mine: Project) -> None:
    path = mine.write("no-stars.chaos.yaml", EXPERIMENT + "    - latency: {p99: 800ms, p50: 100ms}\n")
    ran = mine.pytest("--collect-only", "-q", "-k", "latency")
    names = [line for line in ran.text.splitlines() if "::" in line]
    assert names == [f"no-stars.chaos.yaml::no-stars::latency {quantile}" for quantile in ("p99", "p50")]
    assert mine.pytest("--collect-only", "-q", "no-stars.chaos.yaml::no-stars::latency p99").code == 0
    lines = path.read_text("utf-8").splitlines()
    mine.write(
        "conftest.py",
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items:\n"
        "        print('AT', item.name, item.location[1] + 1)\n",
    )
    said = mine.pytest("--collect-only", "-q", "-s").text
    assert f"AT success {lines.index('    - success: 90%') + 1}\n" in said
    assert f"AT latency p50 {len(lines)}\n" in said


def test_labels_select(mine: Project) -> None:
    assert mine.pytest("--collect-only", "-q", "-m", "chaos(tier='web')").code == 0
    assert mine.pytest("--collect-only", "-q", "-m", "chaos(tier='db')").code == 5


@pytest.mark.parametrize(
    ("options", "environment", "code"),
    [
        ([], {}, 0),
        (["-p", "meshchaos"], {}, 0),
        (["-p", "meshchaos", "-p", "meshchaos"], {}, 0),
        (["-p", "meshchaos"], ALONE, 0),
        (["-p", "meshchaos", "-p", "meshchaos"], ALONE, 0),
        ([], ALONE, 5),
        (["-p", "no:meshchaos"], {}, 5),
    ],
    ids=["autoload", "-p", "-p -p", "-p alone", "-p -p alone", "no autoload", "-p no:"],
)
def test_where_the_plug_in_comes_from(
    mine: Project, options: list[str], environment: dict[str, str], code: int
) -> None:
    ran = mine.pytest("--collect-only", "-q", *options, environment=environment)
    assert ran.code == code
    assert ("no-stars.chaos.yaml::no-stars" in ran.text) is (code == 0)


def test_a_checkout_that_is_not_installed(mine: Project) -> None:
    """Would be taken for a plug-in that does nothing."""
    (mine.folder / "meshchaos").symlink_to(Path(meshchaos.__file__).parent)
    code = "import sys, pytest; sys.path.insert(0, '.'); sys.exit(pytest.main(['-p', 'meshchaos', '--collect-only']))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path += {_without_us(mine)!r}; {code}"],
        cwd=mine.folder,
        env={**mine.shop.environment, **ALONE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stdout + done.stderr
    assert done.stderr.strip().startswith("ERROR: meshchaos is not installed here, so there is no plug-in")


def _without_us(mine: Project) -> list[str]:
    """A path with all that is installed here, without our entry point."""
    there = mine.folder / "site"
    there.mkdir()
    for found in Path(pytest.__file__).parent.parent.iterdir():
        if not found.name.startswith(("meshchaos", "_")) or found.name == "_pytest":
            (there / found.name).symlink_to(found)
    return [str(there)]


def test_selection_is_pytests_own(mine: Project) -> None:
    mine.write("b.chaos.yaml", EXPERIMENT.replace("no-stars", "other"))
    ran = mine.pytest("--collect-only", "-q", "-k", "other", "-m", "chaos", "--strict-markers")
    assert ran.text.splitlines()[0] == "b.chaos.yaml::other::run"
    assert "3/6 tests collected (3 deselected)" in ran.text
    assert mine.pytest("--collect-only", "-q", "b.chaos.yaml::other").code == 0
    assert mine.pytest("--collect-only", "-q", "b.chaos.yaml::other::success").code == 0
    assert "not found" in mine.pytest("--collect-only", "-q", "b.chaos.yaml::another").text


def test_a_mistake_in_a_file_is_one_line(mine: Project) -> None:
    mine.write("b.chaos.yaml", EXPERIMENT.replace("rate: 60", "rat: 60"))
    ran = mine.pytest(".")
    assert ran.code == 2
    assert "Traceback" not in ran.text
    section = ran.text.partition("ERROR collecting b.chaos.yaml")[2].splitlines()
    assert section[1].startswith(f"{mine.folder}/b.chaos.yaml:6:42: spec.load.rat: unknown key 'rat', did you mean"), (
        section
    )
    assert section[2].startswith("==="), section
    mine.shop.nothing_left()


def test_without_a_configuration(mine: Project) -> None:
    (mine.folder / "meshchaos.yaml").unlink()
    ran = mine.pytest(".")
    assert ran.code == 1
    assert "Traceback" not in ran.text
    assert f"there is no meshchaos.yaml in {mine.folder} or above: it names the meshes" in ran.text


def test_an_unused_plug_in_imports_nothing(mine: Project) -> None:
    code = (
        "import sys, pytest\n"
        "code = pytest.main(['-q', '-p', 'no:cacheprovider', 'test_plain.py'])\n"
        "print('LOADED', sorted(name for name in sys.modules if name.split('.')[0] == 'meshchaos'), int(code))\n"
    )
    mine.write("test_plain.py", "def test_it() -> None:\n    pass\n")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=mine.folder,
        env=mine.shop.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "LOADED [] 0"


def test_a_configuration_that_the_session_makes(mine: Project) -> None:
    """Read where experiments are collected, already: an expectation may name an SLO of it."""
    mine.write("slo.chaos.yaml", EXPERIMENT.replace("no-stars", "by-slo").replace("success: 90%", "slo: made-here"))
    assert "made-here" in mine.pytest("--collect-only", "-q", "slo.chaos.yaml").text
    assert mine.pytest("--collect-only", "-q", "slo.chaos.yaml").code == 2
    mine.write(
        "conftest.py",
        "import pathlib\n"
        "def pytest_meshchaos_config(config):\n"
        "    text = pathlib.Path(config.rootpath, 'meshchaos.yaml').read_text()\n"
        "    made = pathlib.Path(config.rootpath, 'made.yaml')\n"
        "    made.write_text(text + 'slos: {made-here: {success: 90%}}\\n')\n"
        "    return made\n",
    )
    ran = mine.pytest("--collect-only", "-q", "slo.chaos.yaml")
    assert ran.code == 0
    assert "slo.chaos.yaml::by-slo::slo made-here success" in ran.text
