"""The local mesh's supervisor: the process that owns Envoys, programs, objects and journal, and serves the seam.

``python -m meshchaos.mesh.local.supervisor FOLDER [OWNER]``: ``FOLDER`` is the mesh's runtime folder with ``spec.json``
in it, ``OWNER`` the number of the descriptor whose end ends the mesh (left out: it runs until SIGTERM). On standard
output comes one JSON line, ``{"ready": true}`` or ``{"error": {...}}`` as in ``wire.error_form``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from meshchaos.mesh.local import guard, runtime

if TYPE_CHECKING:
    from meshchaos.mesh.local.processes import ProcessTable
    from meshchaos.mesh.local.service import Service
    from meshchaos.mesh.local.spec import MeshSpec

_EXPIRY_EVERY = 0.5
_RENEWAL_EVERY = 60.0


def main() -> int:
    folder = Path(sys.argv[1])
    owner = int(sys.argv[2]) if len(sys.argv) > 2 else None
    if owner is not None:
        os.set_inheritable(owner, False)
    lock = runtime.hold(folder)
    status = guard.guarded(lambda: _supervise(folder, detached=owner is None), folder=str(folder), owner=owner)
    os.close(lock)
    return status


def _supervise(folder: Path, *, detached: bool) -> int:
    # Imported after the fork: the guard stays small.
    from meshchaos.mesh.local.linux import become_subreaper

    become_subreaper()
    return asyncio.run(_run(folder, detached=detached))


async def _run(folder: Path, *, detached: bool) -> int:
    from meshchaos.mesh.local.processes import ProcessTable
    from meshchaos.mesh.local.wire import error_form

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    table = ProcessTable(loop)
    service: Service | None = None
    try:
        try:
            spec, service = _prepare(folder, table, ended)
        except Exception as error:  # as below
            _tell({"error": error_form(error)})
            return 1
        starting = loop.create_task(_start(service, spec, folder, detached=detached))
        stopped = loop.create_task(ended.wait())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return 0
        try:
            starting.result()
        except Exception as error:  # all of it goes to whoever starts the mesh
            _tell({"error": error_form(error)})
            return 1
        _tell({"ready": True})
        keeping = loop.create_task(_keep(service))
        await asyncio.wait({keeping, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            keeping.result()
        keeping.cancel()
        return 0
    finally:
        await table.end_all()
        if service is not None:
            service.end()


def _prepare(folder: Path, table: ProcessTable, ended: asyncio.Event) -> tuple[MeshSpec, Service]:
    """Raises UserError for what this machine or this installation lacks."""
    from meshchaos.mesh.local import preflight

    preflight.check_machine(0)
    from meshchaos.mesh.local.service import Service  # needs what was just looked for
    from meshchaos.mesh.local.spec import MeshSpec

    spec_file = folder / "spec.json"
    spec = MeshSpec.loads(spec_file.read_text("utf-8"))
    spec_file.unlink()
    return spec, Service(spec, folder, table, stop=ended.set)


async def _start(service: Service, spec: MeshSpec, folder: Path, *, detached: bool) -> None:
    await service.up()
    info = runtime.MeshInfo(
        mesh=spec.mesh,
        config=spec.config,
        logs=spec.logs,
        pid=os.getppid(),
        started=time.time(),
        detached=detached,
        folder=str(folder),
    )
    await service.listen(info.socket)
    runtime.write_info(info)


async def _keep(service: Service) -> None:
    """What comes round: expiry of the journal, renewal of certificates and issuers' keys."""
    renewed = time.monotonic()
    while True:
        await asyncio.sleep(_EXPIRY_EVERY)
        await service.expire()
        if time.monotonic() - renewed >= _RENEWAL_EVERY:
            service.renew()
            renewed = time.monotonic()


def _tell(message: dict[str, object]) -> None:
    """One line to the starter; then nothing more, so that its pipe ends."""
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(message), flush=True)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.close(null)


if __name__ == "__main__":
    sys.exit(main())
