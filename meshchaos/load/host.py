"""The other end of ``load.away``: generators that this process keeps for a runner elsewhere, which fetches their rows.

::

    start   load, plan (``load.wire``)  -> nothing, once its first request is on its way; asked again, the same
    pull    load, offset                -> rows (base64, from that byte of the sample file on, its header left out),
                                           ended: why no more will come, None: they will
    stop    load                        -> nothing; no more arrivals
    end     load                        -> nothing; it has ended
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from meshchaos.errors import LoadError
from meshchaos.load.file_driver import SILENCE
from meshchaos.load.locust_driver import LocustDriver
from meshchaos.load.wire import decode

_MOST: Final = 1024 * 1024
"""Bytes of rows in one answer."""
_LOOK: Final = 1.0
"""Seconds between two looks whether anybody asks."""


class _Hosted:
    """One generator. ``asked``: when rows were last asked for (monotonic s)."""

    def __init__(self, driver: LocustDriver, samples: Path) -> None:
        self.driver = driver
        self.samples = samples
        self.lock = asyncio.Lock()
        self.asked = time.monotonic()
        self.starting = asyncio.ensure_future(asyncio.to_thread(driver.start))
        self.header = 0
        self.ended: str | None = None


class LoadHost:
    """``folder``: where sample files are, until they were fetched. Raises LoadError in what it is asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loads: dict[int, _Hosted] = {}

    async def start(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """See above."""
        index = int(form["load"])
        if index not in self._loads:
            plan, _, _ = decode(str(form["plan"]).encode())
            if plan.locustfile is not None:
                raise LoadError("a locustfile of the user's own does not run away from its machine")
            samples = self._folder / f"samples-{index}.bin"
            plan = replace(plan, samples=samples, log=self._folder / f"locust-{index}.log")
            self._loads[index] = _Hosted(LocustDriver(plan), samples)
        hosted = self._loads[index]
        await asyncio.shield(hosted.starting)
        with hosted.samples.open("rb") as file:
            hosted.header = len(file.readline())
        hosted.asked = time.monotonic()
        return {}

    async def pull(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """See above. Rows are read after the look at the process, so that its last ones are not missed."""
        hosted = self._hosted(form)
        hosted.asked = time.monotonic()
        async with hosted.lock:
            if hosted.ended is None:
                try:
                    await asyncio.to_thread(hosted.driver.poll)
                except LoadError as error:
                    hosted.ended = str(error)
            rows = await asyncio.to_thread(_read, hosted.samples, hosted.header + int(form["offset"]))
        ended = hosted.ended if len(rows) < _MOST else None
        return {"rows": base64.b64encode(rows).decode("ascii"), "ended": ended}

    async def stop(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """See above."""
        hosted = self._hosted(form)
        async with hosted.lock:
            await asyncio.to_thread(hosted.driver.stop, 0.0)
        return {}

    async def end(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """See above."""
        hosted = self._loads.get(int(form["load"]))
        if hosted is not None:
            await self._close(hosted, "it was ended")
        return {}

    async def guard(self) -> None:
        """Never returns: ends generators whose runner does not ask any more, for as long as that gives them."""
        while True:
            await asyncio.sleep(_LOOK)
            for hosted in self._loads.values():
                if hosted.ended is None and time.monotonic() - hosted.asked > SILENCE:
                    await self._close(hosted, f"nobody asked for its rows for {SILENCE:g} s, so it was ended")

    def close(self) -> None:
        """Ends all of them."""
        for hosted in self._loads.values():
            hosted.driver.close()

    async def _close(self, hosted: _Hosted, why: str) -> None:
        async with hosted.lock:
            hosted.ended = hosted.ended or why
            await asyncio.to_thread(hosted.driver.close)

    def _hosted(self, form: Mapping[str, Any]) -> _Hosted:
        found = self._loads.get(int(form["load"]))
        if found is None or not found.header:
            raise LoadError(f"load {form['load']} was not started here")
        return found


def _read(samples: Path, offset: int) -> bytes:
    with samples.open("rb") as file:
        file.seek(offset)
        return file.read(_MOST)
