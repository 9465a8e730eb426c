"""The node's programs, each with a file that says which process it is, so that nothing else is ever ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.cluster.node.layout import KUBECONFIG, LOGS, NETNS, RUN, path

_PIDS: Final = RUN / "pid"
_LOOK: Final = 0.2


class NotUp(Exception):
    """A part of the cluster did not come up; the text says which, and the end of its log."""


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": path(), "KUBECONFIG": str(KUBECONFIG)}


def start(name: str, *command: str) -> None:
    """In the node's network namespace. One that runs is left alone. A log from before is kept."""
    if running(name):
        return
    _PIDS.mkdir(parents=True, exist_ok=True)
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{NETNS}", *command],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (_PIDS / name).write_text(f"{process.pid} {_begun(process.pid)}", "utf-8")


def running(name: str) -> bool:
    return _process(name) is not None


def stop(name: str, how: signal.Signals = signal.SIGTERM) -> None:
    """Ends the process that ``start`` noted, and no other that has its number since."""
    pid = _process(name)
    if pid is not None:
        os.kill(pid, how)
        end = time.monotonic() + 10
        while _process(name) is not None:
            if time.monotonic() >= end:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
    (_PIDS / name).unlink(missing_ok=True)


def run(*command: str, input: str | None = None, timeout: float = 300) -> str:
    """Of the machine's, or one of the node's. Its output. Raises NotUp with what it said."""
    done = subprocess.run(
        command, env=environment(), input=input, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode != 0:
        raise NotUp(f"{' '.join(command)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def kubectl(*words: str, input: str | None = None, timeout: float = 300) -> str:
    """Raises NotUp."""
    return run("kubectl", *words, input=input, timeout=timeout)


def succeeds(*command: str) -> bool:
    """Whether a command does within 10 s."""
    try:
        return subprocess.run(command, env=environment(), capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def until(condition: Callable[[], bool], what: str, seconds: float, *logs: str) -> None:
    """Raises NotUp with the ends of ``logs``."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            tails = "".join(f"\n{name}: ...{_tail(LOGS / f'{name}.log')}" for name in logs)
            raise NotUp(f"not within {seconds:g} s: {what}{tails}")
        time.sleep(_LOOK)


def written(file: Path, text: str) -> Path:
    """A configuration; one that says the same already is not touched: programs watch theirs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists() or file.read_text("utf-8") != text:
        file.write_text(text, "utf-8")
    return file


def options(of: Mapping[str, object]) -> Sequence[str]:
    """``--name=value`` of each."""
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in of.items()]


def _process(name: str) -> int | None:
    noted = _PIDS / name
    if not noted.exists():
        return None
    pid, _, begun = noted.read_text("utf-8").partition(" ")
    return int(pid) if begun and _begun(int(pid)) == begun else None


def _begun(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty for one that ended, zombies with them (proc(5), stat)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _tail(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-800:].strip() if log.exists() else "nothing was logged"
