"""One truth, run again and again on a mesh of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.e2e.stage import Stage, kept_up, stage
from tests.e2e.truths import FILE, Truth
from tests.run.prometheus_server import prometheus, scraped
from tests.run.shop import CONFIG, wait_for

KEPT = Path(__file__).resolve().parents[2] / "reports"
"""Where the folders of runs that were not judged right go."""


@dataclass(frozen=True)
class Outcome:
    """``judged``: whether the verdict was the truth, the reverse, or neither (INCONCLUSIVE, INVALID, ERROR, or a FAIL
    of something else).
    """

    truth: Truth
    seed: int
    judged: Literal["right", "wrong", "other"]
    reason: str


def repeat(truth: Truth, seeds: Sequence[int], told: Callable[[int, Outcome], None]) -> list[Outcome]:
    """A run for each seed. ``told`` after each, with its number from 1."""
    found: list[Outcome] = []
    with stage() as made:
        truth.set_up(made)
        with _mesh(made, truth):
            for number, seed in enumerate(seeds, start=1):
                if truth.resets and number > 1:
                    truth.forget(made)
                outcome = _run(made, truth, seed)
                told(number, outcome)
                found.append(outcome)
    return found


@contextmanager
def _mesh(made: Stage, truth: Truth) -> Iterator[None]:
    with kept_up(made):
        if not truth.asks:
            yield
            return
        with prometheus(made.folder) as port:
            made.edit_config(CONFIG, f'{CONFIG}    prometheus: {{url: "http://127.0.0.1:{port}"}}\n')
            wait_for(lambda: scraped(port, proxies=4), "all proxies are scraped")
            yield


def _run(made: Stage, truth: Truth, seed: int) -> Outcome:
    path = made.folder / "result.json"
    path.unlink(missing_ok=True)
    done = made.command("run", FILE, "--seed", str(seed), "--json", path.name)
    if not path.exists():
        return Outcome(truth, seed, "other", f"no result: {(done.stdout + done.stderr).strip()[-300:]}")
    runs = json.loads(path.read_text("utf-8"))["runs"]
    if not runs:
        return Outcome(truth, seed, "other", f"no run: {(done.stdout + done.stderr).strip()[-300:]}")
    (one,) = runs
    judged = _judged(truth, one)
    if judged != "right":
        _keep(made, one)
    return Outcome(truth, seed, judged, f"{one['verdict']}: {one['reason']}")


def _judged(truth: Truth, result: dict[str, Any]) -> Literal["right", "wrong", "other"]:
    verdict, about = result["verdict"], [one for one in result["expectations"] if one["kind"] == truth.kind]
    if truth.holds:
        return {"PASS": "right", "FAIL": "wrong"}.get(verdict, "other")  # type: ignore[return-value]
    if verdict == "FAIL" and any(one["verdict"] == "FAIL" for one in about):
        return "right"
    return "wrong" if verdict == "PASS" or all(one["verdict"] == "PASS" for one in about) else "other"


def _keep(made: Stage, result: dict[str, Any]) -> None:
    for folder in (made.folder / "reports").glob(f"*-{result['runId']}"):
        shutil.copytree(folder, KEPT / f"proof-{folder.name}", dirs_exist_ok=True)
