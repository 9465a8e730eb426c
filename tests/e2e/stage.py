"""A page, two replicas of stars behind it and a gateway, on real Envoys; and the command as a process, as a user has
it: what it says, what it exits with, and what is left of it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.run.shop import CONFIG, MANIFESTS, Running, Shop, wait_for

STARS = "metadata: {name: stars, namespace: shop}\nspec:\n  selector: {matchLabels"

EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: no-stars, labels: {tier: web}}
spec:
  hypothesis: The page is there without its stars.
  load: {target: "http://shop.example/", rate: 60, arrivals: uniform, timeout: 3s}
  phases: {warmup: 500ms, baseline: 1s, fault: 1500ms, recovery: 1s}
  faults:
    - abort: {to: stars, httpStatus: 503}
  expect:
    - success: 90%
"""
FILE = "no-stars.chaos.yaml"
SHORT = "short.chaos.yaml"
"""The same with phases that say nothing, for runs that are cut."""
PHASES = ("baseline", "fault", "recovery")
CLUSTERED = "came in clusters"
"""Why a run was not judged whose failures looked dependent."""
STRAINED = "got no CPU"
"""Of a stub, on a machine that is too busy for any verdict."""


class Stage(Shop):
    """One working folder. ``text`` is all that one command said."""

    def __post_init__(self) -> None:
        super().__post_init__()
        two = STARS.replace("spec:\n", "spec:\n  replicas: 2\n")
        assert MANIFESTS.count(STARS) == 1
        self.manifests = MANIFESTS.replace(STARS, two)
        (self.folder / "shop.yaml").write_text(self.manifests, "utf-8")
        self.write(EXPERIMENT)
        phases = "{warmup: 100ms, baseline: 400ms, fault: 400ms, recovery: 400ms}"
        self.write(EXPERIMENT.replace("{warmup: 500ms, baseline: 1s, fault: 1500ms, recovery: 1s}", phases), SHORT)

    def one_replica_of_stars(self) -> None:
        """Instead of the two."""
        self.manifests = MANIFESTS
        (self.folder / "shop.yaml").write_text(self.manifests, "utf-8")

    def edit_config(self, old: str, new: str) -> None:
        assert CONFIG.count(old) == 1
        (self.folder / "meshchaos.yaml").write_text(CONFIG.replace(old, new), "utf-8")

    def add_objects(self, text: str) -> None:
        (self.folder / "shop.yaml").write_text(f"{self.manifests}\n---\n{text}", "utf-8")

    def fails(self, code: int, *arguments: str, environment: dict[str, str] | None = None) -> str:
        """Runs a command that must end with ``code``, without a traceback; what it said on stderr."""
        before, self.environment = self.environment, {**self.environment, **(environment or {})}
        try:
            done = self.command(*arguments)
        finally:
            self.environment = before
        return self._ended(code, arguments, done)

    @staticmethod
    def _ended(code: int, arguments: Sequence[str], done: subprocess.CompletedProcess[str]) -> str:
        said = done.stdout + done.stderr
        print(f"$ meshchaos {' '.join(arguments)}\n{said}[exit {done.returncode}]")
        assert done.returncode == code, said
        assert "Traceback" not in said, said
        return done.stderr

    def judges(self, code: int, *arguments: str) -> str:
        """The same for a run under a fault that is drawn request by request: once more where independent failures
        looked clustered, as one stream in a hundred does by the test's own level. Such a run is not judged; a wrong
        verdict is never forgiven.
        """
        done = self.command(*arguments)
        if done.returncode in {3, code} and CLUSTERED in done.stdout + done.stderr:
            print(done.stdout + done.stderr)
            return self.fails(code, *arguments)
        return self._ended(code, arguments, done)

    def one_line(self, code: int, *arguments: str, environment: dict[str, str] | None = None) -> str:
        """The same where all that is said on stderr is one line of the command's."""
        error = self.fails(code, *arguments, environment=environment)
        lines = error.splitlines()
        assert len(lines) == 1, error
        assert lines[0].startswith("meshchaos: "), error
        return lines[0]

    def newest_folder(self) -> Path:
        """Where the last run left its result."""
        paths = (self.folder / "reports").glob("*/result.json")
        return max(paths, key=lambda path: path.stat().st_mtime_ns).parent

    def newest(self) -> dict[str, Any]:
        """The result of the last run."""
        data: dict[str, Any] = json.loads((self.newest_folder() / "result.json").read_text("utf-8"))
        return data

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder."""
        data: dict[str, Any] = json.loads((self.folder / name).read_text("utf-8"))
        return data

    def read_list(self, name: str) -> list[Any]:
        """The same that holds a list."""
        data: list[Any] = json.loads((self.folder / name).read_text("utf-8"))
        return data

    def nothing_left(self) -> None:
        """No process, no folder of a mesh, nothing to heal."""
        wait_for(lambda: not self.processes(), "no process is left", 30)
        while (healed := self.command("heal")).stdout != "nothing to heal\n":
            print(healed.stdout)
            assert healed.returncode == 0, healed.stdout + healed.stderr
            assert "its mesh is gone, and everything it changed with it" in healed.stdout
        private = self.folder / "r" / "meshchaos"
        assert not private.exists() or list(private.iterdir()) == []

    def pids_of(self, *words: str) -> list[int]:
        """Of all processes of this stage whose command line has these words."""
        marker = f"XDG_RUNTIME_DIR={self.folder / 'r'}".encode()
        found = []
        for proc in Path("/proc").iterdir():
            if not proc.name.isdigit():
                continue
            try:
                line = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if all(word in line for word in words) and marker in (proc / "environ").read_bytes().split(b"\0"):
                    found.append(int(proc.name))
            except OSError:
                continue  # it ended meanwhile
        return sorted(found)

    def writing(self, *words: str) -> list[int]:
        """Processes of this stage whose standard output goes to a file with these words in its path: Envoys write
        ``<replica>/envoy.log``, programs ``<replica>/app.log``.
        """
        found = []
        for pid in self.pids_of():
            try:
                target = str(Path(f"/proc/{pid}/fd/1").readlink())
            except OSError:
                continue
            if all(word in target for word in words):
                found.append(pid)
        return found

    def on_mesh(self, code: str) -> None:
        """Somebody else's Python on the mesh that runs: ``mesh`` is a ``LocalMesh`` of the manager kubectl-edit."""
        head = (
            "from meshchaos.mesh.local import starting\n"
            "from meshchaos.mesh.local.client import LocalMesh\n"
            "from meshchaos.mesh.objects import Ref\n"
            "mesh = LocalMesh.attach(starting.status()[0], manager='kubectl-edit')\n"
        )
        command = [sys.executable, "-c", head + code]
        subprocess.run(command, env=self.environment, cwd=self.folder, check=True, timeout=60)

    def supervisor(self) -> int:
        """The process that serves the mesh: the guard's only child."""
        pids = self.pids_of("meshchaos.mesh.local.supervisor")
        (guard,) = [pid for pid in pids if parent_of(pid) not in pids]
        (child,) = [pid for pid in pids if parent_of(pid) == guard]
        return child

    def close(self) -> None:
        """Whatever a failed test left running, by the pids of this stage."""
        for pid in self.pids_of():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@contextmanager
