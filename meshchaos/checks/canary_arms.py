"""The attempts at two versions of a service, told apart by the proxies' logs: what a canary is judged by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshchaos.checks.edge import is_good, tally_of
from meshchaos.checks.joining import calls_of
from meshchaos.checks.kind import Side, SideQuantile
from meshchaos.checks.statistics import binomial
from meshchaos.checks.statistics.latency_ratio import Latencies
from meshchaos.checks.tally import Tally
from meshchaos.errors import UserError
from meshchaos.history.edges import Edge, between
from meshchaos.history.records import PhaseRecord
from meshchaos.mesh.seam import ProxyLogLine

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN_QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Arm:
    """The attempts at one version: as its servers logged them, and those that never arrived."""

    lines: tuple[ProxyLogLine, ...]
    bad: tuple[bool, ...]

    def with_lost(self, lines: Sequence[ProxyLogLine]) -> Arm:
        """As if these failed here, too."""
        return Arm((*self.lines, *lines), (*self.bad, *([True] * len(lines))))

    def tally(self, phase: PhaseRecord) -> Tally:
        return tally_of(self.lines, self.bad, phase.start, phase.end)

    def latencies(self) -> Latencies:
        import numpy as np

        good = [line.duration for line, bad in zip(self.lines, self.bad, strict=True) if not bad]
        array: NDArray[Any] = np.array(good, dtype=np.float64)
        return Latencies(array, slow=sum(self.bad))


def arms_of(edge: Edge, phase: PhaseRecord, names: Sequence[str]) -> list[Arm]:
    """The attempts at each of the versions named. Raises UserError for one that is nobody's."""
    replicas = [members(edge, name) for name in names]
    calls = calls_of(edge)
    given_up = {
        id(one) for call in calls if "UT" in call.sent.line.flags for one in call.arrived if one.proxy == call.server
    }
    received = between(edge.received, phase.start, phase.end)
    lost = [call for call in calls if phase.start <= call.sent.line.start < phase.end and call.lost]
    arms = []
    for mine in replicas:
        here = [one for one in received if one.proxy in mine]
        arm = Arm(tuple(one.line for one in here), tuple(not is_good(one.line) or id(one) in given_up for one in here))
        arms.append(arm.with_lost([call.sent.line for call in lost if call.server in mine]))
    return arms


def side_of(name: str, arm: Arm, alpha: float) -> Side:
    """The arm as it is shown beside the other; bounds two-sided at ``alpha``, each by itself."""
    latencies, n, failed = arm.latencies(), len(arm.lines), sum(arm.bad)
    quantiles = []
    for quantile in SHOWN_QUANTILES:
        estimate, low, high = latencies.bounds(quantile, alpha / 2)
        quantiles.append(SideQuantile(quantile, estimate, low if math.isfinite(low) else None, high))
    return Side(name, n, failed, binomial.interval(failed, n, alpha), tuple(quantiles))


def untraced(edge: Edge, phase: PhaseRecord) -> list[ProxyLogLine]:
    """A client's line for each attempt before the last that arrived nowhere: its replica is named by no proxy."""
    found = []
    for call in calls_of(edge):
        line = call.sent.line
        if phase.start <= line.start < phase.end:
            before = max(0, line.attempts - 1)
            found += [line] * (before - min(before, len(call.arrived) - call.reached))
    return found


def members(edge: Edge, name: str) -> frozenset[str]:
    """The proxies of a subset, else of a workload."""
    labels = edge.record.subsets.get(name)
    if labels is not None:
        return frozenset(
            peer.name
            for peer in edge.record.servers
            if all(peer.labels.get(key) == value for key, value in labels.items())
        )
    found = frozenset(peer.name for peer in edge.record.servers if peer.workload == name)
    if not found:
        known = sorted({*edge.record.subsets, *(peer.workload for peer in edge.record.servers)})
        raise UserError(f"{edge.record.service} has no subset or workload {name!r}; it has {', '.join(known)}")
    return found
