"""Histories made of counted requests, for the tests of checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from meshchaos.checks.kind import CheckContext
from meshchaos.experiment.model import (
    Deadlines,
    Expectation,
    Experiment,
    Fault,
    Load,
    Phase,
    PhaseName,
    Request,
    Slo,
    Where,
)
from meshchaos.history.records import FaultRecord, History, Injection, PhaseRecord
from meshchaos.history.samples import ROW, Outcome, Samples

T0 = 1_700_000_000.0


def where(index: int = 0) -> Where:
    return Where("slow.chaos.yaml", 20 + index, 5, f"spec.expect[{index}]")


def rows(
    start: float,
    seconds: float,
    n: int,
    *,
    bad: Sequence[int] = (),
    slow: Sequence[int] = (),
    timeout: Sequence[int] = (),
    dropped: Sequence[int] = (),
    latency: float = 0.05,
    slow_latency: float = 2.0,
    request: int = 0,
) -> Any:
    """``n`` rows, evenly spread over [start, start + seconds); the others give indices of rows."""
    found = np.zeros(n, dtype=ROW)
    found["start"] = start + np.arange(n) * (seconds / n)
    found["latency"] = latency
    found["status"] = 200
    found["grpc"] = -1
    found["seq"] = np.arange(n)
    found["request"] = request
    found["status"][list(bad)] = 503
    found["latency"][list(slow)] = slow_latency
    for outcome, indices in ((Outcome.TIMEOUT, timeout), (Outcome.DROPPED, dropped)):
        found["outcome"][list(indices)] = outcome
        found["status"][list(indices)] = 0
    found["latency"][list(timeout)] = 10.0
    return found


def spread(count: int, n: int) -> list[int]:
    """``count`` indices of ``n``, as evenly as they go."""
    return [int(i * n / count) for i in range(count)]


def samples(*parts: Any, load: str = "main", requests: tuple[str, ...] = ("main",), closed: bool = False) -> Samples:
    together = np.concatenate(parts)
    return Samples(load, together[np.argsort(together["start"], kind="stable")], requests, 10.0, closed)


def phases(**lengths: float) -> tuple[PhaseRecord, ...]:
    """One record a keyword, one after the other from T0."""
    found, at = [], T0
    for name, length in lengths.items():
        found.append(PhaseRecord(name, at, at + length, length))  # type: ignore[arg-type]
        at += length
    return tuple(found)


def history(
    some: Samples | Sequence[Samples],
    records: tuple[PhaseRecord, ...],
    faults: tuple[FaultRecord, ...] = (),
    confidence: float = 0.95,
) -> History:
    every = [some] if isinstance(some, Samples) else list(some)
    return History(records, faults, {one.load: one for one in every}, (), confidence)


def fault(
    *injections: Injection, share: float = 0.5, gone_at: float | None = T0 + 30, problem: str | None = None
) -> FaultRecord:
    return FaultRecord(
        id="chaos-1-0",
        index=0,
        kind="delay",
        at="server",
        edge="reviews -> ratings:9080",
        reason="",
        share=share,
        objects=(),
        applied_at=T0,
        live_at=T0 + 0.01,
        removed_at=gone_at,
        gone_at=gone_at,
        injections=injections,
        problem=problem,
    )


def load(name: str = "main", *, rate: float | None = 200, requests: Sequence[str] = ("main",)) -> Load:
    made = tuple(Request(one, "GET", "/", {}, None) for one in requests)
    return Load(name, "http://bookinfo.example/", "gateway", rate, "poisson", 10.0, 4000, made)


def expectation(kind: str, spec: Any, index: int = 0, **options: Any) -> Expectation:
    return Expectation(kind, index, spec, where(index), **options)


def context(
    *expect: Expectation,
    loads: tuple[Load, ...] | None = None,
    lengths: Sequence[tuple[PhaseName, float]] = (("warmup", 2), ("baseline", 10), ("fault", 60), ("recovery", 20)),
    faults: bool = True,
    slos: dict[str, Slo] | None = None,
) -> CheckContext:
    experiment = Experiment(
        name="slow",
        namespace=None,
        labels={},
        hypothesis="",
        mesh=None,
        loads=(load(),) if loads is None else loads,
        phases=tuple(Phase(name, length) for name, length in lengths),
        faults=(Fault("delay", 0, None, where()),) if faults else (),
        expect=expect,
        stop_if=None,
        confidence=0.95,
        deadlines=Deadlines(),
        where=where(),
    )
    return CheckContext(experiment, slos or {})
