"""Two runs side by side: what each expectation came to in both, and what else differs. Nothing is judged anew."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meshchaos.checks.kind import Finding
from meshchaos.report import view
from meshchaos.run.result import Result


@dataclass(frozen=True, slots=True)
class Pair:
    """One expectation by its name; None: that run has none of the name."""

    name: str
    first: Finding | None
    second: Finding | None

    @property
    def told(self) -> str:
        """What became of it, in words. Only bounds that lie apart show a difference."""
        if self.first is None or self.second is None:
            return "only in the second" if self.first is None else "only in the first"
        changed = (
            "" if self.first.verdict is self.second.verdict else f"{self.first.verdict} became {self.second.verdict}"
        )
        return "; ".join(part for part in (changed, _apart(self.first, self.second)) if part) or "the same verdict"


def pairs(first: Result, second: Result) -> list[Pair]:
    """In the order of the first's file, then what only the second has."""
    by_name = [{one.name: one for one in result.findings} for result in (first, second)]
    return [Pair(name, by_name[0].get(name), by_name[1].get(name)) for name in {**by_name[0], **by_name[1]}]


def cell(finding: Finding | None) -> str:
    """``FAIL 2.03 s (2.02 s – 2.04 s), n 783``; empty for None."""
    if finding is None:
        return ""
    (row,) = view.expectation_rows([finding])
    bounds = f" ({row['interval']})" if row["interval"] else ""
    return f"{row['verdict']} {row['estimate']}{bounds}, n {row['n']}"


def differences(first: Result, second: Result) -> list[tuple[str, str, str]]:
    """(what, in the first, in the second) of what the runs were made with, where it is not the same."""
    sides = [
        {
            "experiment": result.experiment,
            "file": result.source,
            "mesh": result.mesh,
            "seed": str(result.seed),
            "overrides": ", ".join(f"{path}={value}" for _, path, value in result.overrides) or "none",
            **{f"version of {name}": version for name, version in result.versions.items()},
        }
        for result in (first, second)
    ]
    keys = dict.fromkeys((*sides[0], *sides[1]))
    found = [(key, sides[0].get(key, "none"), sides[1].get(key, "none")) for key in keys]
    return [row for row in found if row[1] != row[2]]


def document_diff(first: Path, second: Path) -> str:
    """Unified diff of the experiments as they were run; empty where they are the same."""
    one, other = (path.read_text("utf-8").splitlines() if path.exists() else [] for path in (first, second))
    return "\n".join(difflib.unified_diff(one, other, "the first", "the second", lineterm=""))


def table(first: Result, second: Result) -> str:
    """For a terminal."""
    from tabulate import tabulate

    rows = [[pair.name, cell(pair.first), cell(pair.second), pair.told] for pair in pairs(first, second)]
    heads = [f"{result.experiment} {result.run_id}: {result.verdict}" for result in (first, second)]
    return tabulate(rows, headers=["expectation", *heads, ""], disable_numparse=True)


def _apart(first: Finding, second: Finding) -> str:
    if first.unit != second.unit or first.interval is None or second.interval is None:
        return ""
    (low, high), (low2, high2) = _ends(first.interval), _ends(second.interval)
    if high < low2:
        return "higher: the bounds lie apart"
    return "lower: the bounds lie apart" if high2 < low else "no difference shown: the bounds overlap"


def _ends(interval: Sequence[float | None]) -> tuple[float, float]:
    low, high = interval
    return (float("-inf") if low is None else low, float("inf") if high is None else high)
