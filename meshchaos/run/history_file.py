"""``history.jsonl``: every event of a run, one JSON object a line, written as it happens.

The first key is ``event`` (the class's name in ``meshchaos.run.events``), then its fields. A crash may leave
the last line cut in two; readers drop it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from meshchaos.errors import UserError
from meshchaos.experiment.hiding import hide
from meshchaos.run import events
from meshchaos.run.plain import plain, revive

FILE: Final = "history.jsonl"

_NOT_KEPT = (events.Progress,)
_DURABLE = (events.PhaseFinished, events.FaultApplying, events.FaultChanged, events.Stopped, events.Healed)

E = TypeVar("E", bound=events.Event)


class HistoryWriter:
    """Appends events. The first failure (disk full) is kept in ``failed`` and nothing is written after it:
    a run that can no longer leave evidence is stopped by whoever looks, and is healed first. ``secrets``: texts that
    are not written.
    """

    def __init__(self, folder: Path, secrets: frozenset[str] = frozenset()) -> None:
        self._path = folder / FILE
        self._secrets = secrets
        self.failed: str | None = None
        self._file = self._path.open("a", encoding="utf-8")

    def write(self, event: events.Event) -> None:
        if self.failed is not None or isinstance(event, _NOT_KEPT):
            return
        data = hide(plain(event), self._secrets)
        line = json.dumps({"event": type(event).__name__, **data}, allow_nan=False, ensure_ascii=False)
        try:
            self._file.write(line + "\n")
            self._file.flush()
            if isinstance(event, _DURABLE):
                os.fsync(self._file.fileno())
        except OSError as error:
            self.failed = f"cannot write {self._path}: {error.strerror}"

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            self.failed = self.failed or f"cannot write {self._path}: {error.strerror}"


def read_history(folder: Path) -> list[events.Event]:
    """The events of a run's folder, in order; kinds that this version does not know are left out.
    Raises UserError where there is no history.
    """
    try:
        lines = (folder / FILE).read_text("utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{folder} is not a run's folder: {FILE}: {error.strerror}") from error
    found: list[events.Event] = []
    for number, line in enumerate(lines, start=1):
        try:
            data = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                break
            raise UserError(f"{folder / FILE}:{number}: not JSON ({error})") from error
        try:
            kind = getattr(events, str(data.pop("event", "")), None)
            if isinstance(kind, type) and issubclass(kind, events.Event):
                found.append(revive(kind, data))
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{folder / FILE}:{number}: not as a run writes it ({error})") from error
    return found


def whole_history(found: Sequence[events.Event]) -> Sequence[events.Event]:
    """For judging it again: of a run that never came to its end (killed, or the file lost its last lines) nobody knows
    what else would have been there, so it gets an error of its own in place of an interruption that was to be healed.
    """
    if not found or any(True for _ in of_kind(found, events.RunFinished)):
        return found
    kept = [event for event in found if not (isinstance(event, events.Stopped) and event.kind == "interrupted")]
    text = "the history ends before the run did, which was killed or lost its last lines"
    touched = any(event.record.applied_at is not None for event in of_kind(found, events.FaultChanged))
    if touched and not any(True for _ in of_kind(found, events.Healed)):
        text += "; whether its faults were put back is not known from here (meshchaos heal says)"
    return [*kept, events.Stopped(found[-1].at, "error", text)]


def of_kind(found: Sequence[events.Event], kind: type[E]) -> Iterator[E]:
    """Those of one kind."""
    return (event for event in found if isinstance(event, kind))
