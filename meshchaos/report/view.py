"""A ``Result`` -> the words of a report: every number as text, nothing computed anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshchaos.checks import words
from meshchaos.checks.kind import Finding, Verdict
from meshchaos.history.records import ClusterShare, FaultRecord, FaultStep, GeneratorHealth, Injection
from meshchaos.report import lines
from meshchaos.run.outcome import EXIT_INTERRUPTED
from meshchaos.run.result import PhaseCount, Result

_LATENCIES = ("latency", "slo", "recovery")
"""Kinds whose thresholds in seconds are a request's latency."""

_MEANINGS = {
    Verdict.PASS: "The belief held in this run.",
    Verdict.FAIL: "The belief does not hold: this is a finding about the mesh and what runs on it.",
    Verdict.INCONCLUSIVE: "This run says neither yes nor no: it needs more requests.",
    Verdict.INVALID: "This run did not test what it claims, so it says nothing about the mesh: neither good nor bad.",
    Verdict.ERROR: "The mesh or the tool broke, so this run says nothing about the belief.",
}


def expectation_rows(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """One row a finding, in the order of the file."""
    return [
        {
            "verdict": finding.verdict.value,
            "name": finding.name,
            "reason": finding.reason,
            "during": ", ".join(lines.phase_word(name) for name in finding.during),
            "threshold": value(finding.threshold, finding.unit),
            "estimate": _estimate(finding),
            "interval": _interval(finding.interval, finding.unit),
            "n": words.count(finding.n),
            "evidence": list(finding.evidence),
        }
        for finding in findings
    ]


def fault_sections(
    faults: Sequence[FaultRecord], proofs: Sequence[Finding], began: float | None
) -> list[dict[str, Any]]:
    """One section a fault: where, why there, what carried it, when it was live and gone.

    ``proofs`` are the findings about the faults, in the same order. ``began``: where the charts begin, epoch seconds.
    """
    sections = []
    for index, fault in enumerate(faults):
        proof = proofs[index] if index < len(proofs) else None
        sections.append(
            {
                "kind": fault.kind,
                "at": fault.at,
                "edge": fault.edge,
                "why": fault.reason,
                "proof": proof.reason if proof else "It was never applied.",
                "verdict": proof.verdict.value if proof else "INVALID",
                "problem": fault.problem,
                "bypassed": ", ".join(fault.bypassed),
                "objects": ", ".join(fault.objects) or "none",
                "span": _span(fault, began),
                "live": _step(fault.applied_at, fault.live_at, "never seen live"),
                "gone": _step(fault.removed_at, fault.gone_at, "never seen gone"),
                "injections": [_injection(item) for item in fault.injections],
                "shown": (*fault.shown[1:], *(_cluster(one) for one in fault.shares)),  # the first is the reason
                "steps": [_ramp_step(step) for step in fault.steps],
            }
        )
    return sections


def load_rows(loads: Sequence[GeneratorHealth]) -> list[dict[str, str]]:
    """One row a load: what was asked of the generator and how well it kept it."""
    return [
        {
            "name": load.load,
            "rate": f"{load.target:g}/s" if load.target else "closed model",
            "achieved": f"{load.achieved:.1f}/s",
            "lag": words.seconds(load.lag_p99),
            "dropped": words.count(load.dropped),
            "health": "healthy" if load.healthy else f"unhealthy: {load.reason}",
        }
        for load in loads
    ]


def phase_rows(phases: Sequence[PhaseCount]) -> list[dict[str, str]]:
    rows = []
    for phase in phases:
        record = phase.record
        cut = f" (cut: {record.cut})" if record.cut else ""
        rows.append(
            {
                "name": lines.phase_word(record.name) + cut,
                "length": f"{record.end - record.start:.1f} s",
                "requests": words.count(phase.requests),
                "failures": words.count(phase.failures),
            }
        )
    return rows


def meaning(result: Result) -> str:
    """What the verdict lets the reader conclude, in plain words."""
    if result.verdict is Verdict.PASS and result.faults:
        return "The belief held in this run, under a fault that was shown to be there."
    if result.exit_code == EXIT_INTERRUPTED:
        return "This run was not carried through, so it says nothing about the belief."
    return _MEANINGS[result.verdict]


def limits(findings: Sequence[Finding]) -> list[tuple[str, float]]:
    """The latency limits to draw over the loads' own requests: (label, seconds), each value once. What is about an
    edge, or about another time than a request's latency, has no place in that chart.
    """
    found: dict[float, list[str]] = {}
    for finding in findings:
        if finding.kind in _LATENCIES and finding.unit == "s" and finding.threshold is not None and not finding.edge:
            found.setdefault(finding.threshold, []).append(finding.name)
    return [(f"{_some(names)} {words.seconds(limit)}", limit) for limit, names in found.items()]


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more:"


def value(number: float | None, unit: str) -> str:
    """A number in its unit (``share`` or ``s``), empty for None."""
    if number is None:
        return ""
    if unit == "s":
        return words.seconds(number)
    return words.percent(number) if unit == "share" else f"{number:.4g} {unit}".rstrip()


def _estimate(finding: Finding) -> str:
    if finding.estimate is None and finding.censored_at is not None:
        return f"more than {words.seconds(finding.censored_at)}"
    return value(finding.estimate, finding.unit)


def _interval(bounds: tuple[float | None, float | None] | None, unit: str) -> str:
    if bounds is None or bounds == (None, None):
        return ""
    low, high = bounds
    return f"{value(low, unit) or 'none'} – {value(high, unit) or 'none'}"


def _step(first: float | None, second: float | None, never: str) -> str:
    if first is None:
        return "not done"
    if second is None:
        return never
    return f"{words.seconds(max(second - first, 0.0))} from one to the other"


def _span(fault: FaultRecord, began: float | None) -> str:
    """``from 5.1 s to 13.3 s on the charts``."""
    if began is None or fault.live_at is None:
        return ""
    until = f"to {fault.gone_at - began:.1f} s" if fault.gone_at is not None else "on"
    return f"from {fault.live_at - began:.1f} s {until} on the charts"


def _cluster(one: ClusterShare) -> str:
    """``outbound|9080|v1|reviews...: 182 of 198 requests, 90 % asked``."""
    of = words.plural(one.of, "request")
    return f"{one.cluster}: {words.count(one.count)} of {of}, {words.percent(one.asked)} asked"


def _ramp_step(step: FaultStep) -> str:
    """``30 % asked: 61 of 205 requests (29.8 %)``."""
    marked, of = sum(one.injected for one in step.injections), sum(one.of or 0 for one in step.injections)
    share = f" ({words.percent(marked / of)})" if of else ""
    return f"{words.percent(step.share)} asked: {words.count(marked)} of {words.plural(of, 'request')}{share}"


def _injection(item: Injection) -> dict[str, Any]:
    before, after = item.counter_before, item.counter_after
    return {
        "proxy": item.proxy,
        "injected": words.count(item.injected),
        "of": "unknown" if item.of is None else words.count(item.of),
        "counter": "not exposed" if before is None or after is None else f"{before:,} → {after:,}",
        "lines": "\n".join(item.lines),
    }
