"""``success: 99.5%``: the share of good responses is at least this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from meshchaos.checks.kind import CheckContext
from meshchaos.checks.naming import EdgeFrom, EdgeTo, check_scope, edge_ask, full_name, mistake, phases_of
from meshchaos.checks.needs import Need, needs_of
from meshchaos.checks.rate import RateCheck
from meshchaos.checks.tally import GOOD, Measure, Statuses
from meshchaos.experiment.fields import About, OneOrMany, Share, StatusRange, spec
from meshchaos.experiment.model import Expectation, SpecKind, Where
from meshchaos.experiment.scalars import GRPC_STATUSES
from meshchaos.history.samples import GRPC

GoodStatus = Annotated[
    OneOrMany[StatusRange], About("statuses that are good, instead of 200-399 and gRPC's OK: 404, 200-299, NOT_FOUND")
]


@spec
class SuccessSpec:
    at_least: Annotated[Share, About("the share of requests that must have a good response")]
    good_status: GoodStatus = ()
    to: EdgeTo = None
    from_: EdgeFrom = ()


class Success:
    kind = SpecKind("success", SuccessSpec, scalar="atLeast", summary="the share of good responses is at least this")

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[RateCheck]:
        wanted: SuccessSpec = expectation.spec
        check_scope(expectation, context.experiment, wanted.to)
        good = statuses(wanted.good_status, expectation.where)
        edge = edge_ask(wanted.to, wanted.from_, expectation)
        return (
            RateCheck(
                kind="success",
                name=full_name(f"success {edge}" if edge else "success", expectation, context),
                edge=edge,
                during=phases_of(expectation, context.experiment),
                theta=bad_share(wanted.at_least, expectation.where),
                measure=Measure(good, None, expectation.load, expectation.request),
                where=expectation.where,
            ),
        )

    def plan(self, expectation: Expectation, context: CheckContext) -> Sequence[Need]:
        return needs_of(self.checks(expectation, context), context.experiment)


SUCCESS = Success()


def bad_share(at_least: float, where: Where) -> float:
    """The bad share allowed (theta) for a share asked. Raises FileError for 0 % and 100 %, which no test can judge."""
    if at_least >= 1:
        raise mistake(where, "no number of requests can show 100 %: ask for what you need, such as 99.9%")
    if at_least <= 0:
        raise mistake(where, "a share of 0 % always holds: ask for what you need, such as 99.5%")
    return round(1 - at_least, 12)


def statuses(ranges: Sequence[str], where: Where) -> Statuses:
    """``404``, ``200-399``, gRPC's ``NOT_FOUND`` as inclusive ranges; the default for none. Raises FileError."""
    found = []
    for text in ranges:
        if text in GRPC_STATUSES:
            found.append((GRPC + GRPC_STATUSES.index(text), GRPC + GRPC_STATUSES.index(text)))
            continue
        low, _, high = str(text).strip().partition("-")
        try:
            first, last = int(low), int(high or low)
        except ValueError:
            raise mistake(where, f"goodStatus: {text!r} is no HTTP status (write 404, or a range: 200-399)") from None
        if not 100 <= first <= last <= 599:
            raise mistake(where, f"goodStatus: {text!r} is no range of HTTP statuses (100 to 599, the lower first)")
        found.append((first, last))
    return tuple(found) or GOOD
