"""What every ``LoadDriver`` has in common whose generator writes a sample file that grows beside us."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Final

from meshchaos.errors import LoadError
from meshchaos.history.records import GeneratorHealth
from meshchaos.history.samples import Samples
from meshchaos.load import health, sample_file
from meshchaos.load.driver import LoadPlan, Pulse

START_TIMEOUT: Final = 30.0
"""Seconds to the first request; Locust needs about 0.5 s on an idle machine."""
SILENCE: Final = 20.0
"""Seconds without a beat after which a generator that still lives is given up: stopped, cut off, or stuck in a
locustfile.
"""
STEP: Final = 0.02
"""Seconds between two looks."""


class FileDriver(ABC):
    """One load. Not thread-safe. ``latency_limit``: the tightest latency that will be judged, seconds."""

    def __init__(self, plan: LoadPlan, *, latency_limit: float | None = None) -> None:
        self._plan = plan
        self._latency_limit = latency_limit
        self._file: sample_file.SampleFile | None = None
        self._heard = 0.0
        self._stopped = False

    def start(self) -> None:
        """Returns when the first request is on its way. Raises LoadError with the generator's own words."""
        sample_file.create(self._plan)
        self._file = sample_file.SampleFile(self._plan.samples)
        try:
            self._begin()
            self._heard = time.monotonic()
            self._await_first()
        except BaseException:
            self.close()
            raise

    def poll(self) -> Pulse:
        """Reads what has come since. Raises LoadError when the generator died or stands still."""
        pulse = self._read()
        self._check()
        assert pulse is not None, "start() comes first"
        if not pulse.finished and time.monotonic() - self._heard > SILENCE:
            self.close()
            raise LoadError(f"load {self._plan.name}: the generator has stood still for {SILENCE:g} s{self._why()}")
        return pulse

    def samples(self) -> Samples:
        assert self._file is not None, "start() comes first"
        return self._file.samples()

    def stop(self, timeout: float) -> None:
        """No more arrivals; waits at most ``timeout`` seconds until what is in flight is resolved."""
        if not self._begun:
            return
        if not self._stopped:
            self._stopped = True
            self._tell_stop()
        deadline = time.monotonic() + timeout
        while not self.poll().finished and time.monotonic() < deadline:
            time.sleep(STEP)

    def health(self, start: float, end: float) -> GeneratorHealth:
        """Over arrivals whose intended start lies in [start, end); constants and reasons in ``load.health``."""
        assert self._file is not None, "start() comes first"
        self._read()
        return health.judge(
            self._file.samples(),
            self._file.beats(),
            rate=self._plan.rate if self._plan.locustfile is None else None,
            start=start,
            end=end,
            latency_limit=self._latency_limit,
        )

    def close(self) -> None:
        """Ends the generator and whatever it started, now. What it wrote can still be read. Idempotent."""
        self._end()
        if self._file is not None:
            self._read()
            self._file.close()

    @property
    @abstractmethod
    def _begun(self) -> bool:
        """Whether there is a generator to stop."""

    @abstractmethod
    def _begin(self) -> None:
        """Starts the generator, whose rows come into the sample file. Raises LoadError."""

    @abstractmethod
    def _tell_stop(self) -> None:
        """Asks it for no more arrivals; one that has ended already is no error."""

    @abstractmethod
    def _check(self) -> None:
        """Raises LoadError when it ended before its work did."""

    @abstractmethod
    def _end(self) -> None:
        """Ends it now. Idempotent."""

    def _why(self) -> str:
        """What is known about a generator that stands still, to put behind a sentence."""
        return ""

    def _last_words(self) -> str:
        """The end of its log, on one line."""
        return ""

    def _await_first(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not (pulse := self._read()) or (pulse.due == 0 and not pulse.finished):
            self._check()
            if time.monotonic() > deadline:
                raise LoadError(f"load {self._plan.name}: no request within {START_TIMEOUT:g} s{self._last_words()}")
            time.sleep(STEP)

    def _read(self) -> Pulse | None:
        if self._file is None:
            return None
        if self._file.read():
            self._heard = time.monotonic()
        return self._file.pulse
