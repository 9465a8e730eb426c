"""What checks want to be watched while the run lasts, beside the loads' own samples; as frozen data.

A check lists its asks (``asks``); the run answers each from the mesh, writes the answer down as it comes, and hands it
back in ``History``. Asks are keys: two checks that ask the same share one answer.
"""

from __future__ import annotations

from dataclasses import dataclass


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


Ask = EdgeAsk
"""All that can be asked for."""
