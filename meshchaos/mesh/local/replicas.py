"""One replica as processes: its Envoy, its program, its folders; started, waited for, killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from meshchaos.errors import MeshError, ProxyRejected, UserError
from meshchaos.mesh.local import stub, translate
from meshchaos.mesh.local.admin import AsyncClient
from meshchaos.mesh.local.certificates import Authority
from meshchaos.mesh.local.metrics.scrape import Scrapes
from meshchaos.mesh.local.processes import Process, ProcessTable
from meshchaos.mesh.local.programs import (
    envoy_command,
    plain_environment,
    plain_hosts,
    program_environment,
    stub_document,
)
from meshchaos.mesh.local.publish import RunningProxy
from meshchaos.mesh.local.spec import ProgramSpec, StubSpec
from meshchaos.mesh.local.translate.tls import SERVED
from meshchaos.mesh.local.world import READY_PORT, LocalReplica, ProxyResources, World
from meshchaos.mesh.local.xds import ProxyFeed

Container = Literal["app", "proxy"]

READY_WITHIN = 30.0
"""Seconds a replica has to come up."""


@dataclass(slots=True)
class ReplicaState:
    """A replica with what runs for it. ``stopped``: it was killed or removed on purpose."""

    local: LocalReplica
    program: StubSpec | ProgramSpec | None
    proxy: RunningProxy | None = None
    envoy: Process | None = None
    application: Process | None = None
    probe: AsyncClient | None = None
    """To the proxy's readiness listener, which its worker answers."""
    stopped: bool = False
    expired: bool = False
    """It was given a certificate that is past its end."""
    stale: bool = False
    """Its proxy gets nothing new, by a mark of its Pod."""

    @property
    def name(self) -> str:
        return f"{self.local.name}.{self.local.namespace}"

    @property
    def has_proxy(self) -> bool:
        return self.local.sidecar or self.local.gateway

    @property
    def takes_updates(self) -> bool:
        """Its proxy runs, was not killed a moment ago, and is not kept from what is new."""
        envoy = self.envoy
        if self.stale:
            return False
        return self.proxy is not None and not self.stopped and envoy is not None and envoy.running and not envoy.wanted

    def processes(self) -> list[Process]:
        return [process for process in (self.envoy, self.application) if process is not None]


