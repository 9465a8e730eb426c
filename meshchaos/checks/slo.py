"""``slo: payments``: the success and latency of that SLO in meshchaos.yaml."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated

from meshchaos.checks.kind import CheckContext
from meshchaos.checks.latency import latency_check
from meshchaos.checks.measured import quantile_name
from meshchaos.checks.naming import check_scope, full_name, mistake, phases_of
from meshchaos.checks.needs import Need, needs_of
from meshchaos.checks.rate import RateCheck
from meshchaos.checks.success import GoodStatus, bad_share, statuses
from meshchaos.checks.tally import Measure
from meshchaos.experiment.fields import About, Text, spec
from meshchaos.experiment.model import Expectation, SpecKind


@spec
class SloSpec:
    slo: Annotated[Text, About("the name of an SLO in meshchaos.yaml")]
    good_status: GoodStatus = ()


class SloKind:
    kind = SpecKind("slo", SloSpec, scalar="slo", summary="the checks of that SLO in meshchaos.yaml")

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[RateCheck]:
        wanted: SloSpec = expectation.spec
        where = expectation.where
        check_scope(expectation, context.experiment)
        slo = context.slos.get(wanted.slo)
        if slo is None:
            known = ", ".join(context.slos) or "none"
            near = difflib.get_close_matches(wanted.slo, context.slos, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise mistake(where, f"meshchaos.yaml has no SLO {wanted.slo!r}{hint} (there are: {known})")
        found = []
        if slo.success is not None:
            measure = Measure(statuses(wanted.good_status, where), None, expectation.load, expectation.request)
            found.append(
                RateCheck(
                    kind="slo",
                    name=full_name(f"slo {slo.name} success", expectation, context, part="success"),
                    during=phases_of(expectation, context.experiment),
                    theta=bad_share(slo.success, where),
                    measure=measure,
                    where=where,
                )
            )
        found += [
            latency_check(
                expectation,
                context,
                quantile=quantile,
                limit=limit,
                part=f"latency {quantile_name(quantile)}",
                good=wanted.good_status,
                prefix=f"slo {slo.name} ",
            )
            for quantile, limit in slo.latency.items()
        ]
        if not found:
            raise mistake(where, f"SLO {slo.name!r} in meshchaos.yaml names neither success nor latency")
        return tuple(found)

    def plan(self, expectation: Expectation, context: CheckContext) -> Sequence[Need]:
        return needs_of(self.checks(expectation, context), context.experiment)


SLO = SloKind()
