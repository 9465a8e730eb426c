"""What runs in a caller's Pod: sends load and probes for a runner elsewhere, which connects by a port-forward.

It listens on the Pod's loopback alone and keeps nothing: plans may hold secrets, which come by that connection and are
in no argument, variable or object of the cluster. It ends by itself when nobody asks for anything any more.

::

    python -m meshchaos.run.agent <port> [<folder for samples>]
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import meshchaos
from meshchaos.errors import MeshchaosError
from meshchaos.load.host import LoadHost
from meshchaos.load.wire import decode
from meshchaos.mesh.calling import LONGEST
from meshchaos.probes.away import answer
from meshchaos.run.probe import probe_load

LONELY: Final = 600.0
"""Seconds without any question after which it ends: longer than a runner waits for anything."""
_LOOK: Final = 1.0

Answering = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


class Agent:
    """``folder``: for samples until they were fetched."""

    def __init__(self, folder: Path) -> None:
        self._loads = LoadHost(folder)
        self._asked = time.monotonic()
        self._answering: Mapping[str, Answering] = {
            "hello": _hello,
            "ask": answer,
            "answered": _answered,
            "start": self._loads.start,
            "pull": self._loads.pull,
            "stop": self._loads.stop,
            "end": self._loads.end,
        }

    async def serve(self, port: int, listening: Callable[[int], None]) -> None:
        """Until nobody asks any more. ``listening`` is told the port, which 0 leaves to the kernel."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", port, limit=LONGEST)
        listening(int(server.sockets[0].getsockname()[1]))
        guard = asyncio.ensure_future(self._loads.guard())
        try:
            while time.monotonic() - self._asked < LONELY:
                await asyncio.sleep(_LOOK)
        finally:
            guard.cancel()
            server.close()
            self._loads.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        questions: set[asyncio.Task[None]] = set()
        try:
            while line := await reader.readline():
                self._asked = time.monotonic()
                task = asyncio.ensure_future(self._question(line, writer))
                questions.add(task)
                task.add_done_callback(questions.discard)
        except (OSError, ValueError):
            pass  # cut, or no question: the runner makes another connection
        finally:
            writer.close()

    async def _question(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        number: Any = None
        try:
            form = json.loads(line)
            number = form["number"]
            found = await self._answering[form["op"]](form)
        except MeshchaosError as error:
            found = {"error": str(error)}
        except Exception as error:  # one bad question must not end the loads of others
            found = {"error": f"{type(error).__name__}: {error}"}
        if number is not None and not writer.is_closing():
            writer.write(json.dumps({"number": number, **found}).encode() + b"\n")


async def _hello(_: Mapping[str, Any]) -> dict[str, Any]:
    return {"version": meshchaos.__version__, "now": time.time()}


async def _answered(form: Mapping[str, Any]) -> dict[str, Any]:
    """``plan``, ``timeout`` -> ``why``: no answer came to one request of that load, None: one did."""
    plan, _, _ = decode(str(form["plan"]).encode())
    return {"why": await asyncio.to_thread(probe_load, plan, float(form["timeout"]))}


def main(arguments: Sequence[str]) -> int:
    """The process itself. Says on which port it listens."""
    port = int(arguments[0])

    def listening(port: int) -> None:
        print(f"listening on 127.0.0.1:{port}", flush=True)

    with tempfile.TemporaryDirectory(prefix="meshchaos-", dir=arguments[1] if arguments[1:] else None) as folder:
        asyncio.run(Agent(Path(folder)).serve(port, listening))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
