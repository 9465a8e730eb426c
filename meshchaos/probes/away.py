"""Probes that a caller of the mesh makes (``Mesh.caller``): both ends, as ``mesh.calling`` writes ``ask``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from meshchaos.errors import MeshError
from meshchaos.mesh.calling import ask_form
from meshchaos.mesh.seam import Caller, Entry
from meshchaos.probes.client import Answer, ask

_WAY: Final = 2.0
"""Seconds that question and answer may take beside the call itself."""


async def ask_away(
    caller: Caller, entry: Entry, method: str, url: str, *, headers: Mapping[str, str], timeout: float
) -> tuple[Answer, float, float]:
    """How it ended, its begin and end (epoch s, by the caller's clock, which the mesh has compared). A call of which no
    answer came back may have been made: the proxies' logs tell.
    """
    began = time.time()
    try:
        async with asyncio.timeout(timeout + _WAY):
            form = ask_form(entry, method, url, headers, timeout)
            future = await asyncio.to_thread(caller.submit, form)  # it may have to connect
            found = await asyncio.wrap_future(future)
        return Answer(int(found["status"]), found["failure"]), float(found["start"]), float(found["end"])
    except (MeshError, TimeoutError, ValueError, KeyError, TypeError):
        return Answer(0, "other"), began, time.time()


async def answer(form: Mapping[str, Any]) -> dict[str, Any]:
    """Makes the call that is asked for, from here."""
    start = time.time()
    found = await ask(
        Entry.of(form["entry"]), str(form["method"]), str(form["url"]), form["headers"], float(form["timeout"])
    )
    return {"start": start, "end": time.time(), "status": found.status, "failure": found.failure}
