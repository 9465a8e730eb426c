"""The seam as the supervisor serves it: method names of the protocol to the control plane and the journal."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeVar

from meshchaos.errors import MeshchaosError, MeshError
from meshchaos.mesh import changes
from meshchaos.mesh.apply import (
    CreateObject,
    DeleteObject,
    GetObject,
    ReplaceObject,
    Request,
    Steps,
    apply_change,
    undo_steps,
)
from meshchaos.mesh.local import preflight
from meshchaos.mesh.local.certificates import Authority
from meshchaos.mesh.local.control_plane import ControlPlane, versions
from meshchaos.mesh.local.journal import FileJournal, entry_form, entry_of
from meshchaos.mesh.local.metrics.scrape import Scrapes
from meshchaos.mesh.local.objects.store import Transaction
from meshchaos.mesh.local.placement import Placement
from meshchaos.mesh.local.processes import ProcessTable
from meshchaos.mesh.local.replicas import Container, Launcher, environment_of_starter
from meshchaos.mesh.local.spec import MeshSpec
from meshchaos.mesh.local.wire import serve_connection
from meshchaos.mesh.local.world import TRUST_DOMAIN
from meshchaos.mesh.objects import Manifest, Ref

_SUPERVISOR = "meshchaos-supervisor"
T = TypeVar("T")


class Service:
    """One running mesh. ``stop`` ends the supervisor."""

    def __init__(self, spec: MeshSpec, folder: Path, table: ProcessTable, *, stop: Callable[[], None]) -> None:
        self._spec = spec
        self._stop = stop
        self._troubles: list[str] = []
        self._placement = Placement(spec, folder)
        self._scrapes = Scrapes(Path(spec.logs))
        self._authority = Authority(TRUST_DOMAIN)
        launcher = Launcher(
            table,
            binary=preflight.envoy_binary(),
            authority=self._authority,
            versions=versions(),
            environment=environment_of_starter(),
            folder=spec.folder,
            seed=spec.seed,
            scrapes=self._scrapes,
            trouble=self._troubles.append,
        )
        self._plane = ControlPlane(spec, self._placement, launcher, self._troubles.append)
        self._journal = FileJournal(folder / "journal.json", f"meshchaos heal --mesh {spec.mesh}")
        self._server: asyncio.Server | None = None

    async def up(self) -> None:
        """Starts the mesh; returns when it is ready."""
        await self._plane.up()

    def end(self) -> None:
        """The last thing: no process of the mesh's is left."""
        self._scrapes.end()

    async def listen(self, path: str) -> None:
        """Serves the protocol on a Unix socket of mode 0600."""
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(
                lambda reader, writer: serve_connection(reader, writer, self.handle), path
            )
        finally:
            os.umask(before)

    def renew(self) -> None:
        """New identities where half of the lifetime is over; keys of token issuers that are old."""
        self._plane.renew()

    async def expire(self) -> None:
        """Undoes what is past its expiry, with what had to be left told as trouble."""
        for entry in self._journal.expired():
            self._journal.take_over(entry.run_id)
            lines = [f"run {entry.run_id} ({entry.owner}) did not heal in time: the mesh undid its changes"]
            try:
                for change in reversed(entry.changes):
                    lines += await self._drive(undo_steps(change, entry.run_id))
            except MeshchaosError as error:
                # Tried again on the next round; the entry, and so the lock, stays.
                self._troubles.append(f"cannot undo run {entry.run_id}: {error}")
                return
            self._journal.close(entry.run_id)
            self._troubles.extend(lines)

    async def handle(self, method: str, params: Mapping[str, Any]) -> Any:
        """One call of the protocol. Raises what the seam says."""
        handler = getattr(self, f"_do_{method}", None)
        if handler is None:
            raise MeshError(f"the mesh's supervisor knows no {method!r}: is it of another version of meshchaos?")
        return await handler(**params)

    async def _do_hello(self) -> dict[str, Any]:
        return {
            "mesh": self._spec.mesh,
            "config": self._spec.config,
            "versions": {"envoy": preflight.envoy_version()},
            "network": self._placement.block.network,
            "silent": self._placement.block.silent,
        }

    async def _do_world(self) -> dict[str, Any]:
        objects = self._plane.store.objects()
        return {
            "version": self._plane.store.version,
            "objects": objects,
            "replicas": [asdict(replica) for replica in self._plane.replicas],
            "service_addresses": self._placement.service_addresses(objects),
        }

    async def _do_get(self, ref: Mapping[str, str]) -> Manifest:
        return self._plane.store.get(Ref(**ref))

    async def _do_create(self, manifest: Manifest, manager: str, holder: str | None = None) -> Manifest:
        return await self._write(lambda transaction: transaction.create(manifest), manager, holder)

    async def _do_replace(self, manifest: Manifest, manager: str, holder: str | None = None) -> Manifest:
        return await self._write(lambda transaction: transaction.replace(manifest), manager, holder)

    async def _do_delete(self, ref: Mapping[str, str], uid: str, manager: str, holder: str | None = None) -> None:
        await self._write(lambda transaction: transaction.delete(Ref(**ref), uid), manager, holder)

    async def _write(self, operation: Callable[[Transaction], T], manager: str, holder: str | None) -> T:
        def held(transaction: Transaction) -> T:
            # Inside the write's own turn: whoever waited for it may have lost the mesh meanwhile.
            if holder is not None:
                self._journal.require(holder)
            return operation(transaction)

        return await self._plane.write(held, manager)

    async def _do_dry_run(self, changes: list[Mapping[str, Any]]) -> None:
        wanted = [_change(form) for form in changes]
        self._plane.dry_run(lambda transaction: [apply_change(transaction, change, "dry-run") for change in wanted])

    async def _do_observe(self, headers: list[str]) -> None:
        await self._plane.observe(headers)

    async def _do_confirm(self, changes: list[Mapping[str, Any]], present: bool) -> dict[str, Any]:
        wanted = [_change(form) for form in changes]
        at, proxies = await self._plane.confirm(wanted, present=present)
        return {"at": at, "proxies": proxies}

    async def _do_plain_side(self) -> None:
        await self._plane.plain_side()

    async def _do_kill(
        self, names: list[str], what: Literal["pod"] | Container, restart_after: float | None, holder: str | None = None
    ) -> None:
        if holder is not None:
            self._journal.require(holder)
        if what == "pod":
            await self._plane.kill(names, restart_after)
        else:
            await self._plane.kill_container(names, what, restart_after)

    async def _do_certify(self, names: list[str], expired: bool) -> None:
        await self._plane.certify(names, expired=expired)

    async def _do_refresh_keys(self) -> None:
        await self._plane.refresh_keys(now=True)

    async def _do_root_certificate(self) -> str:
        return self._authority.root

    async def _do_signing_keys(self) -> dict[str, str]:
        return {name: issuer.private_key for name, issuer in self._plane.issuers.items()}

    async def _do_trouble(self, since: int) -> dict[str, Any]:
        return {"lines": self._troubles[since:], "next": len(self._troubles)}

    async def _do_stubs(self) -> dict[str, Any]:
        return await self._plane.stubs()

    async def _do_journal_open(self, **form: Any) -> None:
        entry = entry_of(form)
        self._journal.open(entry.run_id, entry.owner, entry.changes, entry.expires)

    async def _do_journal_renew(self, run_id: str, lifetime: float) -> None:
        self._journal.renew(run_id, lifetime)

    async def _do_journal_take_over(self, run_id: str) -> None:
        self._journal.take_over(run_id)

    async def _do_journal_close(self, run_id: str) -> None:
        self._journal.close(run_id)

    async def _do_journal_entries(self) -> list[dict[str, Any]]:
        return [entry_form(entry) for entry in self._journal.entries()]

    async def _do_stop(self) -> None:
        asyncio.get_running_loop().call_soon(self._stop)

    async def _drive(self, steps: Steps[T]) -> T:
        try:
            request = next(steps)
            while True:
                try:
                    answer = await self._perform(request)
                except MeshError as error:
                    request = steps.throw(error)
                else:
                    request = steps.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _perform(self, request: Request) -> Manifest:
        plane = self._plane
        match request:
            case GetObject():
                return plane.store.get(request.ref)
            case CreateObject(manifest):
                return await plane.write(lambda transaction: transaction.create(manifest), _SUPERVISOR)
            case ReplaceObject(manifest):
                return await plane.write(lambda transaction: transaction.replace(manifest), _SUPERVISOR)
            case DeleteObject(ref, uid):
                await plane.write(lambda transaction: transaction.delete(ref, uid), _SUPERVISOR)
                return {}


def _change(form: Mapping[str, Any]) -> changes.Change:
    return changes.load(form)
