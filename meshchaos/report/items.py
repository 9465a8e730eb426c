"""What JUnit, pytest and annotations call the items of a run: ``run``, each expectation, and ``heal``; each with its
verdict, told from ``result.json``, which is all that a worker of pytest's has that did not run it itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from meshchaos.checks import words
from meshchaos.report.view import value

RUN = "run"
HEAL = "heal"
NOT_JUDGED = ("INVALID", "ERROR")
_BOUNDS = {"share": "at least ", "": ""}
"""Shares have a least, all other units a most; a bare number, as a query answers, may have either."""


class Outcome(NamedTuple):
    """One item's verdict, and why in a line; ``findings``: what is shown beneath it."""

    verdict: str
    reason: str
    findings: Sequence[Mapping[str, Any]] = ()


def items_of(result: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Each by its name, and whether it is an expectation; in the order of pytest."""
    yield RUN, False
    for finding in result["expectations"]:
        yield finding["name"], True
    yield HEAL, False


def outcome(item: str, expectation: bool, result: Mapping[str, Any]) -> Outcome:
    """Of ``run``, ``heal`` or an expectation. None of a run that is INVALID or ERROR can pass, but ``heal``."""
    verdict, reason = result["verdict"], result["reason"]
    if expectation:
        found = next((one for one in result["expectations"] if one["name"] == item), None)
        if found is None:
            return Outcome("ERROR", f"{item} was not judged: {verdict}: {reason}")
        if verdict in NOT_JUDGED and found["verdict"] not in NOT_JUDGED:
            return Outcome(verdict, reason, [found])
        return Outcome(found["verdict"], f"{item}: {found['reason']}", [found])
    if item == HEAL:
        left = result["leftovers"]
        return Outcome("ERROR", f"could not put back: {left[0]}") if left else Outcome("PASS", "everything is put back")
    broken = [_proof(fault) for fault in result["faults"] if fault["proof"]["verdict"] not in ("PASS", None)]
    broken += [one for one in result["steadyState"] if one["verdict"] != "PASS"]
    if verdict in NOT_JUDGED:
        return Outcome(verdict, reason, broken)
    stopped = result["stopIf"]
    if stopped is not None and stopped["verdict"] != "PASS":
        return Outcome(stopped["verdict"], f"{stopped['name']}: {stopped['reason']}", [stopped])
    if verdict != "PASS" and all(one["verdict"] == "PASS" for one in result["expectations"]):
        return Outcome(verdict, reason, broken)
    return Outcome("PASS", "it tested what it claims to")


def failure_text(source: str, told: Outcome, result: Mapping[str, Any]) -> str:
    """The verdict, then what did not hold with its place, its source line, expected and observed."""
    lines = [f"{told.verdict}: {told.reason}"]
    text = _source(Path(source))
    for finding in told.findings:
        lines += _finding(source, finding, text)
    lines += [f"left behind: {item}" for item in result["leftovers"]]
    lines.append(f"report: {Path(result['folder']) / 'report.html'}")
    return "\n".join(lines)


def _finding(source: str, finding: Mapping[str, Any], text: Sequence[str]) -> Iterator[str]:
    line = finding["line"]
    place = f"{source}:{line}" if line else source
    yield f"{place}: {finding['verdict']} {finding['name']}: {finding['reason']}"
    if 0 < line <= len(text):
        yield f"    > {text[line - 1].strip()}"
    if finding["threshold"] is not None:
        bound = _BOUNDS.get(finding["unit"], "at most ")
        yield f"    expected: {bound}{_value(finding['threshold'], finding)}"
        yield f"    observed: {_value(finding['estimate'], finding)} of n = {words.count(finding['n'])}"


def _proof(fault: Mapping[str, Any]) -> Mapping[str, Any]:
    proof = fault["proof"]
    return {
        "name": f"{fault['kind']} {fault['edge']}",
        "verdict": proof["verdict"],
        "reason": proof["reason"],
        "line": 0,
        "threshold": None,
    }


def _value(number: float | None, finding: Mapping[str, Any]) -> str:
    if number is None:
        censored = finding["censoredAt"]
        return f"more than {words.seconds(censored)}" if censored is not None else "nothing"
    return value(number, finding["unit"])


def _source(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except OSError:
        return []
