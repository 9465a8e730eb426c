"""A whole, honest run for each value, on a mesh that stays up, and what was found: ``limit.json``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meshchaos.checks import words
from meshchaos.checks.kind import Verdict
from meshchaos.errors import UserError
from meshchaos.experiment.model import Experiment
from meshchaos.run.catalog import Catalog
from meshchaos.run.folder import make_folder, new_run_id
from meshchaos.run.limit import search
from meshchaos.run.limit.axis import Axis, axis_of
from meshchaos.run.outcome import (
    EXIT_ERROR,
    EXIT_FAIL,
    EXIT_INTERRUPTED,
    EXIT_LEFTOVER,
    EXIT_PASS,
    EXIT_UNDECIDED,
)
from meshchaos.run.plan import make_checks
from meshchaos.run.result import SCHEMA_VERSION, Result, write_json
from meshchaos.run.suite import Suite

FILE: Final = "limit.json"
_ENDS = (EXIT_LEFTOVER, EXIT_INTERRUPTED, EXIT_ERROR)
"""Exit codes of a run after which no other is begun."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One point: the value, in the axis' unit, and the run with it."""

    value: float
    result: Result


@dataclass(frozen=True, slots=True)
class Limit:
    """``tried`` in the order they were run. ``folder`` holds ``limit.json`` and ``limit.html``."""

    experiment: str
    axis: Axis
    tried: tuple[Tried, ...]
    runs: int
    folder: Path

    @property
    def points(self) -> tuple[Tried, ...]:
        """From the smallest value to the largest."""
        return tuple(sorted(self.tried, key=lambda one: one.value))

    @property
    def bracket(self) -> search.Bracket:
        return search.bracket(_points(self.tried))

    @property
    def exit_code(self) -> int:
        """That of a run that broke or left something; else 0 where some value PASSed, 1 where the smallest FAILed
        and none below it PASSed, 3 where nothing is known.
        """
        if self.tried and self.tried[-1].result.exit_code in _ENDS:
            return self.tried[-1].result.exit_code
        found = self.bracket
        if found.passed is not None:
            return EXIT_PASS
        return EXIT_UNDECIDED if found.failed is None else EXIT_FAIL

    @property
    def reason(self) -> str:
        """The answer in one sentence."""
        found, axis = self.bracket, self.axis
        holds = "nothing" if found.passed is None else axis.written(found.passed)
        if self.tried and self.tried[-1].result.exit_code in _ENDS:
            start = f"the search ended at {axis.written(self.tried[-1].value)}: {self.tried[-1].result.reason}; "
        else:
            start = ""
        if found.passed is not None and found.failed is not None:
            text = f"passes up to {holds}, FAILs from {axis.written(found.failed)} on"
        elif found.passed is not None:
            text = f"passes up to {holds}, and no value FAILed: the limit lies higher, or was not decided"
            if found.passed == axis.high:
                text = f"passes up to {holds}, the end of the range: the limit lies higher (--to)"
        elif found.failed is not None:
            text = f"no value passed; the smallest that FAILed is {axis.written(found.failed)}"
        else:
            text = "no value passed or FAILed, so nothing is known of the limit"
        return f"{start}{text} ({words.plural(len(self.tried), 'run')})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know beside the interval."""
        found, axis = self.bracket, self.axis
        lines = [
            f"{axis.written(one.value)} is {one.result.verdict.value}, and counts neither as passed nor as failed: "
            f"{one.result.reason}"
            for one in self.points
            if one.value in found.undecided
        ]
        if found.above:
            assert found.failed is not None
            several = ", ".join(axis.written(value) for value in found.above)
            lines.append(
                f"not monotone: {several} PASSed though {axis.written(found.failed)}, which is less, FAILed; the limit "
                "told is the one below the smallest FAIL"
            )
        if found.passed is None and not axis.runs_low:
            lines.append(f"{axis.written(axis.low)} would be no fault at all, and was not run")
        return tuple(lines)

    def to_json(self) -> dict[str, Any]:
        """Values as they are written in the file; ``interval`` is [largest PASS, smallest FAIL]."""
        found, axis = self.bracket, self.axis

        def written(value: float | None) -> str | None:
            return None if value is None else axis.written(value)

        return {
            "experiment": self.experiment,
            "path": axis.path,
            "from": written(axis.low),
            "to": written(axis.high),
            "interval": [written(found.passed), written(found.failed)],
            "undecided": [axis.written(value) for value in found.undecided],
            "monotone": not found.above,
            "reason": self.reason,
            "notes": list(self.notes),
            "points": [
                {
                    "value": axis.written(one.value),
                    "number": one.value,
                    "verdict": one.result.verdict.value,
                    "reason": one.result.reason,
                    "runId": one.result.run_id,
                    "folder": one.result.folder.name,
                    "expectations": one.result.to_json()["expectations"],
                }
                for one in self.points
            ],
        }

    def document(self) -> dict[str, Any]:
        """``limit.json``, and what ``--json`` writes."""
        runs = [one.result.to_json() for one in self.tried]
        return {"schemaVersion": SCHEMA_VERSION, "exitCode": self.exit_code, "limit": self.to_json(), "runs": runs}

    def write(self) -> Path:
        """Raises EvidenceError."""
        return write_json(self.folder / FILE, self.document())


