"""The expectation ``whole``: an answer counts only when its body is long enough.

A page that lost a part of itself is still a 200; ``success`` does not see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from meshchaos.plugin import (
    About,
    CheckContext,
    Expectation,
    Measure,
    Need,
    RateCheck,
    Samples,
    Share,
    SpecKind,
    bad_share,
    check_scope,
    full_name,
    needs_of,
    phases_of,
    spec,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@spec
class WholeSpec:
    at_least: Annotated[Share, About("the share of requests that must have a whole answer")]
    bytes: Annotated[int, About("how long the body of a whole answer is at least")] = 1

    def check(self) -> None:
        if self.bytes < 1:
            raise ValueError("bytes must be at least 1: every answer is that long")


@dataclass(frozen=True, slots=True)
class Whole(Measure):
    """Which requests are bad is all there is to say; counting and testing them is meshchaos's."""

    bytes: int = 1

    def bad(self, samples: Samples) -> NDArray[np.bool_]:
        short: NDArray[np.bool_] = samples.rows["bytes"] < self.bytes
        return Measure.bad(self, samples) | short


class WholeKind:
    kind = SpecKind("whole", WholeSpec, scalar="atLeast", summary="the share of answers that are whole")

    def checks(self, expectation: Expectation, context: CheckContext) -> Sequence[RateCheck]:
        check_scope(expectation, context.experiment)
        return (
            RateCheck(
                kind="whole",
                name=full_name("whole", expectation, context),
                during=phases_of(expectation, context.experiment),
                theta=bad_share(expectation.spec.at_least, expectation.where),
                measure=Whole(load=expectation.load, request=expectation.request, bytes=expectation.spec.bytes),
                where=expectation.where,
            ),
        )

    def plan(self, expectation: Expectation, context: CheckContext) -> Sequence[Need]:
        return needs_of(self.checks(expectation, context), context.experiment)


WHOLE = WholeKind()
