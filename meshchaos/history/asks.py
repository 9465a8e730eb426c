"""What checks want to be watched while the run lasts, beside the loads' own samples; as frozen data.

A check lists its asks (``asks``); the run answers each from the mesh, writes the answer down as it comes, and hands it
back in ``History``. Asks are keys: two checks that ask the same share one answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from meshchaos.experiment.model import PhaseName


@dataclass(frozen=True, slots=True)
class EdgeAsk:
    """Every request from the workloads ``sources`` (empty: from every client) to the service ``to``, as the proxies on
    both sides logged it. Both in the user's own words; short names are looked up in the experiment's namespace.
    ``stats``: regular expressions for the rest of Envoy's ``cluster.<name>.`` statistics, looked at once a second in
    every client proxy of the edge, for all subsets of the service.
    """

    to: str
    sources: tuple[str, ...] = ()
    stats: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{', '.join(self.sources) or 'every client'} -> {self.to}"


@dataclass(frozen=True, slots=True)
class QueryAsk:
    """What the mesh's Prometheus says about a phase: an instant query, put ``settle`` seconds after the phase's end,
    when the last scrapes and rules are in.

    ``at`` is the moment that it is about: the phase's ``start``, its ``end``, or ``settled``, when it is put.
    ``$phase`` in ``query`` stands for the time from the phase's start to that moment. ``alert``: an alert whose rule
    says whether silence means anything.
    """

    query: str
    phase: PhaseName
    settle: float = 30.0
    at: Literal["start", "end", "settled"] = "end"
    alert: str = ""

    def __str__(self) -> str:
        return f"Prometheus: {self.query}"


Ask = EdgeAsk | QueryAsk
"""All that can be asked for."""
