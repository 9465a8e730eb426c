"""A few real Envoys on translated resources, with echoing applications: the harness of the tests beside it."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from meshchaos.mesh.local.addresses import AddressBlock
from meshchaos.mesh.local.admin import AdminClient, AsyncClient
from meshchaos.mesh.local.certificates import Authority
from meshchaos.mesh.local.preflight import envoy_binary
from meshchaos.mesh.local.publish import RunningProxy, Update, publish
from meshchaos.mesh.local.translate import Index, bootstrap, parse_line, refresh, resources
from meshchaos.mesh.local.world import OUTBOUND_PORT, READY_PORT, LocalReplica, World, bind_port
from meshchaos.mesh.local.xds import ProxyFeed
from meshchaos.mesh.objects import Manifest
from meshchaos.mesh.seam import ProxyLogLine

FLAGS = [
    *("--disable-hot-restart", "--concurrency", "1", "--drain-strategy", "immediate", "--drain-time-s", "45"),
    *("--file-flush-interval-msec", "20", "--log-level", "warning"),
]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def by(self) -> str:
        return str(self.json["replica"])


@dataclass
class App:
    """What a replica's program does: ``status`` and ``delay`` (seconds) for all requests; counts them by path."""

    name: str
    status: int = 200
    delay: float = 0.0
    hits: Counter[str] = field(default_factory=Counter)
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
                await reader.readexactly(int(headers.get("content-length", 0)))
                self.hits[path] += 1
                document = {"replica": self.name, "method": method, "path": path, "headers": headers}
                self.seen.append(document)
                if self.delay:
                    await asyncio.sleep(self.delay)
                body = json.dumps(document).encode()
                writer.write(
                    b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                    % (self.status, len(body))
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class TinyMesh:
    """Envoys for ``replicas``; ``change`` brings a new set of objects to all of them."""

    def __init__(self, folder: Path, objects: list[Manifest], replicas: Callable[[AddressBlock], list[LocalReplica]]):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.folder = folder
        self.block = AddressBlock()
        self.apps: dict[str, App] = {}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.servers: list[asyncio.Server] = []
        self._reading = threading.Lock()
        """Tests send requests from several threads, and each looks for its line."""
        self._read: dict[str, int] = {}
        self._lines: dict[str, dict[str, list[ProxyLogLine]]] = {}
        self.base = objects
        self.extra: tuple[Manifest, ...] = ()
        made = [self._run(self._with_app(one)) for one in replicas(self.block)]
        self.index = Index(World(tuple(objects), tuple(made), log_headers=("end-user",)))
        self.proxies: dict[str, RunningProxy] = {}
        authority = Authority("cluster.local")
        versions = itertools.count(1)
        for one in made:
            if one.sidecar or one.gateway:
                self._start(one, authority, versions)
        for one in made:
            if one.sidecar or one.gateway:
                self._wait_ready(one)

    def replica(self, name: str) -> LocalReplica:
        return next(one for one in self.index.world.replicas if one.name == name)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(30)

    async def _with_app(self, one: LocalReplica) -> LocalReplica:
        folder = self.folder / one.name
        folder.mkdir()
        applications: dict[int, str] = {}
        if not one.gateway:
            app = self.apps[one.name] = App(one.name)
            host = "127.0.0.1" if one.sidecar else one.address
            server = await asyncio.start_server(app.serve, host, 0)
            self.servers.append(server)
            # One program behind three container ports: declared HTTP, undeclared, declared TCP.
            applications = dict.fromkeys((9080, 7000, 7001), f"{host}:{server.sockets[0].getsockname()[1]}")
        return replace(
            one,
            applications=applications,
            directory=str(folder),
            logs=str(folder),
            admin=str(folder / "admin.sock"),
            xds=str(folder / "xds.sock"),
        )

    def _start(self, one: LocalReplica, authority: Authority, versions: Any) -> None:
        feed = ProxyFeed(one.name, versions)
        self._run(feed.listen(one.xds))
        for name, secret in authority.secrets(one.identity).items():
            self._call(feed.offer, ("secrets", name), [secret])
        log = Path(one.logs) / "envoy.log"
        proxy = RunningProxy(one.name, feed, AsyncClient(one.admin), log, resources(self.index, one))
        self.proxies[one.name] = proxy
        self._call(proxy.begin)
        config = Path(one.directory) / "bootstrap.json"
        config.write_text(json.dumps(bootstrap(one)))
        with log.open("wb") as output:
            command = [envoy_binary(), "-c", str(config), *FLAGS]
            self.processes.append(subprocess.Popen(command, stdout=output, stderr=output))

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        async def call() -> Any:
            return function(*arguments)

        return self._run(call())

    def _wait_ready(self, one: LocalReplica) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                if request(one.address, READY_PORT, "GET", "/").status == 200:
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, (Path(one.logs) / "envoy.log").read_text()
            time.sleep(0.01)

    def change(self, *extra: Manifest, replicas: tuple[LocalReplica, ...] | None = None) -> list[str]:
        """The base objects and these; returns the proxies that changed."""
        world = replace(
            self.index.world,
            objects=(*self.base, *extra),
            replicas=replicas if replicas is not None else self.index.world.replicas,
        )
        kinds = {item["kind"] for item in (*self.extra, *extra)} | ({"Endpoints"} if replicas is not None else set())
        index = Index(world, self.index)
        updates = [
            Update(proxy, refresh(index, self.replica(name), proxy.resources, kinds))
            for name, proxy in self.proxies.items()
        ]
        fresh = Index(world)
        for update in updates:
            # What is remembered must be what would be made anew.
            assert update.resources == resources(fresh, self.replica(update.proxy.name))
        changed = [proxy.name for proxy in self._run(publish(updates))]
        self.index, self.extra = index, extra
        return changed

    def reset(self) -> None:
        for app in self.apps.values():
            app.status, app.delay = 200, 0.0
            app.hits.clear()
            app.seen.clear()
        self.change()

    def get(self, source: str, url: str, method: str = "GET", **headers: str) -> Answer:
        """Through the sidecar of ``source``, as its explicit proxy."""
        one = self.replica(source)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return request(one.address, OUTBOUND_PORT, method, url, fields)

    def gateway(self, path: str, host: str, **headers: str) -> Answer:
        one = self.replica("gateway")
        fields = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return request(one.address, bind_port(8080), "GET", path, fields)

    def lines(self, name: str, request_id: str, count: int = 1) -> list[ProxyLogLine]:
        """The log lines of one request at one proxy, once there are ``count``."""
        deadline = time.monotonic() + 5
        while True:
            with self._reading:
                self._read_log(name)
                found = list(self._lines[name].get(request_id, []))
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, f"{len(found)} of {count} lines of {request_id} at {name}"
            time.sleep(0.01)

    def _read_log(self, name: str) -> None:
        path = Path(self.replica(name).logs) / "access.log"
        by_id = self._lines.setdefault(name, {})
        if path.exists():
            with path.open("rb") as file:
                file.seek(self._read.get(name, 0))
                whole, newline, _ = file.read().rpartition(b"\n")
            self._read[name] = self._read.get(name, 0) + len(whole) + len(newline)
            for line in map(parse_line, whole.splitlines()):
                by_id.setdefault(line.request_id, []).append(line)

    def stats(self, name: str, pattern: str) -> dict[str, int]:
        client = AdminClient(self.replica(name).admin, name)
        document = json.loads(client.get(f"/stats?format=json&filter={pattern}"))
        client.close()
        return {item["name"]: item["value"] for item in document["stats"] if "name" in item}

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.block.close()

    async def _end(self) -> None:
        for proxy in self.proxies.values():
            proxy.feed.close()
            proxy.admin.close()
        for server in self.servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # Transports say goodbye one turn later.
        await asyncio.sleep(0)


RATINGS = "http://ratings:9080/ratings/0"
_ids = itertools.count(1)


def call(mesh: TinyMesh, url: str = RATINGS, **headers: str) -> tuple[Answer, ProxyLogLine]:
    """A request by the page's sidecar, with its log line there."""
    number = f"req-{next(_ids)}"
    answer = mesh.get("page", url, x_request_id=number, **headers)
    return answer, mesh.lines("page", number)[0]


def request(host: str, port: int, method: str, url: str, headers: dict[str, str] | None = None) -> Answer:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.putrequest(method, url, skip_host=True, skip_accept_encoding=True)
        fields = dict(headers or {})
        if "host" not in fields:
            fields["host"] = url.split("/")[2] if "://" in url else f"{host}:{port}"
        for name, value in fields.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()
