"""Where Prometheus finds the metrics: an endpoint for each proxy, and the files that list them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from meshchaos.errors import MeshError
from meshchaos.mesh.local.admin import AsyncClient
from meshchaos.mesh.local.http1 import MalformedError, Message, Reader, response
from meshchaos.mesh.local.metrics.count import LogCounts
from meshchaos.mesh.local.metrics.labels import Labeller, Party, party
from meshchaos.mesh.local.world import METRICS_PATH, METRICS_PORT, LocalReplica

TARGETS: Final = "prometheus-targets.json"
CONFIG: Final = "prometheus.yml"

_TEXT: Final = "content-type: text/plain; version=0.0.4; charset=utf-8\r\n"


class Scrapes:
    """The endpoints of one mesh. ``folder``: where ``prometheus-targets.json`` (for ``file_sd_configs``) and a
    ``prometheus.yml`` that reads it are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parties: dict[str, Party] = {}
        """Every replica that there was, by address: those that went are in others' logs."""
        self._open: dict[str, _Endpoint] = {}

    async def open(self, replica: LocalReplica, services: Mapping[int, str]) -> None:
        """Serves the metrics of a replica's proxy; call it before the proxy starts. Raises MeshError."""
        self.know(replica)
        endpoint = _Endpoint(replica, self._parties, services)
        await endpoint.listen()
        self._open[replica.address] = endpoint
        self._write()

    def know(self, replica: LocalReplica) -> None:
        """Names a replica in the others' metrics; one without a proxy has none of its own."""
        found = party(replica)
        if replica.sidecar or replica.gateway:
            self._parties[replica.address] = found
        else:
            # Without a sidecar nobody learns who it is where it calls; where it is called its endpoint says so.
            self._parties.update(dict.fromkeys(replica.applications.values(), found))

    def close(self, *replicas: LocalReplica) -> None:
        """Those that have no endpoint are passed over."""
        gone = [self._open.pop(one.address) for one in replicas if one.address in self._open]
        for endpoint in gone:
            endpoint.close()
        if gone:
            self._write()

    def end(self) -> None:
        """The mesh ends: its addresses are the next mesh's, so nobody must be sent there."""
        with contextlib.suppress(MeshError):
            if (self._folder / TARGETS).exists():
                self.close(*(endpoint.replica for endpoint in list(self._open.values())))

    def _write(self) -> None:
        groups = [
            {
                "targets": [f"{one.replica.address}:{METRICS_PORT}"],
                "labels": {"namespace": one.replica.namespace, "pod": one.replica.name},
            }
            for one in self._open.values()
        ]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _replaced(self._folder / TARGETS, json.dumps(groups, indent=1) + "\n")
            _replaced(self._folder / CONFIG, _CONFIG)
        except OSError as error:
            raise MeshError(f"cannot write {error.filename}: {error.strerror}") from error


_CONFIG: Final = f"""\
# Made by meshchaos. Prometheus itself, or your own prometheus.yml with this job:
#   prometheus --config.file=<this file>
global: {{scrape_interval: 5s, evaluation_interval: 5s}}
scrape_configs:
  - job_name: meshchaos
    metrics_path: {METRICS_PATH}
    file_sd_configs:
      - files: [{TARGETS}]
        refresh_interval: 5s
"""


def _replaced(path: Path, text: str) -> None:
    scratch = path.with_suffix(f"{path.suffix}.tmp")
    scratch.write_text(text, "utf-8")
    scratch.replace(path)


class _Endpoint:
    """One proxy's."""

    def __init__(self, replica: LocalReplica, parties: Mapping[str, Party], services: Mapping[int, str]) -> None:
        self.replica = replica
        self._counts = LogCounts(Path(replica.logs), Labeller(replica, parties, services))
        self._admin = AsyncClient(replica.admin)
        self._lock = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._busy: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        try:
            self._server = await asyncio.start_server(self._serve, self.replica.address, METRICS_PORT)
        except OSError as error:
            place = f"{self.replica.address}:{METRICS_PORT}"
            raise MeshError(f"cannot serve metrics at {place}: {error.strerror}") from error

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._busy:
            writer.close()
        self._admin.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._busy.add(writer)
        messages = Reader(server=True)
        try:
            while data := await reader.read(65_536):
                for request in messages.feed(data):
                    writer.write(await self._answer(request))
                    await writer.drain()
                    if not request.keep_alive:
                        return
        except MalformedError as error:
            writer.write(response(error.status, _TEXT, f"{error}\n".encode(), head=False, keep_alive=False))
        except ConnectionError:
            pass
        finally:
            self._busy.discard(writer)
            writer.close()

    async def _answer(self, request: Message) -> bytes:
        status, text = 404, f"metrics are at {METRICS_PATH}\n".encode()
        if request.method not in ("GET", "HEAD"):
            status, text = 405, b"GET only\n"
        elif request.target.partition("?")[0] == METRICS_PATH:
            status, text = await self._metrics()
        head = request.method == "HEAD"
        return response(status, _TEXT, text, head=head, keep_alive=request.keep_alive)

    async def _metrics(self) -> tuple[int, bytes]:
        """None where they would not be whole: of a proxy that hangs, as of a sidecar that does, or of a torn log."""
        name = self.replica.name
        async with self._lock:
            try:
                status, own = await self._admin.get("/stats/prometheus?usedonly")
                await self._counts.read()
            except ValueError:
                return 503, f"the access log of {name} cannot be read\n".encode()
            except (OSError, EOFError):  # a timeout is an OSError
                return 503, f"the proxy of {name} does not answer\n".encode()
        return (200, self._counts.text().encode() + own) if status == 200 else (status, own)
