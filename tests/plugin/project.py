"""A user's project with experiments, and pytest as a process in it."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.stage import EXPERIMENT, SHORT, STRAINED, Stage, kept_up, stage

FAILING = EXPERIMENT.replace("no-stars", "needs-stars").replace("http://shop.example/", "http://stars:8000/")
"""Its load asks the stars themselves."""
FAILING = FAILING.replace("rate: 60,", "from: page, rate: 60,")


@dataclass(frozen=True)
class Ran:
    """``text`` is all that pytest said."""

    code: int
    text: str

    def outcomes(self) -> str:
        """``1 failed, 2 passed`` of the last line."""
        found = re.findall(r"=* ?((?:\d+ \w+(?:, )?)+) in ", self.text)
        return str(found[-1]) if found else ""


@dataclass
class Project:
    shop: Stage

    @property
    def folder(self) -> Path:
        return self.shop.folder

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]

    def pytest(self, *arguments: str, where: str = ".", environment: dict[str, str] | None = None) -> Ran:
        """Once more where the machine was too busy for any verdict, as the run itself said; what it left is dropped."""
        before = set(self.folder.rglob("result.json"))
        ran = self._pytest(arguments, where, environment or {})
        if STRAINED not in ran.text:
            return ran
        for result in set(self.folder.rglob("result.json")) - before:
            shutil.rmtree(result.parent)
        return self._pytest(arguments, where, environment or {})

    def _pytest(self, arguments: Sequence[str], where: str, environment: Mapping[str, str]) -> Ran:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder / where,
            env={**self.shop.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        text = done.stdout + done.stderr
        print(text)
        assert "INTERNALERROR" not in text
        return Ran(done.returncode, text)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        output = self.folder / "out.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                self.command(*arguments), cwd=self.folder, env=self.shop.environment, stdout=file, stderr=file
            )
        try:
            yield process, output
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(60)


@contextmanager
def project(*, kept_up: bool = False) -> Iterator[Project]:
    with stage() as shop, _keep(shop) if kept_up else contextlib.nullcontext():
        shop.environment.pop("PYTEST_ADDOPTS", None)
        (shop.folder / SHORT).unlink()
        yield Project(shop)


_keep = kept_up
