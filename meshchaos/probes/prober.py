"""Makes the calls of all matrices while a run lasts, in a thread of its own with an event loop: a call that hangs holds
no other up, and the run's own thread only looks on.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from meshchaos.errors import EvidenceError, UserError
from meshchaos.history.probes import Cell, Hits, Probe, ProbeRecord, probe_id, reached
from meshchaos.mesh.seam import Caller, Entry, ProxyLogLine
from meshchaos.probes.away import ask_away
from meshchaos.probes.client import Answer, ask
from meshchaos.probes.file import ProbeFile

TIMEOUT: Final = 5.0
"""Seconds until a call is given up."""
MOST_AT_ONCE: Final = 5
"""Calls of one cell in flight at most."""
_STEP: Final = 0.02
"""Seconds between two looks at whether a call is due."""
_WARMUP: Final = "warmup"
"""A phase in which every call is made and none judged: a connection that the proxies keep from before a policy changed
carries one more request by the old one, which is no news of the policy that the run is about.
"""


class Ways(Protocol):
    """The part of ``Mesh`` that is needed here."""

    def entry(self, source: str, url: str, namespace: str) -> Entry: ...
    def hits(self) -> Mapping[str, int]: ...
    def caller(self, at: str) -> Caller: ...


@dataclass(slots=True)
class _Cell:
    """One cell at work. ``open`` False: it came through where it must not, and is left alone from then on. ``lost``:
    its way in did not take a connection since it was last looked up.
    """

    matrix: int
    position: int
    cell: Cell
    every: float
    during: tuple[str, ...]
    once: bool
    headers: Mapping[str, str] = field(repr=False)
    entry: Entry | None = None
    due: float = 0.0
    flying: int = 0
    open: bool = True
    lost: bool = False


class Prober:
    """Implements ``meshchaos.run.rooms.Observer``. ``emit`` gets the records when probing begins and at the end."""

    def __init__(
        self,
        mesh: Ways,
        records: Sequence[ProbeRecord],
        tokens: Sequence[Sequence[str | None]],
        folder: Path,
        emit: Callable[[Sequence[ProbeRecord]], None],
        *,
        run_id: str,
        namespace: str,
        phase: Callable[[], str | None],
    ) -> None:
        """``tokens``: of each record, what goes behind ``Bearer`` for each of its ask's tokens. ``phase`` is asked
        from the prober's thread.
        """
        self._mesh = mesh
        self._records = list(records)
        self._file = ProbeFile(folder)
        self._emit = emit
        self._run_id = run_id
        self._namespace = namespace
        self._phase = phase
        self._ids: dict[str, _Cell] = {}
        """Of calls that must not come through, by their x-request-id."""
        self._cells = [
            _Cell(
                matrix=matrix,
                position=position,
                cell=cell,
                every=record.every,
                during=record.ask.during,
                once=record.ask.once,
                headers=_headers(tokens[matrix][cell.token]),
            )
            for matrix, record in enumerate(records)
            for position, cell in enumerate(record.cells)
        ]
        self._seq = itertools.count()
        self._stopping = threading.Event()
        self._broken: EvidenceError | None = None
        self._thread = threading.Thread(target=self._work, name="prober", daemon=True)

    def start(self) -> None:
        """Calls are made from here on, in the phases that want them. Raises EvidenceError, MeshGone."""
        self._enter(self._cells)
        self._count(after=True)
        self._emit(self._records)
        self._thread.start()

    def collect(self) -> None:
        """Finds new ways in where one was lost. Raises EvidenceError when probing broke, MeshGone."""
        if self._broken is not None:
            raise self._broken
        self._enter([cell for cell in self._cells if cell.lost])

    def seen(self, line: ProxyLogLine) -> None:
        """What a server's proxy logged of a probe: one that came through and must not is not sent again."""
        cell = self._ids.get(line.request_id)
        if cell is not None and reached(line):
            cell.open = False

    def finish(self) -> None:
        """Ends probing; returns when every call has ended. What is missing becomes the records' ``problem``."""
        self._end()
        try:
            if self._broken is not None:
                raise self._broken
            self._count(after=False)
        except EvidenceError as error:
            self._records = [replace(one, problem=one.problem or str(error)) for one in self._records]
        self._emit(self._records)

    def close(self) -> None:
        """Idempotent."""
        self._end()
        self._file.close()

    def _enter(self, cells: Sequence[_Cell]) -> None:
        """How each of them gets in now; a caller that is down just now has no way."""
        known: dict[tuple[str, str], Entry | None] = {}
        for one in cells:
            key = (one.cell.source, one.cell.url)
            if key not in known:
                try:
                    known[key] = self._mesh.entry(*key, self._namespace)
                except UserError:
                    known[key] = None
            one.entry, one.lost = known[key], known[key] is None

    def _count(self, *, after: bool) -> None:
        """What the applications have counted, with a time at which they had counted no less (``after``) or no more."""
        now = time.time()
        found = self._mesh.hits()
        now = time.time() if after else now
        for matrix, record in enumerate(self._records):
            for name in record.counted:
                if name in found:
                    self._file.hits(matrix, Hits(name, now, found[name]))

    def _end(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(TIMEOUT + 5.0)

    def _work(self) -> None:
        try:
            asyncio.run(self._probe_all())
        except EvidenceError as error:
            self._broken = error
        except Exception as error:  # a bug in a thread would else be silent, and silence is no evidence
            self._broken = EvidenceError(f"the prober broke: {type(error).__name__}: {error}")

    async def _probe_all(self) -> None:
        """Calls are due in turn, evenly spread over the time between two of one cell."""
        now = time.monotonic()
        for number, one in enumerate(self._cells):
            one.due = now + one.every * number / len(self._cells)
        async with asyncio.TaskGroup() as calls:
            while not self._stopping.is_set():
                phase, now = self._phase(), time.monotonic()
                for number, one in enumerate(self._cells):
                    if one.due > now:
                        continue
                    one.due = max(one.due + one.every, now)
                    wanted = phase == _WARMUP or phase in one.during
                    if wanted and one.open and one.flying < MOST_AT_ONCE:
                        one.flying += 1
                        calls.create_task(self._call(one, number, phase or ""))
                await asyncio.sleep(_STEP)

    async def _call(self, one: _Cell, number: int, phase: str) -> None:
        identity = probe_id(self._run_id, number, next(self._seq))
        judged = phase != _WARMUP
        if one.once and judged:
            self._ids[identity] = one
        start = time.time()
        try:
            answer, start, end = await self._send(one, {"x-request-id": identity, **one.headers})
        finally:
            one.flying -= 1
        one.lost = one.lost or answer.failure == "connect"
        # Begun in one phase and ended in another it met who knows which of them.
        whole = phase if judged and self._phase() == phase else ""
        if not whole:
            self._ids.pop(identity, None)
        elif one.once and 200 <= answer.status < 400:
            one.open = False
        probe = Probe(one.position, whole, identity, start, end, answer.status, answer.failure)
        self._file.probe(one.matrix, probe)

    async def _send(self, one: _Cell, headers: Mapping[str, str]) -> tuple[Answer, float, float]:
        """How the call ended, its begin and its end (epoch s)."""
        start, entry, cell = time.time(), one.entry, one.cell
        if entry is None:
            return Answer(0, "connect"), start, time.time()
        if entry.at:
            caller = self._mesh.caller(entry.at)
            return await ask_away(caller, entry, cell.method, cell.url, headers=headers, timeout=TIMEOUT)
        return await ask(entry, cell.method, cell.url, headers, TIMEOUT), start, time.time()


def _headers(token: str | None) -> Mapping[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}