@dataclass
class Finder:
    """``before`` is told of each point: its number, the most there will be, the value as text."""

    catalog: Catalog
    experiment: Experiment
    sets: Sequence[str]
    axis: Axis
    runs: int
    before: Callable[[int, int, str], None] = lambda number, most, value: None

    def __post_init__(self) -> None:
        self._first = search.scan(self.axis, self.runs)
        for value in self._first:
            make_checks(self._with(value), self.catalog.kinds, self.catalog.slos)

    def find(self, suite: Suite) -> Limit:
        """Raises UserError (a value that cannot be had; nothing is left behind by it) and MeshError."""
        tried: list[Tried] = []
        waiting = list(self._first)
        while len(tried) < self.runs:
            value = waiting.pop(0) if waiting else search.following(self.axis, _points(tried))
            if value is None:
                break
            self.before(len(tried) + 1, self.runs, self.axis.written(value))
            result = suite.run_one(self._with(value))
            tried.append(Tried(value, result))
            if result.exit_code in _ENDS:
                break
        folder = make_folder(suite.output, f"{self.experiment.name}-limit", new_run_id(), time.time())
        return Limit(self.experiment.name, self.axis, tuple(tried), self.runs, folder)

    def _with(self, value: float) -> Experiment:
        """By the same door as ``--set``, so that every rule of the file holds."""
        file = Path(self.experiment.where.file)
        (experiment,) = self.catalog.read([file], [*self.sets, self.axis.setting(value)])
        return experiment


def make_finder(
    catalog: Catalog,
    chosen: Sequence[Experiment],
    *,
    path: str,
    low: str | None,
    high: str | None,
    runs: int,
    sets: Sequence[str] = (),
    before: Callable[[int, int, str], None] = lambda number, most, value: None,
) -> Finder:
    """Raises UserError before anything is run: several experiments, no such path, not a number, a wrong range, a value
    of the scan that the file does not take.
    """
    if len(chosen) != 1:
        raise UserError(f"--find-limit varies one experiment, and {len(chosen)} are selected: choose one with -k")
    experiment = chosen[0]
    there = catalog.read([Path(experiment.where.file)], sets)
    if len(there) != 1:
        raise UserError(
            f"--find-limit: {experiment.where.file} holds {len(there)} experiments, and a value is set in all of a "
            f"file: put {experiment.name} into one of its own"
        )
    return Finder(catalog, experiment, sets, axis_of(experiment, path, low, high), runs, before)


def _points(tried: Sequence[Tried]) -> list[search.Point]:
    return [search.Point(one.value, Verdict(one.result.verdict)) for one in tried]
