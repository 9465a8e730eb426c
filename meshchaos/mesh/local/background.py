"""Work that nobody waits for, and whose failure somebody must hear of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine


class Background:
    """Tasks of the running loop; ``trouble`` is told of each that failed, one line."""

    def __init__(self, trouble: Callable[[str], None]) -> None:
        self._trouble = trouble
        self._tasks: set[asyncio.Task[None]] = set()
        """The loop itself holds its tasks by weak references alone."""

    def start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._trouble(f"the mesh's supervisor failed: {task.exception()!r}")
