"""Whether a fault that no request carries was there: by what proxies run, by where requests went, by replicas."""

from __future__ import annotations

from meshchaos.checks import words
from meshchaos.checks.kind import Finding, Verdict
from meshchaos.checks.statistics.binomial import interval
from meshchaos.history.records import ClusterShare, FaultRecord

ALPHA = 0.001
"""The interval of a measured share is at 99.9 %: a run in a thousand is called INVALID by chance."""

WEIGHT_TOLERANCE = 0.1
WEIGHT_POINTS = 0.02
"""A cluster's share may be off by this part of what was asked, or by these points, whichever is wider."""

_ONLY = {
    "config": "; it shows what the proxies run, not that a request met it",
    "accepted": "; it shows that the mesh holds it, not what it does",
}


def shown_finding(fault: FaultRecord) -> Finding:
    """PASS where what the fault changes was seen to change, INVALID (for the whole run) where it was not."""
    trouble = _trouble(fault)
    if trouble is not None:
        return _finding(fault, Verdict.INVALID, trouble)
    if fault.proof == "weights":
        return _weights(fault)
    text = fault.shown[0]
    only = "" if text.startswith("a probe") else _ONLY.get(fault.proof, "")
    return _finding(fault, Verdict.PASS, text + only)


def _trouble(fault: FaultRecord) -> str | None:
    if fault.problem is not None:
        return fault.problem
    if fault.live_at is None:
        return f"the {fault.kind} on {fault.edge} was never live in its proxies"
    if fault.proof == "weights":
        of = max((one.of for one in fault.shares), default=0)
        return None if of else f"no request went out on {fault.edge} while the {fault.kind} was live"
    return None if fault.shown else f"nothing was seen of the {fault.kind} on {fault.edge}"


def _weights(fault: FaultRecord) -> Finding:
    """The measured share of each cluster against its weight, by Clopper-Pearson at 99.9 % over all of them."""
    off = [one for one in fault.shares if not _fits(one, ALPHA / len(fault.shares))]
    parts = [
        f"{words.percent(one.count / one.of)} went to {one.cluster} ({words.percent(one.asked)} asked)"
        for one in (off or fault.shares)
    ]
    text = f"of {words.plural(fault.shares[0].of, 'request')}, {', '.join(parts)}"
    return _finding(fault, Verdict.INVALID if off else Verdict.PASS, text, n=fault.shares[0].of)


def _fits(one: ClusterShare, alpha: float) -> bool:
    slack = max(WEIGHT_POINTS, WEIGHT_TOLERANCE * one.asked)
    if one.asked in (0, 1):  # no chance is in it: a request that went elsewhere was not routed by the weights
        return one.count == one.asked * one.of
    low, high = interval(one.count, one.of, alpha)
    return high >= one.asked - slack and low <= one.asked + slack


def _finding(fault: FaultRecord, verdict: Verdict, reason: str, n: int = 0) -> Finding:
    lines = [f"{one.cluster}: {words.count(one.count)} of {words.count(one.of)} requests" for one in fault.shares]
    return Finding(
        kind="injected",
        name=f"injected {fault.kind} {fault.edge}",
        during=("fault",),
        verdict=verdict,
        reason=reason,
        n=n,
        evidence=(*fault.shown, *lines),
    )
