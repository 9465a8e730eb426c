"""Runs as traces in OTLP's JSON form: a span a run, below it one a phase and one a fault, from live to gone.

Attributes are ours (``meshchaos.*``). The form: opentelemetry.io/docs/specs/otlp (JSON Protobuf Encoding): ids in hex,
times as texts of nanoseconds. A collector takes it at ``/v1/traces``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from meshchaos.checks.kind import Verdict
from meshchaos.history.records import FaultRecord
from meshchaos.run.result import Result

About = Mapping[str, str | bool | int]

INTERNAL = 1
"""SPAN_KIND_INTERNAL."""
_OK, _ERROR = 1, 2


def otlp(results: Sequence[Result]) -> dict[str, Any]:
    """One ``ExportTraceServiceRequest``; each run is a trace of its own."""
    version = next((result.versions["meshchaos"] for result in results if "meshchaos" in result.versions), "")
    spans = [span for result in results for span in _spans(result)]
    scope = {"scope": {"name": "meshchaos", "version": version}, "spans": spans}
    return {
        "resourceSpans": [
            {"resource": {"attributes": _attributes({"service.name": "meshchaos"})}, "scopeSpans": [scope]}
        ]
    }


def _spans(result: Result) -> list[dict[str, Any]]:
    about = {
        "meshchaos.run": result.run_id,
        "meshchaos.experiment": result.experiment,
        "meshchaos.mesh": result.mesh,
        "meshchaos.verdict": result.verdict.value,
        "meshchaos.reason": result.reason,
        "meshchaos.healed": result.healed,
    }
    run = _span(result, "run", f"run {result.experiment}", (result.started, result.finished), about)
    del run["parentSpanId"]
    held = result.verdict is Verdict.PASS
    run["status"] = {"code": _OK} if held else {"code": _ERROR, "message": f"{result.verdict}: {result.reason}"}
    found = [run]
    for count in result.phases:
        record = count.record
        numbers = {"meshchaos.requests": count.requests, "meshchaos.failures": count.failures}
        name = f"phase {record.name}"
        found.append(_span(result, name, name, (record.start, record.end), numbers))
    return found + [_fault(result, fault) for fault in result.faults if fault.live_at is not None]


def _fault(result: Result, fault: FaultRecord) -> dict[str, Any]:
    assert fault.live_at is not None
    end = fault.gone_at or fault.removed_at or result.finished
    about: dict[str, str | bool | int] = {
        "meshchaos.fault": fault.kind,
        "meshchaos.edge": fault.edge,
        "meshchaos.at": fault.at,
    }
    if fault.injections:
        about["meshchaos.injected"] = sum(one.injected for one in fault.injections)
    span = _span(
        result, fault.id, f"fault {fault.kind} on {fault.edge}", (fault.live_at, max(end, fault.live_at)), about
    )
    moments = {"applied": fault.applied_at, "removed": fault.removed_at, "gone": fault.gone_at}
    span["events"] = [{"name": name, "timeUnixNano": _nanos(at)} for name, at in moments.items() if at is not None]
    return span


def _span(result: Result, key: str, name: str, between: tuple[float, float], about: About) -> dict[str, Any]:
    return {
        "traceId": _id(result.run_id, 32),
        "spanId": _id(f"{result.run_id}/{key}", 16),
        "parentSpanId": _id(f"{result.run_id}/run", 16),
        "name": name,
        "kind": INTERNAL,
        "startTimeUnixNano": _nanos(between[0]),
        "endTimeUnixNano": _nanos(between[1]),
        "attributes": _attributes(about),
    }


def _attributes(about: About) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in about.items()]


def _value(value: str | bool | int) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def _id(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def _nanos(at: float) -> str:
    return str(round(at * 1e9))
