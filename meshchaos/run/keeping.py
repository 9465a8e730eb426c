"""A journal entry kept from expiring while somebody else's code runs."""

from __future__ import annotations

import threading
import time
from typing import Final

from meshchaos.errors import MeshchaosError
from meshchaos.mesh.journal import Journal

LONGEST: Final = 3600.0
"""Seconds. After that nothing is renewed any more: whoever holds a fault for so long has forgotten it."""


class Keeping:
    """Renews it from a thread of its own, for ``lifetime`` seconds four times within that, until ``stop``. What the
    mesh says against it is nobody's to hear there: who takes the fault back then finds out.
    """

    def __init__(self, journal: Journal, run_id: str, lifetime: float) -> None:
        self._journal = journal
        self._run_id = run_id
        self._lifetime = lifetime
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="meshchaos-journal", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when the last renewal is over. Idempotent."""
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        end = time.monotonic() + LONGEST
        while not self._over.wait(self._lifetime / 4) and time.monotonic() < end:
            try:
                self._journal.renew(self._run_id, self._lifetime)
            except MeshchaosError:
                return
