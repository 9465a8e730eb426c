"""A load outside of any experiment: it goes on in the background, by a Locust of its own, inside of ``with``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from meshchaos.errors import UserError
from meshchaos.experiment.document import LoadDoc
from meshchaos.experiment.loads import loads_of
from meshchaos.experiment.model import Load, SpecKind
from meshchaos.experiment.problems import Problems
from meshchaos.experiment.scalars import as_positive_duration
from meshchaos.experiment.secrets import resolve
from meshchaos.experiment.specs import build
from meshchaos.experiment.tree import Mark, planted
from meshchaos.load.driver import LoadDriver
from meshchaos.load.plan import plan_loads
from meshchaos.run.by_hand import ByHand
from meshchaos.run.fault_by_hand import Plainly
from meshchaos.run.folder import make_folder, new_run_id
from meshchaos.run.measured import Measured

_PLACE = "chaos.load"
_KIND = SpecKind("load", LoadDoc)
_LONGEST = 3600.0
"""Seconds after which a load ends by itself, whatever became of the process that began it."""
_STEP = 0.1
_SLACK = 2.0
"""Seconds beyond the requests' own timeout until all are resolved."""


def load_of(hand: ByHand, fields: Mapping[str, Any]) -> Load:
    """The load of an experiment's file, from Python. Raises UserError, a line a mistake."""
    doc = build(_KIND, fields, place=_PLACE)
    data = {key.rstrip("_"): value for key, value in fields.items()}
    if doc.locustfile is not None:
        raise UserError(f"{_PLACE}: a locustfile needs an experiment, and chaos.run")
    problems = Problems(_PLACE, planted({"spec": {"load": [data]}}, Mark()))
    (found,) = loads_of((doc,), [data], problems, hand.output)
    if problems.errors:
        raise UserError("\n".join(f"{_PLACE}: {error.message}" for error in problems.errors))
    return replace(found, where=None)


@dataclass
class LoadByHand:
    """``with`` (or ``async with``) it: requests are sent at its rate, each when it is due, whatever became of those
    before. Entering returns when the first is on its way, and raises UserError for a target that cannot be reached from
    there, LoadError where there is no generator; on leaving nothing of it is left.
    """

    hand: ByHand
    load: Load
    _driver: LoadDriver | None = None
    _begun: float = 0.0
    _given_up: bool = False

    def __enter__(self) -> LoadByHand:
        __tracebackhide__ = True
        with Plainly():
            self._driver, self._begun = self._started(), self.hand.now()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    async def __aenter__(self) -> LoadByHand:
        entering = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError:
            await asyncio.wait([entering])
            self.__exit__(None, None, None)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.__exit__(kind, value, tb)

    def during(self, length: str) -> Measured:
        """Waits for so long ("5s"), and until all requests that were due in that time are resolved: what they came to.
        Faults that are live stay so, however long it takes. Raises LoadError when the generator died, UserError outside
        of ``with``.
        """
        __tracebackhide__ = True
        with Plainly():
            start = self.hand.now()
            return self._measured(start, start + _seconds(length))

    async def during_async(self, length: str) -> Measured:
        """The same for an async test; the event loop goes on meanwhile."""
        waiting = asyncio.ensure_future(asyncio.to_thread(self.during, length))
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            self._given_up = True  # the thread looks at the generator: not while it is being closed
            await asyncio.wait([waiting])
            waiting.exception()  # that it was given up is no news
            raise

    def so_far(self) -> Measured:
        """What all requests until now came to, since it was entered. Raises as ``during``."""
        __tracebackhide__ = True
        with Plainly():
            return self._measured(self._begun, self.hand.now())

    def _measured(self, start: float, end: float) -> Measured:
        driver = self._driver
        if driver is None:
            raise UserError(f"{_PLACE}(...) was not entered: write `with {_PLACE}(...) as load:`")
        give_up = end + 2 * (self.load.timeout + _SLACK)
        # Until the first request after it is resolved too: by its number, all of the window are known to be there.
        pulse = driver.poll()
        while not len(driver.samples().between(end, pulse.resolved)) and self.hand.now() < give_up:
            if self._given_up:
                raise UserError(f"{_PLACE}: it was left while it was measured")
            self.hand.wait(_STEP)
            pulse = driver.poll()
        window = driver.samples().between(start, end)
        return Measured(replace(window, rows=window.rows.copy()), start, end, driver.health(start, end))

    def _started(self) -> LoadDriver:
        hand, load = self.hand, self.load
        if self._driver is not None:
            raise UserError(f"{_PLACE}(...) goes on already: make another one for a second `with`")
        namespaces = hand.mesh.snapshot().namespaces
        try:
            entry = hand.mesh.entry(load.source, load.target, namespaces[0] if namespaces else "default")
        except UserError as error:
            raise UserError(f"{_PLACE}: {error}") from error
        if entry.at:
            raise UserError(
                f"{_PLACE}: {entry.words}: a Pod must send that, and an experiment makes one; use chaos.run"
            )
        run_id = new_run_id()
        (plan,) = plan_loads(
            (load,),
            entry=lambda _: entry,
            reveal=resolve,
            run_id=run_id,
            seed=hand.seed,
            folder=make_folder(hand.output, f"load-{load.name}", run_id, self.hand.now()),
            duration=_LONGEST,
        )
        driver = hand.rooms.driver(plan, None)
        driver.start()
        return driver


def _seconds(length: str) -> float:
    try:
        return as_positive_duration(length)
    except ValueError as error:
        raise UserError(f"{_PLACE}: during({length!r}): {error}") from error
