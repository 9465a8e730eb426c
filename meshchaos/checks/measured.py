"""Shares and quantiles as they are shown: estimates, bounds, and the words for them."""

from __future__ import annotations

from collections.abc import Sequence

from meshchaos.checks import words
from meshchaos.checks.decide import Rule
from meshchaos.checks.kind import Verdict
from meshchaos.checks.sentences import Measured
from meshchaos.checks.statistics.quantile import quantile_with_bounds
from meshchaos.checks.tally import Measure, Tally, good_latencies
from meshchaos.history.samples import Samples


def quantile_name(quantile: float) -> str:
    """``p99``, ``p99.9``."""
    return f"p{round(quantile * 100, 7):g}"


def measure_success(counts: Tally, rule: Rule, verdict: Verdict) -> Measured:
    low, high = rule.bounds(counts, rule.shown(verdict))
    share = 1 - counts.bad / counts.n
    return Measured(
        estimate=share,
        interval=(1 - high, 1 - low),
        found=f"{words.percent(share)} of {words.plural(counts.n, 'request')} were good",
        bounds=words.percent_range(1 - high, 1 - low),
        asked=f"at least {words.percent(1 - rule.theta)} asked",
    )


def measure_latency(
    measure: Measure, quantile: float, samples: Sequence[Samples], *, counts: Tally, rule: Rule, verdict: Verdict
) -> Measured:
    """The quantile with bounds that agree with the verdict. Requests without a good response are slower
    than any other, so an end that falls among them is unbounded: nothing is known beyond ``censored_at``,
    the load's timeout.
    """
    assert measure.limit is not None
    latencies = good_latencies(measure, samples, counts.start, counts.end)
    answered = int(latencies.shape[0])
    estimate, low, high = quantile_with_bounds(
        latencies,
        counts.n - answered,
        quantile,
        rule.critical(counts, rule.shown(verdict)),
        slow_lower=counts.sent - answered,
    )
    timeout = max(some.timeout for some in measure.select(samples))
    name, over = quantile_name(quantile), f"over {words.plural(counts.n, 'request')}"
    if estimate is None:
        lost = counts.n - answered
        share, of = words.percent(lost / counts.n), words.plural(counts.n, "request")
        found = f"{name} has no bound, as {share} of {of} failed or timed out"
    else:
        found = f"{name} was {words.seconds(estimate)} {over}"
    return Measured(
        estimate=estimate,
        interval=(low, high),
        found=found,
        bounds=words.seconds_range(low, high),
        asked=f"at most {words.seconds(measure.limit)} asked",
        censored_at=timeout if None in (estimate, low, high) else None,
    )