class Launcher:
    """Starts replicas. ``trouble`` is told of each process that ended by itself, one line."""

    def __init__(
        self,
        table: ProcessTable,
        *,
        binary: str,
        authority: Authority,
        versions: Iterator[int],
        environment: Mapping[str, str],
        folder: str,
        seed: int,
        scrapes: Scrapes,
        trouble: Callable[[str], None],
    ) -> None:
        stub.loop_factory()  # loaded here once, for all stubs to be forked
        self._table = table
        self._binary = binary
        self._authority = authority
        self._versions = versions
        self._environment = environment
        self._folder = folder
        self._seed = seed
        self._scrapes = scrapes
        self._trouble = trouble

    async def start(
        self,
        state: ReplicaState,
        resources: ProxyResources | None,
        world: World,
        services: Mapping[int, str] | None = None,
    ) -> None:
        """Starts the replica's processes; ``resources`` None: no proxy. ``services``: container port -> full name of
        the Service that leads there, for the proxy's metrics. Raises MeshError, UserError.
        """
        local = state.local
        try:
            Path(local.directory).mkdir(mode=0o700, parents=True, exist_ok=True)
            Path(local.logs).mkdir(parents=True, exist_ok=True)
            if local.routes:
                Path(local.routes).mkdir(mode=0o700, exist_ok=True)
            if resources is not None:
                bootstrap = Path(local.directory) / "bootstrap.json"
                bootstrap.write_text(json.dumps(resources.bootstrap), "utf-8")
        except OSError as error:
            raise MeshError(f"cannot write {error.filename}: {error.strerror}") from error
        if local.sidecar or local.gateway:
            await self._scrapes.open(local, services or {})
        else:
            self._scrapes.know(local)
        if resources is not None:
            await self._start_envoy(state, resources)
        if state.program is not None:
            self._start_program(state, world)

    async def _start_envoy(self, state: ReplicaState, resources: ProxyResources) -> None:
        local = state.local
        feed = ProxyFeed(state.name, self._versions, local.routes, self._served if local.gateway else None)
        log = Path(local.logs) / "envoy.log"
        state.proxy = RunningProxy(state.name, feed, AsyncClient(local.admin), log, resources)
        await feed.listen(local.xds)
        self.offer_secrets(state)
        state.proxy.begin()
        state.envoy = self._table.start(
            envoy_command(self._binary, str(Path(local.directory) / "bootstrap.json"), str(log)),
            words=f"the proxy of {state.name}",
            log=log,
            environment=plain_environment(self._environment),
            on_exit=lambda process: self._ended(state, process),
        )

    def _served(self, name: str) -> dict[str, Any] | None:
        return self._authority.served(name) if name.startswith(SERVED) else None

    def offer_secrets(self, state: ReplicaState, *, fresh: bool = False) -> None:
        """Offers the identity's certificates; anew when they are renewed, or have to be (``fresh``)."""
        if state.proxy is not None:
            identity = state.local.identity
            for name, secret in self._authority.secrets(identity, fresh=fresh, expired=state.expired).items():
                state.proxy.feed.offer(("secrets", name), [secret])

    def _start_program(self, state: ReplicaState, world: World) -> None:
        local, program = state.local, state.program
        listen = next(iter(local.applications.values()), None)
        if listen is None or program is None:
            return
        words, log = f"the program of {state.name}", Path(local.logs) / "app.log"
        if isinstance(program, ProgramSpec):
            port = int(listen.rpartition(":")[2])
            state.application = self._table.start(
                program.command,
                words=words,
                log=log,
                environment=program_environment({**self._environment, **program.env}, local, world, port=port),
                folder=self._folder or None,
                on_exit=lambda process: self._ended(state, process),
            )
            return
        hosts = plain_hosts(world, local.namespace)
        admin = str(Path(local.directory) / "app.sock")
        document = stub_document(program, local, listen=listen, admin=admin, hosts=hosts, seed=self._seed)
        state.application = self._table.fork(
            lambda: stub.run(document), words=words, log=log, on_exit=lambda process: self._ended(state, process)
        )

    async def forward(self, state: ReplicaState, headers: Sequence[str]) -> None:
        """Tells a stub to forward these request headers too: those that faults match. Raises MeshError."""
        if not isinstance(state.program, StubSpec) or state.application is None or state.stopped:
            return
        client = AsyncClient(str(Path(state.local.directory) / "app.sock"))
        try:
            status, body = await client.send("PUT", "/__meshchaos/forward-headers", json.dumps(list(headers)).encode())
        except (OSError, EOFError, TimeoutError) as error:
            raise MeshError(f"{state.application.words} does not answer: {error}") from error
        finally:
            client.close()
        if status != 200:
            raise MeshError(f"{state.application.words} answers {status}: {body.decode(errors='replace')}")

    async def counters(self, state: ReplicaState) -> dict[str, Any] | None:
        """What a stub says of itself (see ``stub``); None when it does not answer."""
        client = AsyncClient(str(Path(state.local.directory) / "app.sock"))
        try:
            _, body = await client.get("/__meshchaos/stats", timeout=1.0)
            found: dict[str, Any] = json.loads(body)
        except (OSError, EOFError, TimeoutError, ValueError):
            return None
        finally:
            client.close()
        return found

    def _ended(self, state: ReplicaState, process: Process) -> None:
        if not state.stopped:
            self._trouble(process.ended())

    async def ready(self, state: ReplicaState) -> None:
        """Waits until program and proxy answer. Raises ProxyRejected, UserError (a program of the user's), MeshError,
        each with the process's own last words.
        """
        end = time.monotonic() + READY_WITHIN
        if state.application is not None:
            listen = next(iter(state.local.applications.values()))
            kind = UserError if isinstance(state.program, ProgramSpec) else MeshError
            await _poll(lambda: _accepts(listen), state.application, end, kind, f"does not listen on {listen}")
        if state.envoy is not None and state.proxy is not None:
            probe = state.probe = AsyncClient(f"{state.local.address}:{READY_PORT}")
            try:
                await _poll(lambda: _answers(probe), state.envoy, end, ProxyRejected, "is not ready")
            except ProxyRejected:
                raise
            except MeshError as error:
                raise MeshError(f"{error}; {await _waits_for(state.proxy)}") from error
            await state.proxy.began()

    def kill_container(self, state: ReplicaState, what: Container) -> None:
        """Ends the replica's program or proxy at once; its folders stay. Raises UserError where it has none."""
        process = state.application if what == "app" else state.envoy
        if process is None:
            raise UserError(f"{state.name} has no {'program' if what == 'app' else 'proxy'} that could be killed")
        self._table.kill(process)
        if what == "proxy":
            _hang_up(state)

    async def start_container(self, state: ReplicaState, what: Container, index: translate.Index) -> None:
        """Starts what was killed again, with what the proxy is to run now. Raises MeshError, UserError."""
        if what == "app":
            self._start_program(state, index.world)
            return
        for path in (state.local.xds, state.local.admin):
            Path(path).unlink(missing_ok=True)
        await self._start_envoy(state, translate.resources(index, state.local))

    def kill(self, *states: ReplicaState) -> None:
        """Ends the replicas' processes at once and removes their private folders. Their logs stay."""
        for state in states:
            state.stopped = True
        self._table.kill(*(process for state in states for process in state.processes()))
        self._scrapes.close(*(state.local for state in states))
        for state in states:
            _hang_up(state)
            shutil.rmtree(state.local.directory, ignore_errors=True)
            state.local = replace(state.local, serving=False)


def _hang_up(state: ReplicaState) -> None:
    """Ends our connections to the replica's proxy."""
    if state.proxy is not None:
        state.proxy.feed.close()
        state.proxy.admin.close()
    if state.probe is not None:
        state.probe.close()


async def _poll(
    check: Callable[[], object], process: Process, end: float, kind: type[MeshError] | type[UserError], words: str
) -> None:
    while True:
        if not process.running:
            raise kind(process.ended())
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            found = check()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
        if time.monotonic() >= end:
            raise MeshError(f"{process.words} {words} after {READY_WITHIN:g} s; {process.log} may say why")
        await asyncio.sleep(0.01)


async def _accepts(listen: str) -> bool:
    host, _, port = listen.rpartition(":")
    async with asyncio.timeout(1.0):
        _, writer = await asyncio.open_connection(host, int(port))
    writer.close()
    return True


async def _answers(probe: AsyncClient) -> bool:
    status, _ = await probe.get("/healthz/ready", timeout=1.0)
    return status == 200


async def _waits_for(proxy: RunningProxy) -> str:
    """Why Envoy does not start: what it still waits for, or refused."""
    try:
        _, body = await proxy.admin.get("/init_dump")
        _, stats = await proxy.admin.get("/stats?filter=update_rejected$")
    except (OSError, EOFError, TimeoutError) as error:
        return f"its admin does not answer either ({error})"
    refused = [line for line in stats.decode().splitlines() if not line.endswith(": 0")]
    return f"it waits for {' '.join(body.decode().split())}" + (
        f", and refused {', '.join(refused)}" if refused else ""
    )


def environment_of_starter() -> dict[str, str]:
    """What programs inherit."""
    return dict(os.environ)
