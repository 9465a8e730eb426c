"""What the workers of pytest-xdist do once for all of them, or one at a time: locks on files of the test run's own.

A lock goes with its process (flock(2)), so that a worker that is killed holds up nobody. Without xdist there is nobody
to share with, and nothing is written.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def shared_folder(config: pytest.Config, output: Path) -> Path | None:
    """The test run's own folder in ``output``; None in a process that is no worker."""
    given: dict[str, Any] | None = getattr(config, "workerinput", None)
    return _folder(output, str(given["testrunuid"])) if given is not None else None


def forget(config: pytest.Config, output: Path) -> None:
    """Removes that folder, at the end, in the process that the workers work for."""
    distributing = config.pluginmanager.get_plugin("dsession")
    manager = getattr(distributing, "nodemanager", None)
    if manager is not None:
        shutil.rmtree(_folder(output, str(manager.testrunuid)), ignore_errors=True)


def once(folder: Path | None, key: str, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``do`` answered to the first who asked (JSON data); whoever asks meanwhile waits. Where it raised, nothing
    is kept, and the next one does it again.
    """
    if folder is None:
        return do()
    with alone(folder, key):
        answer = folder / f"{name_of(key)}.json"
        if answer.exists():
            found: dict[str, Any] = json.loads(answer.read_text("utf-8"))
            return found
        found = do()
        put(answer, json.dumps(found))
        return found


@contextmanager
def alone(folder: Path | None, key: str) -> Iterator[None]:
    """No other worker is inside with the same ``key``."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name_of(key)}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def put(path: Path, text: str) -> None:
    """Whole or not at all."""
    scratch = path.with_suffix(".tmp")
    scratch.write_text(text, "utf-8")
    scratch.replace(path)


def name_of(key: str) -> str:
    """Of the files for a key."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _folder(output: Path, run: str) -> Path:
    return output / f".pytest-{run}"
