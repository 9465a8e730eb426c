"""The crash contract: killed by SIGKILL after any of its calls, under every kind of fault, and healed to the byte.

What kills a run is the API server: when it has carried out the call in question and has not answered it yet. By default
that is every call that writes, and every call at all of one run; ``MESHCHAOS_EVERY_CALL=1``: every call of every run
(two minutes).
"""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_runner
import pytest
from fake_api import Asked, Failure, FakeApi, fake_api, nobody
from fake_shop import TOGETHER, experiment, open_shop, state

from meshchaos.errors import CannotPlace, UserError
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.spec import ClusterSpec
from meshchaos.mesh.kubernetes.watchdog import watch
from meshchaos.run.catalog import load_kinds
from meshchaos.run.healing import heal

ROOT = Path(__file__).parents[3]
EVERY = os.environ.get("MESHCHAOS_EVERY_CALL") == "1"
ALL_CALLS_OF = "partition"


class Runners:
    """A process that forks runners (``fake_runner.serve``)."""

    def __init__(self) -> None:
        paths = [str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, str(Path(fake_runner.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )

    def begin(self, file: Path, config: Path, folder: Path) -> int:
        """Its process number; it does nothing yet."""
        self._say(json.dumps({"file": str(file), "config": str(config), "folder": str(folder)}))
        return int(self._hear())

    def end(self) -> int:
        """Lets it go, and waits for its exit code, or minus the signal that ended it."""
        self._say("go")
        return int(self._hear())

    def close(self) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(20)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Shop:
    """A server with the shop in it, and how it was at first."""

    def __init__(self, api: FakeApi, folder: Path, runners: Runners) -> None:
        self.api = api
        self.folder = folder
        self.config = open_shop(api, folder)
        self.before = state(api)
        self._first = copy.deepcopy(api.objects)
        self._runners = runners
        self._made = 0

    def killed(self, file: Path, when: Callable[[Asked], bool]) -> tuple[int, list[Asked]]:
        """A run that is killed at the first call for which ``when`` holds; how it ended, and what it had asked."""
        self._made += 1
        folder = self.folder / f"run-{self._made}"
        folder.mkdir()
        self.api.objects = copy.deepcopy(self._first)
        self.api.requests.clear()
        seen: list[Asked] = []
        pid = self._runners.begin(file, self.config, folder)

        def behind(asked: Asked) -> None:
            seen.append(asked)
            if when(asked):
                os.kill(pid, signal.SIGKILL)

        self.api.behind = behind
        try:
            return self._runners.end(), seen
        finally:
            self.api.behind = nobody

    def healed_by_hand(self) -> None:
        done = heal(mesh="real", config=self.config, force=False)
        assert done.exit_code == 0, done.lines
        assert state(self.api) == self.before

    def healed_by_nobodys_hand(self) -> None:
        """By what the healer does in a process of its own, once it sees that the runner is gone."""
        said: list[str] = []
        spec = ClusterSpec("real", "fake", ("shop",), self.folder / "kubeconfig")
        with KubernetesMesh.open(spec, self.folder, guarded=False) as mesh:
            held = mesh.journal.expires(fake_runner.RUN_ID) is not None
            assert watch(
                mesh,
                fake_runner.RUN_ID,
                lambda: mesh.journal.expires(fake_runner.RUN_ID),
                lambda seconds: True,
                said.append,
            ), said
        assert held == bool(said)
        assert state(self.api) == self.before


@pytest.fixture(scope="module")
def runners() -> Iterator[Runners]:
    made = Runners()
    yield made
    made.close()


@pytest.fixture
def shop(runners: Runners, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr("meshchaos.mesh.kubernetes.running.Looking", fake_runner.Blind)
    with fake_api() as api:
        yield Shop(api, tmp_path, runners)


def test_every_kind_of_ours_is_among_them() -> None:
    tried = {fault.partition(":")[0] for faults in TOGETHER.values() for fault in faults}
    of_a_control_plane_of_ours = {"certificate", "controlPlane"}
    assert tried == set(load_kinds().vocabulary.faults) - of_a_control_plane_of_ours


@pytest.mark.parametrize("fault", ["certificate: {workload: stars}", "controlPlane: {workload: stars}"])
def test_those_that_are_not_of_a_cluster_are_refused(shop: Shop, fault: str) -> None:
    with pytest.raises(UserError, match="in a local mesh only") as caught:
        fake_runner.run(experiment(shop.folder, "not-here", fault), shop.config, shop.folder)
    assert isinstance(caught.value.__cause__, CannotPlace)
    assert state(shop.api) == shop.before


@pytest.mark.parametrize("name", TOGETHER)
def test_killed_after_any_call_and_healed_to_the_byte(shop: Shop, name: str) -> None:
    file = experiment(shop.folder, name, *TOGETHER[name])
    code, calls = shop.killed(file, lambda asked: False)
    assert code == 0
    assert state(shop.api) == shop.before
    writes = sum(one.writes for one in calls)
    assert writes > 10
    if EVERY or name == ALL_CALLS_OF:
        points: list[Callable[[Asked], bool]] = [_at_call(number) for number in range(1, len(calls) + 1)]
    else:
        points = [_at_write(number) for number in range(1, writes + 1)]
    healed: set[str] = set()
    touched = killed = 0
    for point in points:
        code, calls = shop.killed(file, point)
        if code == 0:  # how often it looks at things goes by time too, so it may have been through already
            assert state(shop.api) == shop.before
            continue
        assert code == -signal.SIGKILL
        killed += 1
        touched += state(shop.api) != shop.before
        found = _but_for_who_and_when(state(shop.api))
        if found in healed:
            continue  # another read: the server is as it was after the call before
        healed.add(found)
        left = copy.deepcopy(shop.api.objects)
        shop.healed_by_hand()
        shop.api.objects = left
        shop.healed_by_nobodys_hand()
    assert touched > 10
    assert killed > 0.8 * len(points)


def _but_for_who_and_when(found: dict[str, Any]) -> str:
    return re.sub(r'process [^"]*|[0-9]+\.[0-9]{3,}|[0-9-]+T[0-9:.]+Z', "", json.dumps(found))


def test_a_heal_that_fails_anywhere_is_done_by_the_next(shop: Shop) -> None:
    name = "client"
    file = experiment(shop.folder, name, *TOGETHER[name])
    shop.killed(file, lambda asked: asked.path.endswith("deployments/stars") and asked.writes)
    left = copy.deepcopy(shop.api.objects)
    refused = 0
    while True:
        shop.api.objects = copy.deepcopy(left)
        point = _at_write(refused + 1)
        failing = False

        def ahead(asked: Asked, point: Callable[[Asked], bool] = point) -> Failure | None:
            nonlocal failing
            failing = failing or point(asked)
            return Failure("", 403, 1, reason="Forbidden") if failing and asked.writes else None

        shop.api.ahead = ahead
        done = heal(mesh="real", config=shop.config, force=False)
        shop.api.ahead = nobody
        if not failing:
            break
        refused += 1
        assert done.exit_code in (4, 5), done.lines
        assert "may not do this (403)" in done.lines[0]
        shop.healed_by_hand()
    assert refused > 8


def _at_call(number: int) -> Callable[[Asked], bool]:
    return lambda asked: asked.number == number


def _at_write(number: int) -> Callable[[Asked], bool]:
    count = 0

    def when(asked: Asked) -> bool:
        nonlocal count
        count += asked.writes
        return asked.writes and count == number

    return when
