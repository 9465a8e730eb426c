"""``mutualTLS``: every request arrives over mutual TLS with an expected identity, and plaintext is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from meshchaos.checks import words
from meshchaos.checks.denial import FEWEST, call_words
from meshchaos.checks.kind import CheckContext, Finding, Verdict
from meshchaos.checks.naming import probed_phases, scoped_name
from meshchaos.checks.phases import worst
from meshchaos.checks.probing import NO_CHAIN, End, Witness, witness
from meshchaos.experiment.fields import About, OneOrMany, Text, spec
from meshchaos.experiment.model import Expectation, PhaseName, SpecKind, Where
from meshchaos.history.asks import EdgeAsk, ProbeAsk
from meshchaos.history.edges import Edge, EdgeLine, between
from meshchaos.history.probes import Probe, Probed, is_probe, reached, refused
from meshchaos.history.records import History, PhaseRecord


@spec
class MutualTlsSpec:
    to: Annotated[Text | None, About("the service at which requests arrive")] = None
    all: Annotated[bool, About("every sidecar, instead of one service")] = False
    from_: Annotated[OneOrMany[Text], About("who may be there: workloads, gateway, spiffe:// names; or any")] = ("any",)

    def check(self) -> None:
        if (self.to is None) != self.all:
            raise ValueError("is about one service, `to`, or about `all: true`")
        if not self.from_ or ("any" in self.from_ and len(self.from_) > 1):
            raise ValueError("from is `any`, or names who may be there")
        if self.all and self.from_ != ("any",):
            raise ValueError("with `all` callers differ from service to service: leave `from` out")


@dataclass(frozen=True, slots=True)
class MutualTlsCheck:
    """``named``: the edge whose identities are those expected; None: any identity will do."""

    name: str
    during: tuple[PhaseName, ...]
    ask: ProbeAsk
    arrivals: EdgeAsk
    named: EdgeAsk | None
    where: Where
    kind: str = "mutualTLS"

    @property
    def asks(self) -> tuple[EdgeAsk | ProbeAsk, ...]:
        return (self.arrivals, self.ask, *([self.named] if self.named is not None else []))

    def judge(self, history: History, *, alpha: float) -> Finding:
        probed, edge = history.probes.get(self.ask), history.edges.get(self.arrivals)
        named = history.edges.get(self.named) if self.named is not None else None
        if probed is None or edge is None or (self.named is not None and named is None):
            return self._found(Verdict.INVALID, "nothing was watched: the run ended before")
        seen = witness([edge], frozenset(probe.id for probe in probed.probes))
        expected = frozenset(named.record.identities) if named is not None else None
        found = [
            self._phase(name, history.phase(name), edge, probed=probed, seen=seen, expected=expected)
            for name in self.during
        ]
        chosen = worst(found)
        problem = probed.record.problem or edge.record.problem
        if chosen.verdict is not Verdict.FAIL and problem is not None:
            chosen = replace(chosen, verdict=Verdict.INVALID, reason=f"not all is known: {problem}")
        n = sum(one.n for one in found)
        if chosen.verdict is Verdict.PASS:
            text = (
                f"during this run all {words.plural(n, 'request')} arrived over mutual TLS, and plaintext was refused"
            )
            chosen = replace(self._found(Verdict.PASS, text), evidence=(chosen.reason,))
        others = tuple(
            f"{one.verdict} {one.reason}" for one in found if one.reason not in (chosen.reason, *chosen.evidence)
        )
        left_out = tuple(f"not probed: {one}" for one in probed.record.left_out)
        return replace(chosen, n=n, evidence=(*chosen.evidence, *others, *left_out))

    def _phase(
        self,
        name: PhaseName,
        phase: PhaseRecord | None,
        edge: Edge,
        *,
        probed: Probed,
        seen: Witness,
        expected: frozenset[str] | None,
    ) -> Finding:
        when = words.phase(name)
        if phase is None:
            return self._found(Verdict.INVALID, f"{when}: it did not take place")
        own = {probe.id for probe in probed.probes}  # plaintext, which is looked at by itself
        arrivals = [
            one
            for one in between(edge.received, phase.start, phase.end)
            if _arrived(one) and one.line.request_id not in own
        ]
        n = len(arrivals)
        wrong = [one for one in arrivals if not _fits(one, expected)]
        if wrong:
            line = wrong[0].line
            who = f"as {line.peer}" if line.peer else "in plaintext, without any identity"
            text = (
                f"{when} {len(wrong):,} of {words.plural(n, 'request')} arrived otherwise, the first at "
                f"{wrong[0].proxy} {who}: {line.method} {line.path}{_by_whom(wrong[0])}"
            )
            return self._found(Verdict.FAIL, text, n)
        # Plaintext that was taken somewhere outweighs what is not known elsewhere.
        plain = worst(
            [self._refusals(at, name, probed=probed, seen=seen, n=n) for at in range(len(probed.record.cells))]
        )
        if plain.verdict is not Verdict.PASS:
            return plain
        if not n:
            return self._found(Verdict.INVALID, f"{when} no request arrived, so none arrived over mutual TLS")
        if phase.broken_off:
            return self._found(Verdict.INVALID, f"{when}: it was broken off", n)
        who = words.plural(len({one.line.peer for one in arrivals}), "identity").replace("identitys", "identities")
        return self._found(
            Verdict.PASS, f"{when} all {words.plural(n, 'request')} arrived over mutual TLS ({who}), plaintext never", n
        )

    def _refusals(self, at: int, name: PhaseName, *, probed: Probed, seen: Witness, n: int) -> Finding:
        """Whether the plaintext probes of one cell were refused in a phase."""
        cell, when = probed.record.cells[at], words.phase(name)
        probes = [probe for probe in probed.probes if probe.cell == at and probe.phase == name]
        accepted = [probe for probe in probes if seen.received.get(probe.id)]
        if accepted:
            text = f"{when} plaintext was taken: {call_words(cell, self.ask.tokens)}, {_taken(accepted[0], seen)}"
            return self._found(Verdict.FAIL, text, n)
        fates = [seen.fate(probe) for probe in probes]
        if any(fate.end is End.REACHED for fate in fates):
            return self._found(Verdict.FAIL, f"{when} plaintext was answered: {call_words(cell, self.ask.tokens)}", n)
        if probes and not seen.exposed:
            text = (
                f"no server's proxy exposes {NO_CHAIN}, so nothing shows that plaintext was refused; add it to "
                "proxyStatsMatcher.inclusionRegexps"
            )
            return self._found(Verdict.INVALID, text, n)
        counted = sum(fate.end is End.REFUSED for fate in fates)
        if counted < FEWEST:
            text = (
                f"{when} only {words.plural(counted, 'plaintext probe')} of {cell.to} seen refused, and "
                f"it takes {FEWEST}"
            )
            return self._found(Verdict.INCONCLUSIVE, text, n)
        return self._found(Verdict.PASS, f"{when} plaintext was refused at {cell.to}", n)

    def _found(self, verdict: Verdict, reason: str, n: int = 0) -> Finding:
        return Finding(self.kind, self.name, self.during, verdict, reason, n=n, line=self.where.line)


def _arrived(one: EdgeLine) -> bool:
    """Whether it is an arrival: what the mesh refused is none, nor what probes of ours try and do not reach."""
    return not refused(one.line) and (reached(one.line) or not is_probe(one.line.request_id))


def _fits(one: EdgeLine, expected: frozenset[str] | None) -> bool:
    return one.line.peer in expected if expected is not None else one.line.peer.startswith("spiffe://")


def _by_whom(one: EdgeLine) -> str:
    """Who made it, where that is this run: another expectation's probes are arrivals like any other."""
    return ", on account of a probe that another expectation makes" if is_probe(one.line.request_id) else ""


def _taken(probe: Probe, seen: Witness) -> str:
    line = seen.received[probe.id][0].line
    return f"{line.status or 'no status'} {line.details}".strip() + f" ({probe.id})"


class MutualTls:
    kind = SpecKind(
        "mutualTLS", MutualTlsSpec, scalar="to", summary="every request arrives over mutual TLS, plaintext is refused"
    )

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[MutualTlsCheck]:
        wanted: MutualTlsSpec = expectation.spec
        to = wanted.to or "*"
        during = probed_phases(expectation, context.experiment)
        anybody = wanted.from_ == ("any",)
        scope = "all" if wanted.to is None else to if anybody else f"{', '.join(wanted.from_)} -> {to}"
        return (
            MutualTlsCheck(
                name=scoped_name(f"mutualTLS {scope}", expectation, context.experiment),
                during=during,
                ask=ProbeAsk(to, sources=("outside",), during=during),
                arrivals=EdgeAsk(to, server_stats=(NO_CHAIN,), probes=True),
                named=None if anybody else EdgeAsk(to, wanted.from_),
                where=expectation.where,
            ),
        )

    def plan(self, expectation: Expectation, context: CheckContext) -> None:
        return None


MUTUAL_TLS = MutualTls()
