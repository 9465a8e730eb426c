"""The kills of one fault: whom, that they ended, and that all are back."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from meshchaos.errors import NotFound, NotLive
from meshchaos.faults.kind import Kill
from meshchaos.mesh.seam import Mesh, Replica


@dataclass
class Killing:
    """``wanted``: how many were ready before the first of them."""

    mesh: Mesh
    kill: Kill
    wanted: int | None = None
    rounds: int = 0

    def strike(self) -> dict[str, Replica]:
        """Kills those that the seed draws among the ready ones now; by their names (``name.namespace``). None where
        nobody is ready, after the first time. Raises NotLive, and what the mesh raises.
        """
        ready = {name: one for name, one in sorted(self._replicas().items()) if one.ready}
        if self.wanted is None:
            self.wanted = len(ready)
        count = self.kill.count
        asked = math.ceil(count * len(ready) - 1e-9) if isinstance(count, float) else min(count, len(ready))
        if not asked and not self.rounds:
            raise NotLive(f"nobody of {self.kill.workload} is ready, so nobody can be killed")
        drawn = random.Random(f"{self.kill.seed}/{self.rounds}").sample(list(ready), asked)
        self.rounds += 1
        if drawn:
            try:
                self.mesh.kill(sorted(drawn), self.kill.what)
            except NotFound as error:  # somebody or something else was quicker
                raise NotLive(f"a replica of {self.kill.workload} went before it could be killed: {error}") from error
        return {name: ready[name] for name in sorted(drawn)}

    def still_ready(self, killed: dict[str, Replica]) -> list[str]:
        """Those of ``killed`` that are as they were before."""
        now = self._replicas()
        return [
            name
            for name, one in killed.items()
            if name in now and now[name].ready and now[name].restarts == one.restarts
        ]

    def missing(self) -> str | None:
        """How many are not back yet, in words; None when all are."""
        ready = sum(one.ready for one in self._replicas().values())
        if self.wanted is None or ready >= self.wanted:
            return None
        return f"{self.kill.workload} has {ready} replicas ready of the {self.wanted} that it had before"

    def _replicas(self) -> dict[str, Replica]:
        return {
            f"{replica.name}.{replica.namespace}": replica
            for workload in self.mesh.snapshot().workloads
            if (workload.name, workload.namespace) == (self.kill.workload, self.kill.namespace)
            for replica in workload.replicas
        }
