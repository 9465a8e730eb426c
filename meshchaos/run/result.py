"""What a run came to: ``result.json``, in the form that architecture.md promises (schemaVersion 1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from meshchaos.checks.kind import Finding, Side, Verdict
from meshchaos.errors import EvidenceError
from meshchaos.history.records import FaultRecord, GeneratorHealth, PhaseRecord
from meshchaos.run.plain import plain

SCHEMA_VERSION: Final = 1
FILE: Final = "result.json"


@dataclass(frozen=True, slots=True)
class PhaseCount:
    """``requests`` by intended start, ``failures`` those without a good response."""

    record: PhaseRecord
    requests: int
    failures: int


@dataclass(frozen=True, slots=True)
class Result:
    """``findings`` are the expectations'; ``proofs`` one a fault; ``steady`` the baseline's; ``stopped`` of
    ``stopIf``. Times in epoch seconds; ``folder`` is where the run left its files.
    """

    verdict: Verdict
    reason: str
    exit_code: int
    experiment: str
    hypothesis: str
    run_id: str
    mesh: str
    seed: int
    confidence: float
    versions: Mapping[str, str]
    started: float
    finished: float
    phases: tuple[PhaseCount, ...]
    faults: tuple[FaultRecord, ...]
    findings: tuple[Finding, ...]
    proofs: tuple[Finding, ...]
    steady: tuple[Finding, ...]
    stopped: Finding | None
    load: tuple[GeneratorHealth, ...]
    healed: bool
    leftovers: tuple[str, ...]
    overrides: tuple[tuple[str, str, Any], ...]
    warnings: tuple[str, ...]
    source: str
    folder: Path
    healers: tuple[str, ...] = ()
    """Who would have put everything back had the run died."""

    def to_json(self) -> dict[str, Any]:
        """JSON data; times as ISO 8601 in UTC, durations in seconds, shares 0..1."""
        proofs = {finding.name: finding for finding in self.proofs}
        return {
            "schemaVersion": SCHEMA_VERSION,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "exitCode": self.exit_code,
            "experiment": self.experiment,
            "hypothesis": self.hypothesis,
            "source": self.source,
            "runId": self.run_id,
            "mesh": self.mesh,
            "seed": self.seed,
            "confidence": self.confidence,
            "versions": dict(self.versions),
            "healers": list(self.healers),
            "started": iso(self.started),
            "finished": iso(self.finished),
            "phases": [_phase(count) for count in self.phases],
            "faults": [_fault(record, proofs.get(f"injected {record.kind} {record.edge}")) for record in self.faults],
            "expectations": [_finding(finding) for finding in self.findings],
            "steadyState": [_finding(finding) for finding in self.steady],
            "stopIf": _finding(self.stopped) if self.stopped is not None else None,
            "load": [_load(health) for health in self.load],
            "healed": self.healed,
            "leftovers": list(self.leftovers),
            "overrides": [{"origin": o, "path": p, "value": plain(v)} for o, p, v in self.overrides],
            "warnings": list(self.warnings),
        }

    def write(self) -> Path:
        """Writes ``result.json`` into the run's folder, all of it or nothing. Raises EvidenceError."""
        return write_json(self.folder / FILE, self.to_json())


def write_json(path: Path, data: Any) -> Path:
    """One JSON document, all of it or nothing. Raises EvidenceError in one line (disk full, no permission)."""
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        scratch.write_text(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
        scratch.replace(path)
    except OSError as error:
        raise EvidenceError(f"cannot write {path}: {error.strerror}") from error
    return path


@cache
def schema() -> dict[str, Any]:
    """The published JSON Schema of ``result.json``."""
    found: dict[str, Any] = json.loads(files("meshchaos.run").joinpath("result.schema.json").read_text("utf-8"))
    return found


def iso(at: float | None) -> str | None:
    """``2026-11-23T20:55:36.123Z``."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(data: dict[str, Any]) -> dict[str, Any]:
    return {key: plain(value) for key, value in data.items()}


def _phase(count: PhaseCount) -> dict[str, Any]:
    record = count.record
    return {
        "name": record.name,
        "start": iso(record.start),
        "end": iso(record.end),
        "planned": record.planned,
        "cut": record.cut,
        "requests": count.requests,
        "failures": count.failures,
        "steps": [{"label": step.label, "start": iso(step.start), "end": iso(step.end)} for step in record.steps],
    }


def _fault(record: FaultRecord, proof: Finding | None) -> dict[str, Any]:
    counted = [one for one in record.injections if one.of is not None]
    injected = {
        "count": sum(one.injected for one in record.injections),
        "of": sum(one.of or 0 for one in counted) if counted else None,
        "share": proof.estimate if proof is not None else None,
        "interval": list(proof.interval) if proof is not None and proof.interval is not None else None,
    }
    return _json(
        {
            "id": record.id,
            "kind": record.kind,
            "at": record.at,
            "edge": record.edge,
            "reason": record.reason,
            "share": record.share,
            "objects": list(record.objects),
            "appliedAt": iso(record.applied_at),
            "liveAt": iso(record.live_at),
            "removedAt": iso(record.removed_at),
            "goneAt": iso(record.gone_at),
            "injected": injected,
            "proof": {
                "by": record.proof,
                "verdict": proof.verdict if proof is not None else None,
                "reason": proof.reason if proof is not None else record.problem or "never applied",
                "evidence": list(proof.evidence) if proof is not None else [],
            },
            "bypassed": list(record.bypassed),
            "steps": [
                {
                    "share": step.share,
                    "liveAt": iso(step.live_at),
                    "until": iso(step.until),
                    "count": sum(one.injected for one in step.injections),
                    "of": sum(one.of or 0 for one in step.injections),
                }
                for step in record.steps
            ],
        }
    )


def _finding(finding: Finding) -> dict[str, Any]:
    return _json(
        {
            "kind": finding.kind,
            "name": finding.name,
            "during": list(finding.during),
            "verdict": finding.verdict,
            "threshold": finding.threshold,
            "estimate": finding.estimate,
            "interval": list(finding.interval) if finding.interval is not None else None,
            "unit": finding.unit,
            "n": finding.n,
            "reason": finding.reason,
            "evidence": list(finding.evidence),
            "needs": finding.needs,
            "censoredAt": finding.censored_at,
            "line": finding.line,
            "matrix": plain(finding.matrix),
            "sides": [_side(one) for one in finding.sides],
        }
    )


def _side(side: Side) -> dict[str, Any]:
    return {**plain(side), "failedShare": side.failed / side.attempts}


def _load(health: GeneratorHealth) -> dict[str, Any]:
    return _json(
        {
            "name": health.load,
            "rate": health.target,
            "achieved": health.achieved,
            "lagP99": health.lag_p99,
            "dropped": health.dropped,
            "healthy": health.healthy,
            "reason": health.reason,
            "closed": health.closed,
            "cpuShare": health.cpu_share,
        }
    )
