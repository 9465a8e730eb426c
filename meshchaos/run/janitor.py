"""``meshchaos janitor``: in a cluster, or beside it, for good: what runs left there is put back once nobody renews it.

A run's own watchdog is on the runner's machine and may end with it. Who is alive is seen by renewals that come, never
by comparing clocks, so a janitor that has just begun waits for as long as a Lease lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from meshchaos.errors import MeshchaosError
from meshchaos.mesh.journal import JournalEntry
from meshchaos.mesh.seam import Mesh
from meshchaos.run.healing import heal_entry
from meshchaos.run.outcome import EXIT_PASS

LOOK: Final = 5.0
"""Seconds between two looks."""
GRACE: Final = 60.0
"""Seconds that somebody else who heals already is given for it."""


@dataclass
class Janitor:
    """``say`` is told what was done, and what could not be, once until it changes."""

    mesh: Mesh
    say: Callable[[str], None]
    now: Callable[[], float] = time.time
    _since: dict[str, float] = field(default_factory=dict)
    _said: str = ""

    def look(self) -> bool:
        """Puts back what nobody renews any more; whether there was something. Raises nothing on account of the mesh."""
        done = False
        try:
            entries = self.mesh.journal.entries()
            for gone in self._since.keys() - {entry.run_id for entry in entries}:
                del self._since[gone]
            for entry in entries:
                if self._is_over(entry):
                    line, code = heal_entry(self.mesh, entry)
                    done = done or code == EXIT_PASS
                    self._tell(line)
            if not entries:
                self._said = ""
        except MeshchaosError as error:
            self._tell(str(error))
        return done

    def _is_over(self, entry: JournalEntry) -> bool:
        now = self.now()
        if entry.expires > now:
            self._since.pop(entry.run_id, None)
            return False
        # 0: somebody took it over and heals, or its Lease was deleted.
        return entry.expires > 0 or now - self._since.setdefault(entry.run_id, now) >= GRACE

    def _tell(self, line: str) -> None:
        if line != self._said:
            self.say(line)
        self._said = line
