"""What checks want to be watched while the run lasts, beside the loads' own samples; as frozen data.

A check lists its asks (``asks``); the run answers each from the mesh, writes the answer down as it comes, and hands it
back in ``History``. Asks are keys: two checks that ask the same share one answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from meshchaos.experiment.model import PhaseName, Token


@dataclass(frozen=True, slots=True)
class EdgeAsk:
    """Every request from the workloads ``sources`` (empty: from every client) to the service ``to``, as the proxies on
    both sides logged it. Both in the user's own words; short names are looked up in the experiment's namespace.
    ``stats``: regular expressions for the rest of Envoy's ``cluster.<name>.`` statistics, looked at once a second in
    every client proxy of the edge, for all subsets of the service. ``server_stats``: of whole names of Envoy
    statistics, looked at as often in every server's proxy. ``probes``: with what our own probes (``ProbeAsk``) left
    behind, which no user's request did. ``to`` may be ``*``: whatever comes in at every sidecar, from anybody.
    """

    to: str
    sources: tuple[str, ...] = ()
    stats: tuple[str, ...] = ()
    server_stats: tuple[str, ...] = ()
    probes: bool = False

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


_SHOWN: Final = 3
"""Paths of a matrix that are named where it is told in a line."""


@dataclass(frozen=True, slots=True)
class ProbeAsk:
    """A matrix of calls that are made for real, again and again through the phases ``during``: each of ``sources``
    (workloads through their own sidecars, ``gateway``, ``outside``: a client with no sidecar, in plaintext) to the
    service ``to`` (``*``: every one), by each method, on each path, with each token. No ``sources``: every workload
    but ``but``, and outside. No ``paths``: ``/``, through the gateway what its route takes. ``once``: a call that came
    through is not made again.
    """

    to: str
    sources: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET",)
    paths: tuple[str, ...] = ()
    tokens: tuple[Token, ...] = (Token(),)
    during: tuple[PhaseName, ...] = ()
    once: bool = True

    def __str__(self) -> str:
        who = ", ".join(self.sources) or f"everybody but {', '.join(self.but)}"
        more = [*(self.methods if self.methods != ("GET",) else ()), *self.paths[:_SHOWN]]
        more += [f"and {len(self.paths) - _SHOWN} more"] if len(self.paths) > _SHOWN else []
        if len(self.tokens) > 1:
            more.append(f"with {len(self.tokens)} tokens")
        elif self.tokens[0].kind != "none":
            more.append(self.tokens[0].shown)
        return " ".join([f"{who} -> {'every service' if self.to == '*' else self.to}", *more])


Ask = EdgeAsk | QueryAsk | ProbeAsk
"""All that can be asked for."""
