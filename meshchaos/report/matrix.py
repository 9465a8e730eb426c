"""The calls of all ``denied`` and ``allowed``, a table for each service: a line for each call, a column a caller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from meshchaos.checks.kind import Finding, MatrixCell

_LAST = ("gateway", "outside")
"""Callers that are no workloads."""


@dataclass(frozen=True, slots=True)
class Calls:
    """``rows``: what is asked of the service, and what was found of each caller: nothing where it is not asked,
    several where several expectations are about it. ``names``: the callers', without a namespace that is everybody's.
    """

    service: str
    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[MatrixCell, ...], ...]], ...]


def calls_of(findings: Sequence[Finding]) -> tuple[Calls, ...]:
    """In the order of the file."""
    found: dict[str, dict[str, dict[str, list[MatrixCell]]]] = {}
    for finding in findings:
        for row in finding.matrix.rows if finding.matrix is not None else ():
            assert finding.matrix is not None
            for column, cell in zip(finding.matrix.columns, row.cells, strict=True):
                if cell.verdict is not None:
                    service, _, call = column.partition(" ")
                    found.setdefault(service, {}).setdefault(call, {}).setdefault(row.name, []).append(cell)
    everybody = {caller for calls in found.values() for cells in calls.values() for caller in cells}
    shared = _shared_namespace(everybody)
    tables = []
    for service, calls in found.items():
        callers = sorted({one for cells in calls.values() for one in cells}, key=lambda one: (one in _LAST, one))
        rows = tuple((call, tuple(tuple(cells.get(caller, ())) for caller in callers)) for call, cells in calls.items())
        tables.append(Calls(service, tuple(one.removesuffix(shared) for one in callers), rows))
    return tuple(tables)


def _shared_namespace(callers: Iterable[str]) -> str:
    """``.shop``; empty where workloads of several namespaces call."""
    places = {caller.rpartition(".")[2] for caller in callers if caller not in _LAST}
    return f".{places.pop()}" if len(places) == 1 else ""
