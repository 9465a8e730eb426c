"""What the command says and exits with, where no mesh is needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meshchaos.cli import app

EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: slow, labels: {tier: web}}
spec:
  hypothesis: It stays fast.
  load: {target: "http://shop.example/", rate: 60}
  faults:
    - abort: {to: stars, httpStatus: 503}
  expect:
    - success: 90%
"""
CONFIG = "meshes: {shop: {local: {manifests: [.]}}}\n"

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def meshchaos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slow.chaos.yaml").write_text(EXPERIMENT, "utf-8")
    (tmp_path / "meshchaos.yaml").write_text(CONFIG, "utf-8")
    before = signal.getsignal(signal.SIGTERM)

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            app.run(list(arguments))
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    yield command
    signal.signal(signal.SIGTERM, before)


MISTAKES = [
    (["run"], "which experiments? name files or folders of *.chaos.yaml (meshchaos run experiments)"),
    (["run", "nowhere"], "nowhere: no such file or folder"),
    (["run", "empty"], "empty: no *.chaos.yaml in this folder"),
    (["run", ".", "-k", "fast"], "nothing is selected: none of 1 experiments fits the selectors"),
    (["run", ".", "-l", "tier=api"], "nothing is selected: none of 1 experiments fits the selectors"),
    (["run", ".", "-l", "tier~web"], "-l tier~web: 'tier~web' is not one of key=value, key!=value, key, !key"),
    (
        ["run", ".", "-k", "slow and"],
        "-k 'slow and': expected parts of names joined by and, or, not, and parentheses",
    ),
    (["runn"], "no such command 'runn'; did you mean 'run'?"),
    (["report"], "which runs? name their folders (meshchaos report reports/slow-ratings-...)"),
    (["report", "empty"], "empty is not a run's folder: history.jsonl: No such file or directory"),
    (["report", "--compare", "empty"], "--compare is for two runs, and 1 is named"),
    (["plan", ".", "--assume", "99.9"], "Invalid value for '--assume': '99.9' is not a share such as 99.95%"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(one[0]) for one in MISTAKES])
def test_a_mistake_is_one_line_and_exit_2(meshchaos: Command, arguments: list[str], message: str) -> None:
    Path("empty").mkdir()
    assert meshchaos(*arguments) == (2, "", f"meshchaos: {message}\n")


def test_a_mistake_in_the_file_has_its_place(meshchaos: Command) -> None:
    Path("slow.chaos.yaml").write_text(EXPERIMENT.replace("rate: 60", "rat: 60"), "utf-8")
    code, out, err = meshchaos("validate", ".")
    assert (code, out) == (2, "")
    assert err.startswith("meshchaos: slow.chaos.yaml:6:")
    assert "did you mean 'rate'?" in err


def test_every_mistake_of_every_file_is_told(meshchaos: Command) -> None:
    Path("slow.chaos.yaml").write_text(EXPERIMENT.replace("rate: 60", "rat: 60"), "utf-8")
    Path("other.chaos.yaml").write_text(EXPERIMENT.replace("abort", "abrot"), "utf-8")
    code, _, err = meshchaos("validate", ".")
    assert code == 2
    assert "other.chaos.yaml:8:" in err
    assert "slow.chaos.yaml:6:" in err


def test_an_unknown_mesh_is_named(meshchaos: Command) -> None:
    code, _, err = meshchaos("validate", ".", "--mesh", "shopp")
    assert code == 2
    assert "did you mean 'shop'?" in err


def test_valid_files_are_told(meshchaos: Command) -> None:
    assert meshchaos("validate", ".") == (0, "slow.chaos.yaml: slow: valid, 1 checks\n", "")


def test_output_that_cannot_be_written_is_told_before_anything_starts(meshchaos: Command) -> None:
    Path("taken").write_text("a file", "utf-8")
    code, out, err = meshchaos("run", ".", "--output", "taken")
    assert (code, out) == (2, "")
    assert err == "meshchaos: --output taken: cannot write there: File exists\n"


def test_html_is_for_one_experiment(meshchaos: Command) -> None:
    Path("b.chaos.yaml").write_text(EXPERIMENT.replace("slow", "b"), "utf-8")
    code, _, err = meshchaos("run", ".", "--html", "x.html")
    assert code == 2
    assert err.startswith("meshchaos: --html is for one experiment, and 2 are selected")


@pytest.mark.parametrize("kind", ["experiment", "config", "result"])
def test_schemas_are_printed(meshchaos: Command, kind: str) -> None:
    code, out, _ = meshchaos("schema", kind)
    assert code == 0
    assert json.loads(out)["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_a_bug_keeps_its_traceback_and_is_never_0_or_1(meshchaos: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(**_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("meshchaos.run.catalog.open_catalog", bug)
    code, _, err = meshchaos("validate", ".")
    assert code == 5
    assert "Traceback (most recent call last)" in err
    assert "ZeroDivisionError: oh" in err


def test_ctrl_c_outside_a_run_is_130_and_no_traceback(meshchaos: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("meshchaos.run.catalog.open_catalog", stop)
    assert meshchaos("validate", ".") == (130, "", "meshchaos: interrupted; nothing is applied\n")


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom meshchaos.cli import app\n"
        "try:\n    app.run(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'scipy', 'pydantic', 'yaml', 'rich', 'kubernetes', 'locust', 'httpx', 'jinja2', 'asyncio'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    assert "Exit codes:" in done.stdout


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "meshchaos", "schema"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 141
