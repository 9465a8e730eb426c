"""What the requests of one window came to, in numbers that say themselves how sure they are: for ``assert``."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from meshchaos.checks import words
from meshchaos.checks.measured import quantile_name
from meshchaos.checks.tally import Counter, Measure, Tally, good_latencies
from meshchaos.errors import EvidenceError
from meshchaos.history.records import GeneratorHealth
from meshchaos.history.samples import Samples


class Told(float):
    """A number that is shown with where it comes from."""

    _text: str

    def __new__(cls, value: float, text: str) -> Told:
        made = super().__new__(cls, value)
        made._text = text
        return made

    def __repr__(self) -> str:
        return self._text

    __str__ = __repr__


@dataclass(frozen=True, repr=False, eq=False)
class Measured:
    """The requests of one load whose intended start lies in [``start``, ``end``) (epoch seconds), all of them resolved.

    Its numbers are estimates: what ``assert`` compares is the estimate, and a failure shows its bounds at
    ``confidence``. ``chaos.expect`` judges with the test that experiments are judged with. They raise EvidenceError
    where the load cannot be trusted: the generator did not keep its rate, or there was no request.
    """

    samples: Samples
    start: float
    end: float
    health: GeneratorHealth
    confidence: float = 0.95

    def __repr__(self) -> str:
        return f"load {self.samples.load} for {words.seconds(self.end - self.start)}"

    @property
    def requests(self) -> int:
        """How many were due."""
        return self._counted().n

    @property
    def failures(self) -> int:
        """How many of them had no good response: status 200 to 399, grpc-status 0, in time."""
        return self._counted().bad

    @property
    def success(self) -> Told:
        """The share of good responses, 0..1."""
        from meshchaos.checks.statistics import binomial

        counts = self._counted()
        low, high = binomial.interval(counts.bad, counts.n, 1 - self.confidence)
        share = 1 - counts.bad / counts.n
        of = f"{words.count(counts.n - counts.bad)} of {words.plural(counts.n, 'request')} were good"
        return Told(share, f"{words.percent(share)} ({of}, {self._bounds(words.percent_range(1 - high, 1 - low))})")

    def latency(self, quantile: float) -> Told:
        """Seconds within which this share (0..1) of the requests had a good response, counted from when each was due;
        infinity where too many failed. Raises ValueError for a share that is none.
        """
        from meshchaos.checks.statistics import binomial
        from meshchaos.checks.statistics.quantile import quantile_with_bounds

        if not 0 < quantile < 1:
            raise ValueError(f"a quantile lies between 0 and 1, and {quantile:g} does not: latency(0.99)")
        counts, alpha = self._counted(), (1 - self.confidence) / 2
        latencies = good_latencies(Measure(), [self.samples], self.start, self.end)
        critical = binomial.critical(counts.n, 1 - quantile, alpha, alpha)
        slow = counts.n - int(latencies.shape[0])
        estimate, low, high = quantile_with_bounds(latencies, slow, quantile, critical)
        name, over = quantile_name(quantile), f"over {words.plural(counts.n, 'request')}"
        if estimate is None:
            return Told(inf, f"{name} without end ({slow:,} of {words.plural(counts.n, 'request')} failed)")
        bounds = words.seconds_range(low, high)
        return Told(estimate, f"{words.seconds(estimate)} ({name} {over}, {self._bounds(bounds)})")

    @property
    def p50(self) -> Told:
        """The median, in seconds, as ``latency(0.5)``."""
        return self.latency(0.5)

    @property
    def p95(self) -> Told:
        """In seconds, as ``latency(0.95)``."""
        return self.latency(0.95)

    @property
    def p99(self) -> Told:
        """In seconds, as ``latency(0.99)``."""
        return self.latency(0.99)

    def _bounds(self, text: str) -> str:
        level = words.level(1 - self.confidence)
        return f"{level} bounds {text}" if text else f"too few for {level} bounds"

    def _counted(self) -> Tally:
        if not self.health.healthy:
            raise EvidenceError(f"load {self.samples.load} cannot be trusted: {self.health.reason}")
        counts = Counter(Measure()).count([self.samples], self.start, self.end)
        if counts.n == 0:
            raise EvidenceError(f"load {self.samples.load}: no request was due in that time; nothing can be said")
        return counts
