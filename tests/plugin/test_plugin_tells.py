"""What each item comes to by a run's result.json, and what workers do once; without any mesh."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from meshchaos.report.items import failure_text, outcome
from pytest_meshchaos.sharing import once


def finding(name: str, verdict: str) -> dict[str, Any]:
    return {
        "name": name,
        "verdict": verdict,
        "reason": f"{name} was {verdict}",
        "line": 2,
        "threshold": 0.99,
        "estimate": 0.5,
        "n": 1200,
        "unit": "share",
        "censoredAt": None,
    }


def result(verdict: str, *expectations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "reason": f"the run was {verdict}",
        "expectations": list(expectations),
        "faults": [],
        "steadyState": [],
        "stopIf": None,
        "leftovers": [],
        "folder": "/out",
        **more,
    }


@pytest.mark.parametrize(
    ("run", "verdicts"),
    [
        (result("PASS", finding("a", "PASS"), finding("b", "PASS")), ("PASS", "PASS", "PASS", "PASS")),
        (result("FAIL", finding("a", "FAIL"), finding("b", "PASS")), ("PASS", "FAIL", "PASS", "PASS")),
        (
            result("INCONCLUSIVE", finding("a", "INCONCLUSIVE"), finding("b", "PASS")),
            ("PASS", "INCONCLUSIVE", "PASS", "PASS"),
        ),
        (result("INVALID", finding("a", "PASS"), finding("b", "FAIL")), ("INVALID", "INVALID", "INVALID", "PASS")),
        (result("ERROR", finding("a", "PASS"), finding("b", "INVALID")), ("ERROR", "ERROR", "INVALID", "PASS")),
        (result("ERROR", finding("a", "PASS"), leftovers=["x"]), ("ERROR", "ERROR", "ERROR", "ERROR")),
        (result("FAIL", finding("a", "PASS"), stopIf=finding("stopIf", "FAIL")), ("FAIL", "PASS", "ERROR", "PASS")),
        (result("FAIL", finding("a", "PASS")), ("FAIL", "PASS", "ERROR", "PASS")),
    ],
    ids=["pass", "fail", "inconclusive", "invalid", "error", "leftovers", "stopIf", "whatever else"],
)
def test_verdicts(run: dict[str, Any], verdicts: tuple[str, ...]) -> None:
    """Of ``run``, two expectations (one that was not judged is an ERROR) and ``heal``."""
    items = [("run", False), ("a", True), ("b", True), ("heal", False)]
    assert tuple(outcome(name, expectation, run).verdict for name, expectation in items) == verdicts


def test_a_failure_reads(tmp_path: Path) -> None:
    file = tmp_path / "x.chaos.yaml"
    file.write_text("expect:\n  - success: 99%\n", "utf-8")
    run = result("FAIL", finding("success", "FAIL"), leftovers=["DestinationRule a: changed"])
    assert failure_text(str(file), outcome("success", True, {**run, "leftovers": []}), run).splitlines() == [
        "FAIL: success: success was FAIL",
        f"{file}:2: FAIL success: success was FAIL",
        "    > - success: 99%",
        "    expected: at least 99 %",
        "    observed: 50 % of n = 1,200",
        "left behind: DestinationRule a: changed",
        "report: /out/report.html",
    ]


def _ask(folder: Path, barrier: Any) -> None:
    def do() -> dict[str, Any]:
        with (folder / "done").open("a") as file:
            file.write("x")
        return {"by": "one"}

    barrier.wait(30)
    assert once(folder / "shared", "key", do) == {"by": "one"}


def test_once_for_all_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    workers = [context.Process(target=_ask, args=(tmp_path, barrier)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert (tmp_path / "done").read_text("utf-8") == "x"


def test_what_raised_is_done_again(tmp_path: Path) -> None:
    def broken() -> dict[str, Any]:
        raise RuntimeError("first")

    with pytest.raises(RuntimeError, match="first"):
        once(tmp_path, "key", broken)
    assert once(tmp_path, "key", lambda: {"by": "two"}) == {"by": "two"}
    assert once(tmp_path, "other", lambda: {"by": "three"}) == {"by": "three"}
