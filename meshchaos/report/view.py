"""``result.json`` -> the words of a report: every number as text, nothing computed anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshchaos.checks import words
from meshchaos.report import lines


def expectation_rows(expectations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a finding, in the order of the file."""
    return [
        {
            "verdict": item["verdict"],
            "name": item["name"],
            "reason": item["reason"],
            "during": ", ".join(item.get("during") or ()),
            "threshold": value(item.get("threshold"), item.get("unit")),
            "estimate": _estimate(item),
            "interval": _interval(item.get("interval"), item.get("unit")),
            "n": words.count(item.get("n") or 0),
            "evidence": list(item.get("evidence") or ()),
        }
        for item in expectations
    ]


def fault_sections(faults: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One section a fault: where, why there, what carried it, when it was live and gone."""
    return [
        {
            "kind": fault["kind"],
            "at": fault["at"],
            "edge": fault.get("edge", ""),
            "why": fault.get("reason", ""),
            "proof": _proof(fault),
            "problem": fault.get("problem"),
            "bypassed": ", ".join(fault.get("bypassed") or ()),
            "objects": ", ".join(fault.get("objects") or ()) or "none",
            "live": _step(fault.get("appliedAt"), fault.get("liveAt"), "never live"),
            "gone": _step(fault.get("removedAt"), fault.get("goneAt"), "never seen gone"),
            "injections": [_injection(item) for item in fault.get("proof") or ()],
        }
        for fault in faults
    ]


def load_rows(loads: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One row a load: what was asked of the generator and how well it kept it."""
    return [
        {
            "name": str(load.get("name", "load")),
            "rate": f"{load['rate']:g}/s" if load.get("rate") else "closed model",
            "achieved": f"{load.get('achieved') or 0:.1f}/s",
            "lag": words.seconds(load["lagP99"]) if load.get("lagP99") is not None else "",
            "dropped": words.count(load.get("dropped") or 0),
            "health": "healthy" if load.get("healthy") else f"unhealthy: {load.get('reason') or 'no reason given'}",
        }
        for load in loads
    ]


def phase_rows(phases: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [
        {
            "name": lines.PHASE_WORDS.get(phase["name"], phase["name"])
            + (f" (cut: {phase['cut']})" if phase.get("cut") else ""),
            "length": f"{phase['end'] - phase['start']:.1f} s",
            "requests": words.count(phase.get("requests") or 0),
            "failures": words.count(phase.get("failures") or 0),
        }
        for phase in phases
    ]


def limits(expectations: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
    """The latency limits to draw: (name, seconds), each value once."""
    found: dict[float, str] = {}
    for item in expectations:
        if item.get("unit") == "s" and item.get("threshold") is not None:
            found.setdefault(float(item["threshold"]), f"{item['name']} {words.seconds(float(item['threshold']))}")
    return [(name, limit) for limit, name in found.items()]


def value(number: float | None, unit: str | None) -> str:
    """A number in its unit (``share`` or ``s``), empty for None."""
    if number is None:
        return ""
    if unit == "s":
        return words.seconds(number)
    return words.percent(number) if unit in (None, "share") else f"{number:g} {unit}"


def _estimate(item: Mapping[str, Any]) -> str:
    if item.get("estimate") is None and item.get("censoredAt") is not None:
        return f"more than {words.seconds(item['censoredAt'])}"
    return value(item.get("estimate"), item.get("unit"))


def _interval(bounds: Sequence[float | None] | None, unit: str | None) -> str:
    if not bounds or all(bound is None for bound in bounds):
        return ""
    low, high = bounds
    return f"{value(low, unit) or 'none'} – {value(high, unit) or 'none'}"


def _proof(fault: Mapping[str, Any]) -> str:
    injected = fault.get("injected") or {}
    count, of, share = injected.get("count"), injected.get("of"), injected.get("share")
    if not count:
        return "No proxy carried it: nothing was injected."
    if not of or share is None:
        return f"{words.count(count)} requests carried it, by the injecting proxies' own logs."
    interval = injected.get("interval")
    bounds = f" (99.9 % bounds {_interval(interval, 'share')})" if interval else ""
    return (
        f"{words.count(count)} of {words.count(of)} requests carried it, {words.percent(share)}{bounds}, "
        "by the injecting proxies' own logs."
    )


def _step(first: float | None, second: float | None, never: str) -> str:
    if first is None:
        return "not done"
    if second is None:
        return never
    return f"{words.seconds(max(second - first, 0.0))} from one to the other"


def _injection(item: Mapping[str, Any]) -> dict[str, Any]:
    before, after = item.get("counterBefore"), item.get("counterAfter")
    return {
        "proxy": item.get("proxy", ""),
        "injected": words.count(item.get("injected") or 0),
        "of": "unknown" if item.get("of") is None else words.count(item["of"]),
        "counter": "not exposed" if before is None or after is None else f"{before:,} → {after:,}",
        "lines": "\n".join(item.get("lines") or ()),
    }
