"""What expectations are called, and what they are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol

from meshchaos.checks.kind import CheckContext
from meshchaos.errors import FileError
from meshchaos.experiment.fields import About, OneOrMany, Text
from meshchaos.experiment.model import Expectation, Experiment, PhaseName, Where
from meshchaos.history.asks import EdgeAsk

EdgeTo = Annotated[Text | None, About("instead of the load's requests those to this service, by the clients' proxies")]
EdgeFrom = Annotated[OneOrMany[Text], About("only the requests of these workloads, with `to`")]


class Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def where(self) -> Where: ...


def mistake(where: Where, message: str) -> FileError:
    return FileError(message, file=where.file, line=where.line, col=where.col, path=where.path)


def phases_of(expectation: Expectation, experiment: Experiment) -> tuple[PhaseName, ...]:
    """``during`` as meant, each phase once. Raises FileError for a phase that the experiment has not."""
    wanted = expectation.during or (experiment.main_phase,)
    for name in wanted:
        if experiment.phase(name) is None:
            known = ", ".join(phase.name for phase in experiment.phases if phase.name != "warmup")
            raise mistake(expectation.where, f"this experiment has no phase {name!r} (there are: {known})")
    return tuple(dict.fromkeys(wanted))


def check_scope(expectation: Expectation, experiment: Experiment, to: str | None = None) -> None:
    """Raises FileError where no load sends what the expectation is about. ``to``: the edge's service, if it has one."""
    if experiment.existing:
        if to is None:
            raise mistake(
                expectation.where,
                f"{expectation.kind} judges the requests of a load, and `load: existing` has none of ours"
                + (
                    ": name the edge whose requests are meant, with `to` and perhaps `from`"
                    if expectation.kind != "slo"
                    else ": write its success and latency, each with the edge (`to`) that is meant"
                ),
            )
        return
    if not experiment.loads:
        raise mistake(
            expectation.where,
            f"{expectation.kind} needs requests to judge, and spec.load is left out (only probes run without it)",
        )
    loads = {load.name: load for load in experiment.loads}
    if expectation.load is not None and expectation.load not in loads:
        raise mistake(expectation.where, f"no load is named {expectation.load!r} (there are: {', '.join(loads)})")
    if expectation.request is None:
        return
    concerned = [loads[expectation.load]] if expectation.load else list(loads.values())
    names = [request.name for load in concerned for request in load.requests]
    if expectation.request not in names and not any(load.locustfile for load in concerned):
        known = ", ".join(dict.fromkeys(names)) or "none"
        raise mistake(expectation.where, f"no request is named {expectation.request!r} (there are: {known})")


def default_name(what: str, expectation: Expectation, context: CheckContext) -> str:
    """``success``, ``latency p99``, ``success shop/pay during recovery``: kind, quantile, scope, and
    ``during`` unless it is the default. Never the threshold, so that history survives a tightening.
    """
    scope = "/".join(part for part in (expectation.load, expectation.request) if part)
    during = phases_of(expectation, context.experiment)
    words = [what]
    if scope:
        words.append(scope)
    if during != (context.experiment.main_phase,):
        words.append(f"during {_during(during, context.experiment)}")
    return " ".join(words)


def edge_ask(to: str | None, sources: Sequence[str], expectation: Expectation) -> EdgeAsk | None:
    """The edge that a success or latency is about; None: the loads' requests. Raises FileError."""
    where = expectation.where
    if to is None:
        if sources:
            raise mistake(where, "`from` names one end of an edge: say with `to` which service is called")
        return None
    if expectation.load is not None or expectation.request is not None:
        raise mistake(where, "an edge (from, to) is judged by its clients' proxies, which know of no load or request")
    return EdgeAsk(to, tuple(sources))


def edge_name(what: str, expectation: Expectation, context: CheckContext, edge: EdgeAsk, part: str = "") -> str:
    """The name of a check about an edge: ``retries page -> ratings recovered``; the user's where there is one."""
    if expectation.name is not None:
        return f"{expectation.name} {part}".strip()
    return default_name(" ".join(one for one in (what, str(edge), part) if one), expectation, context)


def full_name(what: str, expectation: Expectation, context: CheckContext, *, part: str = "") -> str:
    """The user's name where there is one (with ``part`` where one expectation is several checks)."""
    if expectation.name is None:
        return default_name(what, expectation, context)
    return f"{expectation.name} {part}" if part else expectation.name


def _during(during: tuple[PhaseName, ...], experiment: Experiment) -> str:
    judged = {phase.name for phase in experiment.phases if phase.name != "warmup"}
    if len(during) > 1 and set(during) == judged:
        return "all"
    return " and ".join(during)


def probed_phases(expectation: Expectation, experiment: Experiment) -> tuple[PhaseName, ...]:
    """``during`` of what is probed: when it is left out, every phase that is judged. A policy may open or close while
    something else is broken. Raises FileError as ``phases_of``.
    """
    if expectation.during is None:
        return tuple(phase.name for phase in experiment.phases if phase.name != "warmup")
    return phases_of(expectation, experiment)


def scoped_name(what: str, expectation: Expectation, experiment: Experiment) -> str:
    """The user's name, or ``what`` with the phases where the user named some."""
    if expectation.name is not None:
        return expectation.name
    if expectation.during is None:
        return what
    return f"{what} during {_during(phases_of(expectation, experiment), experiment)}"


def unique_names(checks: Sequence[Named]) -> None:
    """Raises FileError at the second of two checks of one name."""
    first: dict[str, Named] = {}
    for check in checks:
        if check.name in first:
            other = first[check.name].where
            raise mistake(
                check.where,
                f"two expectations are named {check.name!r} (the other is in line {other.line}): give one a `name:`",
            )
        first[check.name] = check
