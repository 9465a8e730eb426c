"""Results and samples made up here, rich enough that every part of a page has something to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from meshchaos.checks.kind import Finding, Matrix, MatrixCell, MatrixRow, Side, SideQuantile, Verdict
from meshchaos.history.records import FaultRecord, GeneratorHealth, Injection, PhaseRecord
from meshchaos.history.samples import ROW, Samples
from meshchaos.run.result import PhaseCount, Result

T0 = 1_700_000_000.0

EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: slow}
spec:
  load: [{name: main, target: "http://shop.example/pay", from: gateway, rate: 100}]
"""

HISTORY = """\
{"event": "FaultApplying", "at": 1, "id": "chaos-1-0", "edge": "page -> ratings:9080", "changes": [\
{"create": {"apiVersion": "networking.istio.io/v1", "kind": "EnvoyFilter", "metadata": {"name": "chaos-1-0", \
"namespace": "shop"}, "spec": {}}}, \
{"edit": {"kind": "VirtualService", "name": "ratings", "namespace": "shop"}, \
"edits": [{"path": ["spec", "timeout"], "before": "1s", "after": "9s", "made": 0}]}]}
"""

FAULT = FaultRecord(
    id="chaos-1-0",
    index=0,
    kind="delay",
    at="server",
    edge="page -> ratings:9080",
    reason="in the server's inbound proxy",
    share=0.5,
    objects=("EnvoyFilter chaos-1-0.shop",),
    applied_at=T0 + 9.9,
    live_at=T0 + 10,
    removed_at=T0 + 20,
    gone_at=T0 + 20.1,
    injections=(Injection("ratings-1.shop", 48, 100, "delays_injected", 0, 48, ("a line of its log",)),),
)


def finding(kind: str, verdict: Verdict, **changes: Any) -> Finding:
    base = Finding(
        kind,
        f"{kind} of it",
        ("fault",),
        verdict,
        "during this run 99 % of 900 requests were good",
        threshold=0.99,
        estimate=0.995,
        interval=(0.985, None),
        n=900,
        evidence=("two of them were slow",),
    )
    return replace(base, **changes)


def sides(baseline: str = "v1", canary: str = "v2") -> tuple[Side, Side]:
    """The canary's slowest attempts never ended."""
    old = (SideQuantile(0.5, 0.010, 0.009, 0.011), SideQuantile(0.99, 0.1, 0.08, 0.2))
    new = (SideQuantile(0.5, 0.012, 0.01, 0.02), SideQuantile(0.99, None, 0.05, None))
    return Side(baseline, 900, 1, (0.0, 0.006), old), Side(canary, 100, 3, (0.006, 0.085), new)


def samples(seconds: float = 30.0, rate: int = 50) -> Samples:
    """Slow between 10 s and 20 s, a few failed there."""
    starts = np.arange(0, seconds, 1 / rate)
    rows = np.zeros(len(starts), dtype=ROW)
    rows["start"] = T0 + starts
    slow = (starts >= 10) & (starts < 20)
    rows["latency"] = np.where(slow, 0.9, 0.01)
    rows["lag"] = np.where(slow, 0.004, 0.001)
    rows["status"] = np.where(slow & (np.arange(len(starts)) % 25 == 0), 503, 200)
    rows["grpc"] = -1
    return Samples("main", rows, ("page",), timeout=10.0)


def result(folder: Path, verdict: Verdict, **changes: Any) -> Result:
    """A whole run's, as if it had been judged so. Leaves the files that a page reads in ``folder``."""
    (folder / "experiment.yaml").write_text(EXPERIMENT)
    (folder / "history.jsonl").write_text(HISTORY)
    bounds = [("baseline", 0, 10), ("fault", 10, 20), ("recovery", 20, 30)]
    phases = tuple(
        PhaseCount(PhaseRecord(name, T0 + low, T0 + high, high - low), 500, 20 if name == "fault" else 0)  # type: ignore[arg-type]
        for name, low, high in bounds
    )
    cells = (MatrixCell(Verdict.PASS, "refused (9)"), MatrixCell(Verdict.FAIL, "let through: it answered 200"))
    matrix = Matrix(("ratings.shop:9080 GET /", "details.shop:9080 GET /"), (MatrixRow("page.shop", cells),))
    base = Result(
        verdict=verdict,
        reason=f"this is why it is {verdict}",
        exit_code=0,
        experiment="slow",
        hypothesis="The page stays fast.",
        run_id="0badcafe",
        mesh="shop",
        seed=7,
        confidence=0.95,
        versions={"envoy": "1.40.0"},
        started=T0,
        finished=T0 + 30,
        phases=phases,
        faults=(FAULT,),
        findings=(
            finding("success", verdict),
            finding("latency", Verdict.PASS, threshold=0.8, estimate=0.9, interval=(0.8, 0.95), unit="s"),
            finding("recovery", Verdict.INCONCLUSIVE, threshold=0.85, estimate=0.1, unit="s", needs=100),
            finding("canary", Verdict.FAIL, threshold=1.5, estimate=27.0, unit="times", sides=sides()),
            finding("denied", Verdict.FAIL, threshold=None, estimate=None, interval=None, matrix=matrix),
        ),
        proofs=(finding("injected", Verdict.INVALID if verdict is Verdict.INVALID else Verdict.PASS),),
        steady=(finding("success", Verdict.PASS, during=("baseline",)),),
        stopped=None,
        load=(GeneratorHealth("main", 100.0, 99.9, 0.001, 0, True),),
        healed=True,
        leftovers=(),
        overrides=(),
        warnings=("the load is small",),
        source="slow.chaos.yaml",
        folder=folder,
    )
    return replace(base, **changes)


def loads() -> Mapping[str, Samples]:
    return {"main": samples()}
