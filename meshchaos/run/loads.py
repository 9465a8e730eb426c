"""The loads of one run: started together, polled together, stopped and closed whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from meshchaos.checks import words
from meshchaos.errors import LoadError, UserError
from meshchaos.experiment.model import Experiment
from meshchaos.history.records import GeneratorHealth
from meshchaos.history.samples import Outcome, Samples
from meshchaos.load.driver import LoadDriver, LoadPlan, Pulse
from meshchaos.load.plan import plan_loads
from meshchaos.mesh.seam import Entry
from meshchaos.run.clock import Clock

_DRAIN_SLACK = 2.0
"""Seconds beyond the requests' own timeout until those in flight are all resolved."""
_BOUND_SLACK = 120.0
"""Seconds that a generator may outlive the phases: confirming, healing; after that it ends by itself."""
_REDIRECTS = (301, 302, 303, 307, 308)
_MOSTLY = 0.9


def load_plans(
    experiment: Experiment, entries: Mapping[str, Entry], *, run_id: str, seed: int, folder: Path, seconds: float
) -> list[LoadPlan]:
    """The loads ready to go, with their secrets. Raises UserError for a secret that is not there.

    The rate rises over half of the warm-up, one second at most: hit at full rate, a mesh whose connections are all
    cold makes so many at once that it may not come out of it.
    """
    from meshchaos.experiment.secrets import resolve

    warmup = experiment.phase("warmup")
    return plan_loads(
        experiment.loads,
        entry=lambda load: entries[load.name],
        reveal=resolve,
        run_id=run_id,
        seed=seed,
        folder=folder,
        duration=seconds + _BOUND_SLACK,
        ramp=min(1.0, warmup.at_most / 2) if warmup is not None else 0.0,
    )


@dataclass
class Loads:
    """A context manager: on leaving it every generator's process has ended."""

    plans: Sequence[LoadPlan]
    make: Callable[[LoadPlan], LoadDriver]
    clock: Clock
    drivers: dict[str, LoadDriver] = field(default_factory=dict)
    """Those that were started, by the load's name."""
    _made: list[LoadDriver] = field(default_factory=list)
    pulses: dict[str, Pulse] = field(default_factory=dict)
    _stopped: bool = False

    def __enter__(self) -> Loads:
        return self

    def start(self) -> None:
        """Returns when every load is on its way. Raises LoadError."""
        for plan in self.plans:
            driver = self.make(plan)
            self._made.append(driver)
            driver.start()
            self.drivers[plan.name] = driver

    def poll(self) -> None:
        """Raises LoadError, naming the load, when a generator died."""
        for name, driver in self.drivers.items():
            self.pulses[name] = driver.poll()

    def samples(self) -> dict[str, Samples]:
        return {name: driver.samples() for name, driver in self.drivers.items()}

    def resolved(self) -> float:
        """Every request that was due before this moment has its row; infinity without loads."""
        return min((pulse.resolved for pulse in self.pulses.values()), default=float("inf"))

    def settle(self, until: float) -> None:
        """Waits until every request due before ``until`` is resolved, as long as such a request may take."""
        give_up = self.clock.now() + self.longest_timeout + _DRAIN_SLACK
        while self.drivers:
            self.poll()
            if self.resolved() >= until or self.clock.now() >= give_up:
                return
            self.clock.wait(0.02)

    @property
    def longest_timeout(self) -> float:
        return max((plan.timeout for plan in self.plans), default=0.0)

    def stop(self) -> None:
        """No more arrivals; returns when what was in flight is resolved. Raises LoadError. Once."""
        if self._stopped:
            return
        self._stopped = True
        for plan in self.plans:
            if plan.name in self.drivers:
                self.drivers[plan.name].stop(plan.timeout + _DRAIN_SLACK)

    def health(self, start: float, end: float) -> list[GeneratorHealth]:
        return [driver.health(start, end) for driver in self.drivers.values()]

    def redirects(self) -> list[str]:
        """Of loads that were mostly sent elsewhere, a line each: such an answer is a good one by its status, and shows
        nothing of what is there.
        """
        import numpy as np

        found = []
        for plan in self.plans:
            if plan.name not in self.drivers:
                continue
            rows = self.drivers[plan.name].samples().rows
            statuses = rows["status"][rows["outcome"] == Outcome.ANSWERED]
            share = float(np.isin(statuses, _REDIRECTS).mean()) if len(statuses) else 0.0
            if share > _MOSTLY:
                found.append(
                    f"load {plan.name}: {words.percent(share)} of the answers only say that {plan.target} is elsewhere "
                    "(status 301 to 308); request it there"
                )
        return found

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        errors: list[Exception] = []
        for driver in self._made:
            try:
                driver.close()
            except Exception as error:  # the others are still to be closed
                errors.append(error)
        if errors and value is None:
            raise LoadError(f"a load generator could not be ended: {errors[0]}") from errors[0]


def entries_of(experiment: Experiment, entry: Callable[[str, str, str], Entry], namespace: str) -> Mapping[str, Entry]:
    """How each load gets into the mesh, by its name. Raises UserError with the load's place in the file."""
    found: dict[str, Entry] = {}
    for load in experiment.loads:
        try:
            found[load.name] = entry(load.source, load.target, namespace)
        except UserError as error:
            where = load.where or experiment.where
            raise UserError(f"{where.file}:{where.line}:{where.col}: {where.path}: {error}") from error
    return found