def stage() -> Iterator[Stage]:
    """In a folder with a short path: sockets allow 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="mc-"))
    made = Stage(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def kept_up(made: Stage) -> Iterator[Stage]:
    """The stage with its mesh running between runs."""
    up = made.command("mesh", "up")
    assert up.returncode == 0, up.stderr
    try:
        yield made
    finally:
        made.command("mesh", "down", "--all")


def parent_of(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    return int(text[text.rfind(")") + 2 :].split()[1])


def long(phase: str) -> tuple[str, ...]:
    """Options that make one phase last until it is cut."""
    return ("--set", f"spec.phases.{phase}=60s")


@contextmanager
def in_each_phase() -> Iterator[dict[str, tuple[Stage, Running]]]:
    """Three runs at once, each on a mesh of its own, each in another phase."""
    with ExitStack() as stack:
        stages = {phase: stack.enter_context(stage()) for phase in PHASES}
        runs = {phase: stack.enter_context(one.running("run", SHORT, *long(phase))) for phase, one in stages.items()}
        for phase, run in runs.items():
            run.until_said(f"{phase} for 60 s")
        yield {phase: (stages[phase], runs[phase]) for phase in PHASES}


def said(run: Running) -> str:
    """All that a run said; no traceback in it."""
    text = run.output.read_text("utf-8")
    print(text)
    assert "Traceback" not in text, text
    return text


def lines_with(text: str, *words: str) -> list[str]:
    return [line for line in text.splitlines() if all(word in line for word in words)]


def stuck(pid: int) -> bool:
    """Whether a process has done nothing for half a second: it waits for an answer."""
    return _switches(pid) == (time.sleep(0.5), _switches(pid))[1]


def _switches(pid: int) -> list[str]:
    return lines_with(Path(f"/proc/{pid}/status").read_text("utf-8"), "ctxt_switches")
