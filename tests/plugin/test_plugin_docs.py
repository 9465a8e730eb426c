"""What docs/pytest.md shows in Python is true: each block is a file of tests, run by pytest on the examples' mesh."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.snippets import ROOT, snippets

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]


def test_what_the_page_shows_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [one for one in snippets(ROOT / "docs" / "pytest.md") if one.language == "python"]
    if find_spec("hypothesis") is None:
        blocks = [one for one in blocks if "import hypothesis" not in one.text and "from hypothesis" not in one.text]
    assert blocks
    for number, block in enumerate(blocks):
        (tmp_path / f"test_block_{number}.py").write_text(block.text, "utf-8")
    for name in ("slow-ratings", "dead-ratings"):
        (tmp_path / f"{name}.chaos.yaml").write_text((ROOT / "experiments" / f"{name}.chaos.yaml").read_text("utf-8"))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (runtime := tmp_path / "r").mkdir(mode=0o700)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *sorted(map(str, tmp_path.glob("test_*.py")))]
    done = subprocess.run(
        [*command, f"--meshchaos-config={ROOT / 'meshchaos.yaml'}", f"--rootdir={tmp_path}"],
        cwd=tmp_path,
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(done.stdout + done.stderr)
    assert done.returncode == 0
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
