"""Runs as traces that a collector takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from meshchaos.checks.kind import Verdict
from meshchaos.report.spans import otlp
from tests.report import made


def spans(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (resource,) = found["resourceSpans"]
    (scope,) = resource["scopeSpans"]
    return {span["name"]: span for span in scope["spans"]}


def test_a_run_is_a_trace_of_its_phases_and_faults(tmp_path: Path) -> None:
    found = spans(otlp([made.result(tmp_path, Verdict.FAIL)]))
    assert list(found) == [
        "run slow",
        "phase baseline",
        "phase fault",
        "phase recovery",
        "fault delay on page -> ratings:9080",
    ]
    run, fault = found["run slow"], found["fault delay on page -> ratings:9080"]
    assert {len(span["traceId"]) for span in found.values()} == {32}
    assert len({span["spanId"] for span in found.values()}) == 5
    assert "parentSpanId" not in run
    assert {span["parentSpanId"] for name, span in found.items() if name != "run slow"} == {run["spanId"]}
    assert run["status"] == {"code": 2, "message": "FAIL: this is why it is FAIL"}
    assert int(fault["startTimeUnixNano"]) == (int(made.T0) + 10) * 10**9
    assert int(fault["endTimeUnixNano"]) > int(fault["startTimeUnixNano"])
    assert [one["name"] for one in fault["events"]] == ["applied", "removed", "gone"]
    assert {"key": "meshchaos.injected", "value": {"intValue": "48"}} in fault["attributes"]


def test_a_fault_that_was_never_live_is_no_span(tmp_path: Path) -> None:
    result = made.result(tmp_path, Verdict.PASS, faults=(replace(made.FAULT, live_at=None),))
    assert not any(name.startswith("fault") for name in spans(otlp([result])))
