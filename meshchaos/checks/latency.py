"""``latency: {p99: 800ms}``: at most 1 % of the requests are slower, timed out or failed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from meshchaos.checks.kind import CheckContext
from meshchaos.checks.measured import quantile_name
from meshchaos.checks.naming import EdgeFrom, EdgeTo, check_scope, edge_ask, full_name, mistake, phases_of
from meshchaos.checks.needs import Need, needs_of
from meshchaos.checks.rate import RateCheck
from meshchaos.checks.success import GoodStatus, statuses
from meshchaos.checks.tally import Measure
from meshchaos.experiment.fields import About, PositiveDuration, Rest, spec
from meshchaos.experiment.model import Expectation, SpecKind, Where
from meshchaos.history.asks import EdgeAsk

_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")


@spec
class LatencySpec:
    quantiles: Annotated[
        Mapping[str, PositiveDuration],
        Rest(_QUANTILE.pattern, "p50, p99, p99.9"),
        About("the time within which this share of the requests has a good response"),
    ]
    good_status: GoodStatus = ()
    to: EdgeTo = None
    from_: EdgeFrom = ()


class Latency:
    kind = SpecKind("latency", LatencySpec, summary="at most a share 1 - q is slower, timed out or failed")

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[RateCheck]:
        wanted: LatencySpec = expectation.spec
        check_scope(expectation, context.experiment, wanted.to)
        if not wanted.quantiles:
            raise mistake(expectation.where, "no quantile is given: write for instance {p99: 800ms}")
        several = len(wanted.quantiles) > 1
        edge = edge_ask(wanted.to, wanted.from_, expectation)
        return tuple(
            latency_check(
                expectation,
                context,
                quantile=parse_quantile(text, expectation.where),
                limit=limit,
                part=text if several else "",
                good=wanted.good_status,
                edge=edge,
            )
            for text, limit in wanted.quantiles.items()
        )

    def plan(self, expectation: Expectation, context: CheckContext) -> Sequence[Need]:
        return needs_of(self.checks(expectation, context), context.experiment)


LATENCY = Latency()


def latency_check(
    expectation: Expectation,
    context: CheckContext,
    *,
    quantile: float,
    limit: float,
    part: str = "",
    good: Sequence[str] = (),
    prefix: str = "",
    edge: EdgeAsk | None = None,
) -> RateCheck:
    """One quantile's check. Raises FileError for a limit beyond the load's own timeout, where nothing is known."""
    where = expectation.where
    name = quantile_name(quantile)
    if limit <= 0:
        raise mistake(where, f"{name}: the limit must be above 0")
    for load in context.experiment.loads:
        if expectation.load in (None, load.name) and limit > load.timeout:
            raise mistake(
                where,
                f"{name}: the limit is above the timeout of load {load.name!r} ({load.timeout:g} s), where requests "
                "are given up: raise `timeout` in the load",
            )
    return RateCheck(
        kind=expectation.kind,
        name=full_name(
            f"{prefix}latency {edge} {name}" if edge else f"{prefix}latency {name}", expectation, context, part=part
        ),
        edge=edge,
        during=phases_of(expectation, context.experiment),
        theta=round(1 - quantile, 12),
        measure=Measure(statuses(good, where), limit, expectation.load, expectation.request),
        where=where,
        quantile=quantile,
    )


def parse_quantile(text: str, where: Where) -> float:
    """``p99.9`` as 0.999. Raises FileError."""
    match = _QUANTILE.fullmatch(text)
    if match is None or float(match.group(1)) <= 0:
        raise mistake(where, f"{text!r} is no quantile: write p50, p99, p99.9 (above p0, below p100)")
    return round(float(match.group(1)) / 100, 12)
