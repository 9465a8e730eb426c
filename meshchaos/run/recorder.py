"""Where a run's events go: into the history first, then to whoever listens."""

from __future__ import annotations

from collections.abc import Sequence

from meshchaos.run import events
from meshchaos.run.history_file import HistoryWriter


class Recorder:
    """Never raises, so that nothing a listener does can come between a fault and its healing.

    A listener that raises is not called again; its error is kept in ``bugs`` for the end of the run.
    """

    def __init__(self, history: HistoryWriter, handlers: Sequence[events.Handler]) -> None:
        self._history = history
        self._handlers = list(handlers)
        self.bugs: list[Exception] = []
        self.events: list[events.Event] = []

    @property
    def failed(self) -> str | None:
        """Why the history can no longer be written, None while it can."""
        return self._history.failed

    def emit(self, event: events.Event) -> None:
        self._history.write(event)
        if not isinstance(event, events.Progress):
            self.events.append(event)
        for handler in list(self._handlers):
            try:
                handler(event)
            except Exception as error:
                self._handlers.remove(handler)
                self.bugs.append(error)
