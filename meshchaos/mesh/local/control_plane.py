"""The local mesh's control plane: every write is translated, brought to the proxies, and only then committed.

Runs in the supervisor's event loop. A write that a proxy refuses never happened: the store keeps the old object, the
proxies their old configuration.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import replace
from typing import Any, TypeVar

from meshchaos.errors import NotFound, Refused
from meshchaos.mesh.changes import Change
from meshchaos.mesh.istio.request_authentication import KIND
from meshchaos.mesh.local import translate
from meshchaos.mesh.local.background import Background
from meshchaos.mesh.local.certificates import IDENTITY
from meshchaos.mesh.local.confirming import confirmed
from meshchaos.mesh.local.issuers import PlayedIssuer
from meshchaos.mesh.local.keys import KeyStore
from meshchaos.mesh.local.marks import obey
from meshchaos.mesh.local.objects.controller import owner_of, reconcile
from meshchaos.mesh.local.objects.kinds.service_entry import far_endpoints
from meshchaos.mesh.local.objects.store import Event, Store, Transaction
from meshchaos.mesh.local.placement import Placement
from meshchaos.mesh.local.plain_side import plain_resources
from meshchaos.mesh.local.preflight import check_machine
from meshchaos.mesh.local.publish import RunningProxy, Update, publish, taken
from meshchaos.mesh.local.replicas import Container, Launcher, ReplicaState
from meshchaos.mesh.local.spec import MeshSpec, StubSpec
from meshchaos.mesh.local.world import RESTART_AFTER, LocalReplica, ProxyResources, World
from meshchaos.mesh.objects import Manifest, Ref, labels_of, ref_of

_EVERYTHING = frozenset({"Pod"})
"""A kind whose change can touch every family of resources."""

T = TypeVar("T")


class ControlPlane:
    """Store, replicas and proxies of one mesh. ``trouble`` is told what breaks, one line each."""

    def __init__(
        self, spec: MeshSpec, placement: Placement, launcher: Launcher, trouble: Callable[[str], None]
    ) -> None:
        self._spec = spec
        self._placement = placement
        self._launcher = launcher
        self._trouble = trouble
        self.store = Store()
        self._replicas: dict[str, ReplicaState] = {}
        self._log_headers: tuple[str, ...] = ()
        self._used: set[str] = set()
        self._absent: list[Ref] = []
        self._touched: dict[Ref, set[str]] = {}
        self._plain: ReplicaState | None = None
        self.issuers = {name: PlayedIssuer(name) for name in spec.issuers}
        self._played = {name: one.jwks for name, one in self.issuers.items()}
        self._keys = KeyStore(lambda: placement.service_addresses(self.store.objects()), self._played)
        self._index: translate.Index | None = None
        self._lock = asyncio.Lock()
        self._tasks = Background(trouble)

    @property
    def replicas(self) -> list[LocalReplica]:
        """All that run or are about to, in the order of their start."""
        return [state.local for state in self._replicas.values()]

    async def up(self) -> None:
        """Loads the manifests and starts everything; returns when all of it is ready."""
        self.store.load(self._spec.manifests)
        transaction = self.store.begin("meshchaos-supervisor")
        fresh, _ = self._reconcile(transaction)
        transaction.commit()
        check_machine(sum(1 for state in fresh if state.has_proxy))
        for state in fresh:
            state.local = replace(state.local, serving=True)
        self._add(fresh)
        await self._keys.fetch(self.store.objects(), inside=False)
        self._index = translate.Index(self._world(self.store.objects()))
        for state in fresh:
            await self._launch(state, self._index)
        await asyncio.gather(*(self._launcher.ready(state) for state in fresh))
        if any(state.program is not None and not state.local.sidecar for state in fresh):
            await self.plain_side()
        await self.refresh_keys()

    async def write(self, operation: Callable[[Transaction], T], manager: str) -> T:
        """Runs ``operation`` on a transaction, brings what it makes to the proxies, commits.

        Raises what the store raises, ProxyRejected or MeshError; then nothing has changed.
        """
        async with self._lock:
            transaction = self.store.begin(manager)
            result = operation(transaction)
            self._refuse_far(transaction.events)
            fresh, removed = self._reconcile(transaction)
            before = {state.name: state.local for state in self._replicas.values()}
            for state in removed:
                state.local = replace(state.local, serving=False)
            self._relabel(transaction.events)
            self._add(fresh)
            try:
                kinds = {event.ref.kind for event in transaction.events}
                marked = obey(transaction.events, self._replicas, self._launcher)
                await self._certify([s for s in marked if s.local.expired != before[s.name].expired])
                if KIND in kinds:
                    if self._keys.inside(transaction.objects()):
                        await self._plain_side()
                    await self._keys.fetch(transaction.objects(), missing_only=True)
                changed = await self._publish(transaction.objects(), self._concerned(transaction.events), kinds)
            except BaseException:
                for state in fresh:
                    del self._replicas[state.name]
                back = [Event(event.ref, event.after, event.before) for event in transaction.events]
                obey(back, self._replicas, self._launcher)
                for name, local in before.items():
                    self._replicas[name].local = local
                raise
            transaction.commit()
            self._note(transaction.events, {*(proxy.name for proxy in changed), *(state.name for state in marked)})
            self._remove(removed)
        for state in fresh:
            self._tasks.start(self._bring_up(state))
        return result

    def dry_run(self, operation: Callable[[Transaction], object]) -> None:
        """Runs ``operation`` on a transaction that is dropped, and translates what it makes. Raises what the store
        and the translation raise.
        """
        transaction = self.store.begin("meshchaos-supervisor")
        operation(transaction)
        self._refuse_far(transaction.events)
        kinds = {event.ref.kind for event in transaction.events}
        index = translate.Index(self._world(transaction.objects()), self._index)
        for state in self._concerned(transaction.events):
            if state.takes_updates and state.proxy is not None:
                translate.refresh(index, state.local, state.proxy.resources, kinds)

    async def observe(self, headers: Iterable[str]) -> None:
        """Makes every proxy log these request headers."""
        async with self._lock:
            before = self._log_headers
            self._log_headers = tuple(sorted({*before, *(header.lower() for header in headers)}))
            try:
                await self._publish(self.store.objects(), self._replicas.values(), _EVERYTHING)
            except BaseException:
                self._log_headers = before
                raise
        await asyncio.gather(*(self._launcher.forward(state, self._log_headers) for state in self._replicas.values()))

    async def plain_side(self) -> None:
        """Sees to it that Services are reached from outside the mesh, at their virtual addresses."""
        async with self._lock:
            await self._plain_side()

    async def _plain_side(self) -> None:
        if self._plain is None:
            state = ReplicaState(self._placement.plain_side(), None)
            index = translate.Index(self._world(self.store.objects()), self._index)
            await self._launcher.start(state, plain_resources(index, state.local), index.world)
            await self._launcher.ready(state)
            self._plain = state

    async def kill(self, names: Sequence[str], restart_after: float | None = RESTART_AFTER) -> None:
        """SIGKILL for replicas (``name.namespace``): endpoints go at once, others of the same workload come
        ``restart_after`` seconds later with new names and addresses (None: never). Raises NotFound.
        """
        states = self._named(names)

        def operation(transaction: Transaction) -> list[Ref]:
            self._launcher.kill(*states)  # in the write's own turn: nobody waits for these proxies
            owners = []
            for state in states:
                pod = Ref("Pod", state.local.namespace, state.local.name)
                found = next(m for m in transaction.objects() if ref_of(m) == pod)
                owner = owner_of(found)
                transaction.delete(pod)
                if owner is not None:
                    owners.append(owner)
            self._absent.extend(owners)
            return owners

        owners = await self.write(operation, "meshchaos-supervisor")
        if restart_after is not None:
            self._tasks.start(self._restart(owners, restart_after))

    async def kill_container(
        self, names: Sequence[str], what: Container, restart_after: float | None = RESTART_AFTER
    ) -> None:
        """SIGKILL for the program or the proxy of replicas (``name.namespace``): they are no endpoints until it runs
        again, ``restart_after`` seconds later (None: never), at the same address. Raises NotFound, UserError.
        """
        states = self._named(names)
        async with self._lock:  # nobody waits for these proxies meanwhile
            for state in states:
                self._launcher.kill_container(state, what)
                state.local = replace(state.local, serving=False)
            await self._publish(self.store.objects(), self._replicas.values(), {"Endpoints"})
        if restart_after is not None:
            for state in states:
                self._tasks.start(self._start_container(state, what, restart_after))

    async def confirm(self, changes: Sequence[Change], *, present: bool) -> tuple[float, list[str]]:
        """Whether the store holds the changes (or none of them), and a probe of every proxy that took a version for
        them: its worker answers, so it runs what its main thread accepted. Returns the time and the proxies' names.

        Raises NotLive.
        """
        names = await confirmed(self.store.objects(), self._replicas, self._touched, changes, present=present)
        return time.time(), names

    async def stubs(self) -> dict[str, dict[str, Any] | None]:
        """The counters of every stub that serves, by its replica's name; None for one that does not answer."""
        serving = [s for s in self._replicas.values() if isinstance(s.program, StubSpec) and s.local.serving]
        found = await asyncio.gather(*(self._launcher.counters(state) for state in serving))
        return {state.name: counters for state, counters in zip(serving, found, strict=True) if not state.stopped}

    async def refresh_keys(self, *, now: bool = False) -> None:
        """Fetches keys of token issuers that are missing or old (``now``: all), and brings them to the proxies."""
        if now:
            self._keys.forget_age()
        if self._keys.inside(self.store.objects()):
            await self.plain_side()
        # Outside of the lock: an issuer that does not answer holds up no write.
        if await self._keys.fetch(self.store.objects()):
            async with self._lock:
                await self._publish(self.store.objects(), self._replicas.values(), {KIND})

    def renew(self) -> None:
        """What comes round: identities, of which those that are not due stay as they are, and issuers' keys."""
        for state in self._replicas.values():
            if not state.stale:
                self._launcher.offer_secrets(state)
        self._tasks.start(self.refresh_keys())

    async def certify(self, names: Sequence[str], *, expired: bool) -> None:
        """Gives replicas (``name.namespace``) new certificates, or ones that are past their end, until they are given
        others; returns when their proxies have them. Connections that are open stay so. Raises NotFound, MeshError.
        """
        states = self._named(names)
        for state in states:
            state.expired = expired
            self._launcher.offer_secrets(state, fresh=True)
        await self._certify(states)

    def _named(self, names: Sequence[str]) -> list[ReplicaState]:
        for name in names:
            if name not in self._replicas:
                raise NotFound(f"no replica {name}; there are {', '.join(sorted(self._replicas))}")
        return [self._replicas[name] for name in names]

    def _world(self, objects: tuple[Manifest, ...]) -> World:
        return World(
            objects=objects,
            replicas=tuple(self.replicas),
            service_addresses=self._placement.service_addresses(objects),
            log_headers=self._log_headers,
            keys=self._keys.keys,
            played=self._played,
        )

    def _reconcile(self, transaction: Transaction) -> tuple[list[ReplicaState], list[ReplicaState]]:
        """Makes and deletes Pods in the transaction; returns the replicas that are new, and those to be removed."""
        kinds = {event.ref.kind for event in transaction.events}
        if kinds and not kinds & {"Deployment", "Pod", "Namespace", "Gateway"}:
            return [], []  # what Pods there are does not hang on it
        plan = reconcile(transaction.objects(), self._used, inject_all=self._spec.inject_all)
        waiting = list(self._absent)
        fresh = []
        for pod in plan.create:
            owner = owner_of(pod)
            if owner is not None and owner in waiting:
                waiting.remove(owner)
                continue
            self._used.add(str(pod["metadata"]["name"]))
            fresh.append(self._placement.replica(transaction.create(pod), transaction.objects()))
        for ref in plan.remove:
            transaction.delete(ref)
        gone = [event.ref for event in transaction.events if event.ref.kind == "Pod" and event.after is None]
        names = {f"{ref.name}.{ref.namespace}" for ref in gone}
        return fresh, [state for name, state in self._replicas.items() if name in names]

    def _refuse_far(self, events: Sequence[Event]) -> None:
        """Raises Refused for endpoints beyond this machine that meshchaos.yaml does not allow."""
        for event in events:
            for problem in far_endpoints(event.after, self._spec.endpoints) if event.after is not None else ():
                raise Refused(f"{event.ref}: {problem}")

    def _relabel(self, events: Sequence[Event]) -> None:
        """Replicas carry the labels that their Pods have now: selectors choose by them."""
        for event in events:
            state = self._replicas.get(f"{event.ref.name}.{event.ref.namespace}")
            if event.ref.kind == "Pod" and event.after is not None and state is not None:
                state.local = replace(state.local, labels=labels_of(event.after))

    async def _certify(self, states: Iterable[ReplicaState]) -> None:
        """Waits until these proxies have the certificates that they were offered."""
        await asyncio.gather(*(taken(state.proxy, [("secrets", IDENTITY)]) for state in states if state.proxy))

    def _concerned(self, events: Sequence[Event]) -> Iterable[ReplicaState]:
        """Replicas whose configuration the events can touch; an EnvoyFilter's are chosen by its selector."""
        if any(event.ref.kind != "EnvoyFilter" for event in events):
            return self._replicas.values()
        versions = [manifest for event in events for manifest in (event.before, event.after) if manifest is not None]
        return [s for s in self._replicas.values() if any(translate.concerns(m, s.local) for m in versions)]

    async def _publish(
        self, objects: tuple[Manifest, ...], states: Iterable[ReplicaState], kinds: Set[str]
    ) -> list[RunningProxy]:
        """``kinds``: of the objects that changed; only what they can touch is translated anew."""
        index = translate.Index(self._world(objects), self._index)
        updates = []
        for state in states:
            if state.takes_updates and state.proxy is not None:
                new = translate.refresh(index, state.local, state.proxy.resources, kinds)
                updates.append(Update(state.proxy, new))
        plain = self._plain
        if plain is not None and plain.proxy is not None and any("endpoints" in translate.touches(k) for k in kinds):
            updates.append(Update(plain.proxy, plain_resources(index, plain.local)))
        changed = await publish(updates)
        self._index = index
        return changed

    async def _launch(self, state: ReplicaState, index: translate.Index) -> None:
        resources: ProxyResources | None = None
        if state.has_proxy:
            resources = translate.resources(index, state.local)
        services = {target.number: target.service.host for target in index.targets(state.local)}
        await self._launcher.start(state, resources, index.world, services)

    async def _bring_up(self, state: ReplicaState) -> None:
        """Starts one replica later in the mesh's life, and makes it an endpoint when it is ready."""
        try:
            async with self._lock:
                await self._launch(state, translate.Index(self._world(self.store.objects()), self._index))
            await self._launcher.ready(state)
            await self._launcher.forward(state, self._log_headers)
            async with self._lock:
                state.local = replace(state.local, serving=not state.stopped)
                await self._publish(self.store.objects(), self._replicas.values(), {"Endpoints"})
        except Exception as error:  # whatever it is, the runner must hear of it
            if not state.stopped:
                self._trouble(f"{state.name} did not come up: {error}")

    async def _start_container(self, state: ReplicaState, what: Container, after: float) -> None:
        """What was killed of a replica runs again in its place."""
        await asyncio.sleep(after)
        try:
            async with self._lock:
                if state.stopped:
                    return
                state.local = replace(state.local, restarts=state.local.restarts + 1)
                index = translate.Index(self._world(self.store.objects()), self._index)
                await self._launcher.start_container(state, what, index)
            await self._launcher.ready(state)
            await self._launcher.forward(state, self._log_headers)
            async with self._lock:
                state.local = replace(state.local, serving=not state.stopped)
                await self._publish(self.store.objects(), self._replicas.values(), {"Endpoints"})
        except Exception as error:  # as in _bring_up
            if not state.stopped:
                self._trouble(f"{state.name} did not come up: {error}")

    async def _restart(self, owners: list[Ref], after: float) -> None:
        await asyncio.sleep(after)
        for owner in owners:
            self._absent.remove(owner)
        await self.write(lambda _: None, "meshchaos-supervisor")

    def _add(self, states: Iterable[ReplicaState]) -> None:
        for state in states:
            self._replicas[state.name] = state

    def _remove(self, states: Sequence[ReplicaState]) -> None:
        if states:
            self._launcher.kill(*states)
        for state in states:
            del self._replicas[state.name]
            self._placement.gone(state.local)

    def _note(self, events: Sequence[Event], names: Set[str]) -> None:
        for event in events:
            self._touched[event.ref] = self._touched.get(event.ref, set()) | names


def versions() -> Iterator[int]:
    """Numbers that rise through a mesh's life and over its restarts."""
    return itertools.count(int(time.time() * 1000))
