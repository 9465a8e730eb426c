"""A run on the API server of the tests: the real engine, mesh and client; loads, proofs and proxies are stand-ins.

By itself this is a process that forks one runner for each line it is told, so that it can be killed at any of its calls
without a start of Python for each:

::

    {"file": ..., "config": ..., "folder": ...}     -> the runner's process number; let go: how it ended
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from meshchaos.mesh.kubernetes import running
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.live import Sign
from meshchaos.mesh.seam import Confirmation
from meshchaos.run.callers import with_callers
from meshchaos.run.catalog import open_catalog
from meshchaos.run.clock import SystemClock
from meshchaos.run.engine import Engine
from meshchaos.run.fitting import refuse_unfit
from meshchaos.run.healing import refuse_held
from meshchaos.run.loads import entries_of
from meshchaos.run.meshes import cluster_spec
from meshchaos.run.plan import make_plan, namespace_of
from meshchaos.run.result import Result
from meshchaos.run.rooms import Observer, Rooms, Scene
from meshchaos.run.vocabulary import load_kinds
from tests.fakes import FakeClock, FakeLoad, FakeProver

RUN_ID = "0123abcd"
HEAL = "meshchaos heal --mesh real"


class Blind:
    """Instead of a look at proxies: they run what the API holds. ``now``: by the clock of the run."""

    now: Callable[[], float] = time.time

    def __init__(self, *_: object) -> None:
        pass

    def digests(self, _sign: object) -> dict[str, str | None]:
        return {}

    def wait(self, _signs: Sequence[Sign], _known: object, **_: object) -> Confirmation:
        return Confirmation(type(self).now(), ())

    def compare_clocks(self, *_: object) -> None:
        pass


def blind() -> None:
    """From now on nobody looks at proxies."""
    running.Looking = Blind  # type: ignore[misc, assignment]


def run(
    file: Path,
    config: Path,
    folder: Path,
    *,
    clock: FakeClock | SystemClock | None = None,
    run_id: str = RUN_ID,
    behaviour: Callable[[float], tuple[int, float]] | None = None,
    handlers: Sequence[Any] = (),
    signalled: Callable[[], str | None] = lambda: None,
    guarded: bool = False,
    slos: Mapping[str, Any] | None = None,
    observers: Callable[[Scene], Sequence[Observer]] = lambda scene: (),
    calling: bool = False,
) -> Result:
    """One run of the one experiment in ``file``. ``calling``: with Pods for what is not sent from here.
    Raises as the planning does; no error of the mesh.
    """
    clock = clock or FakeClock()
    Blind.now = clock.now  # type: ignore[method-assign]
    catalog = open_catalog(config=config, mesh="real")
    (experiment,) = catalog.read([file], ())
    spec = cluster_spec(catalog.config, "real")
    assert spec is not None
    with KubernetesMesh.open(spec, folder / "mesh", guarded=guarded) as mesh:
        refuse_held(mesh, HEAL, time.time())
        snapshot = mesh.snapshot()
        entries = entries_of(experiment, mesh.entry, namespace_of(experiment, snapshot))
        plan = make_plan(experiment, snapshot, catalog.kinds, slos=slos or {}, run_id=run_id, seed=1, entries=entries)
        refuse_unfit(plan, mesh)
        plan = with_callers(plan, mesh) if calling else plan
        more = (behaviour,) if behaviour is not None else ()
        rooms = Rooms(
            driver=lambda load, limit: FakeLoad(load, clock, *more),
            prover=lambda mesh, placement, run_id: FakeProver(placement.share or 1.0),
            log_headers=lambda placements: (),
            probe=lambda load, timeout: None,
            observers=observers,
        )
        return Engine(
            plan=plan,
            mesh=mesh,
            rooms=rooms,
            clock=clock,
            folder=folder,
            handlers=handlers,
            slos={},
            interrupted=signalled,
            heal_command=HEAL,
        ).run()


def serve() -> None:
    """See above. What runners need is loaded once."""
    import kubernetes.dynamic  # noqa: F401
    import scipy.stats  # noqa: F401

    load_kinds()
    blind()
    for line in sys.stdin:
        asked = json.loads(line)
        gate, go = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(gate, 1)
            try:
                run(Path(asked["file"]), Path(asked["config"]), Path(asked["folder"]))
                code = 0
            except BaseException:
                traceback.print_exc()
                code = 1
            sys.stderr.flush()
            os._exit(code)
        print(child, flush=True)
        sys.stdin.readline()
        os.write(go, b"x")
        _, status = os.waitpid(child, 0)
        os.close(gate)
        os.close(go)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
