"""``denied`` and ``allowed``: calls that are made for real are refused, or let through, by the mesh itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from meshchaos.checks import words
from meshchaos.checks.kind import CheckContext, Finding, Matrix, MatrixCell, MatrixRow, Verdict
from meshchaos.checks.naming import mistake, probed_phases, scoped_name
from meshchaos.checks.phases import ORDER
from meshchaos.checks.probing import NO_CHAIN, End, Fate, Witness, by_count, witness
from meshchaos.experiment.config_document import Port
from meshchaos.experiment.document import Method, Path
from meshchaos.experiment.fields import About, OneOrMany, Text, TokenRef, spec
from meshchaos.experiment.model import Expectation, PhaseName, SpecKind, Token, Where
from meshchaos.history.asks import EdgeAsk, ProbeAsk
from meshchaos.history.edges import Edge
from meshchaos.history.probes import Cell, Hits, Probe, Probed
from meshchaos.history.records import History

FEWEST: Final = 5
"""Probes of a cell in a phase that must be counted (semantics.md, 4): fewer say nothing."""
SAFE: Final = ("GET", "HEAD", "OPTIONS")


@spec
class CallsSpec:
    to: Annotated[Text, About("the service that is called; with several ports name:port, or port")]
    from_: Annotated[OneOrMany[Text], About("who calls: workloads, gateway, outside")] = ()
    not_from: Annotated[OneOrMany[Text], About("everybody else calls: every other workload, and outside")] = ()
    methods: Annotated[OneOrMany[Method], About("each is a call; GET by itself")] = ()
    paths: Annotated[OneOrMany[Path], About("each is a call; / by itself")] = ()
    token: Annotated[OneOrMany[TokenRef], About("what is shown as bearer token; several are several calls")] = ()
    port: Annotated[Port | None, About("of the service, where it has several")] = None
    side_effects: Annotated[bool, About("calls other than GET, HEAD and OPTIONS may reach the application")] = False

    def check(self) -> None:
        if bool(self.from_) == bool(self.not_from):
            raise ValueError("needs either `from` or `notFrom`: who calls")
        if self.port is not None and ":" in self.to:
            raise ValueError("has the port twice: write it in `to` or in `port`")


@dataclass(frozen=True, slots=True)
class _Judged:
    """One cell in one phase. ``short``: the reason for a table."""

    verdict: Verdict
    counted: int
    reason: str
    short: str = ""


@dataclass(frozen=True, slots=True)
class DenialCheck:
    """Every cell of a matrix, in every phase named: ``want`` REFUSED or REACHED; one breach is FAIL."""

    kind: str
    name: str
    during: tuple[PhaseName, ...]
    ask: ProbeAsk
    edge: EdgeAsk
    want: End
    where: Where

    @property
    def asks(self) -> tuple[EdgeAsk | ProbeAsk, ...]:
        return (self.edge, self.ask)

    def judge(self, history: History, *, alpha: float) -> Finding:
        probed, edge = history.probes.get(self.ask), history.edges.get(self.edge)
        if probed is None or edge is None:
            return self._found(Verdict.INVALID, "nothing was probed: the run ended before")
        seen = witness([edge], frozenset(probe.id for probe in probed.probes))
        matrix: dict[int, list[tuple[PhaseName, _Judged]]] = {at: [] for at in range(len(probed.record.cells))}
        for name in self.during:
            phase = history.phase(name)
            probes: dict[int, list[Probe]] = {}
            for probe in probed.probes:
                if probe.phase == name:
                    probes.setdefault(probe.cell, []).append(probe)
            for at, judged in matrix.items():
                found = self._cell(probes.get(at, []), seen)
                if found.verdict is Verdict.PASS and (phase is None or phase.broken_off):
                    text = f"the {name} was broken off"
                    found = replace(found, verdict=Verdict.INVALID, reason=text, short="broken off")
                judged.append((name, found))
        return self._together(probed, edge, matrix)

    def _cell(self, probes: Sequence[Probe], seen: Witness) -> _Judged:
        fates = [(probe, seen.fate(probe)) for probe in probes]
        breach = End.REACHED if self.want is End.REFUSED else End.REFUSED
        breaches = [(probe, fate) for probe, fate in fates if fate.end is breach]
        counted = len(breaches) + sum(fate.end is self.want for _, fate in fates)
        if breaches:
            probe, fate = breaches[0]
            text = f"{fate.words} ({len(breaches)} of {words.plural(counted, 'probe')}, the first {probe.id})"
            if breach is End.REACHED and probe.status in (401, 403):
                text = f"the mesh let it through, and only the application itself refused it: {text}"
            done = "let through" if breach is End.REACHED else "refused"
            return _Judged(Verdict.FAIL, counted, text, f"{done}: {fate.words}")
        others = _others(fate for _, fate in fates if fate.end is not self.want)
        if self.want is End.REFUSED and (admitted := [f for _, f in fates if f.end is End.ADMITTED]):
            text = f"{words.plural(len(admitted), 'probe')} passed the policies, {admitted[0].words}"
            return _Judged(Verdict.INCONCLUSIVE, counted, text, text)
        if counted < FEWEST:
            text = f"only {words.plural(counted, 'probe')} counted, and it takes {FEWEST}{others}"
            return _Judged(Verdict.INCONCLUSIVE, counted, text, f"only {words.plural(counted, 'probe')} counted")
        return _Judged(Verdict.PASS, counted, f"{counted} of {counted} {self._word}{others}", self._word)

    @property
    def _word(self) -> str:
        return "refused" if self.want is End.REFUSED else "let through"

    def _together(
        self, probed: Probed, edge: Edge, matrix: Mapping[int, Sequence[tuple[PhaseName, _Judged]]]
    ) -> Finding:
        every = [(at, name, one) for at, judged in matrix.items() for name, one in judged]
        n = sum(one.counted for _, _, one in every)
        at, name, worst = min(every, key=lambda item: ORDER.index(item[2].verdict))
        cells = probed.record.cells
        table = _table(cells, self.ask.tokens, {at: _worst(judged) for at, judged in matrix.items()})
        evidence = tuple(f"left out: {one}" for one in probed.record.left_out)
        problem = probed.record.problem or edge.record.problem or _contradiction(probed, edge)
        if worst.verdict is not Verdict.FAIL and problem is not None:
            return self._found(Verdict.INVALID, f"not all is known: {problem}", n, evidence, table)
        if worst.verdict is Verdict.PASS:
            text = f"during this run all {words.plural(n, 'probe')} of {words.plural(len(cells), 'call')} were "
            more = ", and none reached the application" if self.want is End.REFUSED else " by the mesh"
            evidence = (_second_proof(probed), *evidence)
            return self._found(Verdict.PASS, text + self._word + more, n, evidence, table)
        bad = [cell for cell, judged in matrix.items() if any(one.verdict is worst.verdict for _, one in judged)]
        more = f" (and {len(bad) - 1} of {len(cells)} calls more)" if len(bad) > 1 else ""
        text = f"{call_words(cells[at], self.ask.tokens)} {words.phase(name)}: {worst.reason}{more}"
        lines = tuple(
            f"{call_words(cells[cell], self.ask.tokens)} {words.phase(phase)}: {one.reason}"
            for cell, phase, one in every
            if one.verdict is not Verdict.PASS
        )
        return self._found(worst.verdict, text, n, (*lines, *evidence), table)

    def _found(
        self,
        verdict: Verdict,
        reason: str,
        n: int = 0,
        evidence: tuple[str, ...] = (),
        matrix: Matrix | None = None,
    ) -> Finding:
        return Finding(
            self.kind,
            self.name,
            self.during,
            verdict,
            reason,
            n=n,
            evidence=evidence,
            line=self.where.line,
            matrix=matrix,
        )


def call_words(cell: Cell, tokens: Sequence[Token]) -> str:
    """``reviews-v1.shop -> ratings.shop:9080 GET /``, with the token where one is shown."""
    token = tokens[cell.token]
    shown = f" {token.shown}" if token.kind != "none" or len(tokens) > 1 else ""
    return f"{cell.source} -> {cell.to} {cell.method} {cell.path}{shown}"


def _others(fates: Sequence[Fate] | object) -> str:
    counts = by_count(fates)  # type: ignore[arg-type]  # an iterable of fates
    return "".join(f"; not counted: {count} ({text})" for text, count in counts.items())


def _worst(judged: Sequence[tuple[PhaseName, _Judged]]) -> MatrixCell:
    name, worst = min(judged, key=lambda item: ORDER.index(item[1].verdict))
    if worst.verdict is Verdict.PASS:
        return MatrixCell(Verdict.PASS, f"{worst.short} ({sum(one.counted for _, one in judged):,})")
    return MatrixCell(worst.verdict, f"{words.phase(name)} {worst.short}")


def _table(cells: Sequence[Cell], tokens: Sequence[Token], found: Mapping[int, MatrixCell]) -> Matrix:
    def column(cell: Cell) -> str:
        return call_words(cell, tokens).partition(" -> ")[2]

    columns = tuple(dict.fromkeys(column(cell) for cell in cells))
    rows = []
    for source in dict.fromkeys(cell.source for cell in cells):
        mine = {column(cell): found[at] for at, cell in enumerate(cells) if cell.source == source}
        rows.append(MatrixRow(source, tuple(mine.get(name, MatrixCell(None, "")) for name in columns)))
    return Matrix(columns, tuple(rows))


def _counted(probed: Probed) -> Mapping[str, tuple[Hits, Hits]]:
    """The first and the last count of each application that counted from the begin of probing to its end."""
    found: dict[str, list[Hits]] = {}
    for one in sorted(probed.hits, key=lambda one: one.at):
        found.setdefault(one.replica, []).append(one)
    return {name: (some[0], some[-1]) for name, some in found.items() if len(some) > 1}


def _second_proof(probed: Probed) -> str:
    counted = _counted(probed)
    if not counted:
        return "no application behind it has a count of its own to ask: the proxies' logs alone say so"
    return f"the applications' own counts agree: {', '.join(counted)}"


def _contradiction(probed: Probed, edge: Edge) -> str | None:
    """Where an application's own count does not fit what its proxy says to have passed on to it: more requests came,
    or fewer than it answered.
    """
    for name, (first, last) in _counted(probed).items():
        lines = [one.line for one in edge.received if one.proxy == name and one.line.upstream_host]
        hits = last.value - first.value
        passed = sum(max(1, line.attempts) for line in lines)
        answered = sum(
            line.details == "via_upstream" and line.start >= first.at and line.start + line.duration <= last.at
            for line in lines
        )
        if hits > passed:
            return f"the application of {name} counted {hits:,} requests, and its proxy passed on {passed:,}"
        if 0 <= hits < answered:  # less than nothing: it was started anew
            return f"the application of {name} counted {hits:,} requests, and its proxy has {answered:,} answers of it"
    return None


@dataclass(frozen=True, slots=True)
class Denial:
    """``denied`` or ``allowed``."""

    kind: SpecKind
    want: End

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[DenialCheck]:
        wanted: CallsSpec = expectation.spec
        methods = wanted.methods or ("GET",)
        unsafe = [method for method in methods if method not in SAFE]
        if unsafe and self.want is End.REACHED and not wanted.side_effects:
            raise mistake(
                expectation.where,
                f"{', '.join(unsafe)} would reach the application again and again: write sideEffects: true if it may",
            )
        to = wanted.to if wanted.port is None else f"{wanted.to}:{wanted.port}"
        during = probed_phases(expectation, context.experiment)
        ask = ProbeAsk(
            to=to,
            sources=wanted.from_,
            but=wanted.not_from,
            methods=methods,
            paths=wanted.paths,
            tokens=wanted.token or (Token(),),
            during=during,
            once=self.want is End.REFUSED,
        )
        who = ", ".join(wanted.from_) or f"all but {', '.join(wanted.not_from)}"
        several = len(wanted.token) > 2
        tokens = [f"with {len(wanted.token)} tokens"] if several else [token.shown for token in wanted.token]
        scope = [f"{who} -> {to}", *wanted.methods, *wanted.paths, *tokens]
        return (
            DenialCheck(
                kind=self.kind.key,
                name=scoped_name(f"{self.kind.key} {' '.join(scope)}", expectation, context.experiment),
                during=during,
                ask=ask,
                edge=EdgeAsk(to, server_stats=(NO_CHAIN,), probes=True),
                want=self.want,
                where=expectation.where,
            ),
        )

    def plan(self, expectation: Expectation, context: CheckContext) -> None:
        return None


DENIED = Denial(SpecKind("denied", CallsSpec, summary="the calls are refused by the mesh itself"), End.REFUSED)
ALLOWED = Denial(SpecKind("allowed", CallsSpec, summary="the calls are let through by the mesh"), End.REACHED)
