"""Stand-ins at the seams: a clock that waits in no time, a mesh that is a dictionary, a load that is arithmetic."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from meshchaos.errors import AlreadyExists, Conflict, LoadError, Locked, NotFound, NotLive
from meshchaos.experiment.model import (
    Deadlines,
    Expectation,
    Experiment,
    Fault,
    Load,
    Phase,
    Request,
    SpecKind,
    StopIf,
    Where,
)
from meshchaos.faults.kind import FaultContext, Placement, Proof
from meshchaos.history.records import FaultRecord, GeneratorHealth, Injection
from meshchaos.history.samples import ROW, Outcome, Samples
from meshchaos.load.driver import LoadPlan, Pulse
from meshchaos.mesh.changes import Change, Create, EditObject
from meshchaos.mesh.edits import SetField
from meshchaos.mesh.journal import JournalEntry
from meshchaos.mesh.objects import Manifest, Ref, ref_of
from meshchaos.mesh.seam import Call, Caller, Confirmation, Entry, Proxy, Snapshot

START = 1_800_000_000.0
NAMESPACE = "shop"
VIRTUAL_SERVICE: Manifest = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "ratings", "namespace": NAMESPACE},
    "spec": {"hosts": ["ratings"], "http": [{"name": "stars", "route": [{"destination": {"host": "ratings"}}]}]},
}


class FakeClock:
    """Waiting moves it on at once; ``at`` runs something when a moment is reached."""

    def __init__(self) -> None:
        self.time = START
        self.step = 0.0
        self._due: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.time

    def stepped(self) -> float:
        return self.step

    def wait(self, seconds: float) -> None:
        self.time += max(seconds, 0.001)
        due = [entry for entry in self._due if entry[0] <= self.time]
        self._due = [entry for entry in self._due if entry[0] > self.time]
        for _, do in due:
            do()

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        self._due.append((self.time + seconds, do))


class FakeMesh:
    """``calls`` is everything that was asked of it, in order; ``fail`` holds what an operation raises, by its
    name in ``calls``, once for each entry of its list (an entry of None: works).
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.calls: list[str] = []
        self.fail: dict[str, list[Exception | None]] = {}
        self.objects: dict[Ref, Manifest] = {}
        self.troubles: list[str] = []
        self.strains: list[str] = []
        self.open_entries: list[JournalEntry] = []
        self.closed = False
        self._version = 0
        self.create_silently(VIRTUAL_SERVICE)

    name = "fake"
    ephemeral = False

    @property
    def healers(self) -> tuple[str, ...]:
        return ("somebody",)

    @property
    def journal(self) -> FakeMesh:
        return self

    def open(self, run_id: str, owner: str, changes: Sequence[Change], lifetime: float) -> None:
        self._did("journal.open")
        if self.open_entries:
            raise Locked("somebody holds it")
        now = self.clock.now()
        self.open_entries.append(JournalEntry(run_id, owner, now, now + lifetime, tuple(changes)))

    def take_over(self, run_id: str) -> None:
        self._did("journal.take_over")

    def renew(self, run_id: str, lifetime: float) -> None:
        self._did("journal.renew")
        if all(entry.run_id != run_id for entry in self.open_entries):
            raise Locked("expired and healed")

    def close(self, run_id: str | None = None) -> None:
        if run_id is None:
            self.closed = True
            return
        self._did("journal.close")
        self.open_entries = [entry for entry in self.open_entries if entry.run_id != run_id]

    def entries(self) -> list[JournalEntry]:
        return list(self.open_entries)

    def versions(self) -> Mapping[str, str]:
        return {"fake": "1"}

    def snapshot(self) -> Snapshot:
        return Snapshot(tuple(copy.deepcopy(list(self.objects.values()))), (), (NAMESPACE,))

    def get(self, ref: Ref) -> Manifest:
        if ref not in self.objects:
            raise NotFound(str(ref))
        return copy.deepcopy(self.objects[ref])

    def create(self, manifest: Manifest) -> Manifest:
        self._did(f"create {ref_of(manifest).name}")
        return self.create_silently(manifest)

    def create_silently(self, manifest: Manifest) -> Manifest:
        ref = ref_of(manifest)
        if ref in self.objects:
            raise AlreadyExists(str(ref))
        stored = copy.deepcopy(manifest)
        stored["metadata"] |= {"uid": f"uid-{self._next()}", "resourceVersion": str(self._next()), "generation": 1}
        self.objects[ref] = stored
        return copy.deepcopy(stored)

    def replace(self, manifest: Manifest) -> Manifest:
        self._did(f"replace {ref_of(manifest).name}")
        ref = ref_of(manifest)
        if manifest["metadata"]["resourceVersion"] != self.get(ref)["metadata"]["resourceVersion"]:
            raise Conflict(str(ref))
        stored = copy.deepcopy(manifest)
        stored["metadata"]["resourceVersion"] = str(self._next())
        stored["metadata"]["generation"] += stored["spec"] != self.objects[ref]["spec"]
        self.objects[ref] = stored
        return copy.deepcopy(stored)

    def delete(self, ref: Ref, uid: str) -> None:
        self._did(f"delete {ref.name}")
        if self.get(ref)["metadata"]["uid"] != uid:
            raise Conflict(str(ref))
        del self.objects[ref]

    def dry_run(self, changes: Sequence[Change]) -> None:
        if self.fail.get("dry run"):
            self._did("dry run")

    def observe(self, headers: Sequence[str]) -> None:
        assert self.open_entries, "a mesh may be changed for it"
        self._did("observe")

    def kill(self, replicas: Sequence[str], what: str) -> None:
        self._did(f"kill {what} {' '.join(replicas)}")

    def confirm(self, changes: Sequence[Change], *, present: bool, timeout: float) -> Confirmation:
        try:
            self._did("confirm live" if present else "confirm gone")
        except NotLive:
            self.clock.wait(timeout)
            raise
        self.clock.wait(0.002)
        return Confirmation(self.clock.now(), ("ratings-v1-1.shop",))

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]:
        return []

    def entry(self, source: str, url: str, namespace: str) -> Entry:
        return Entry("127.0.0.1:1", "shop.example", False, f"through the {source}")

    def callers(self, calls: Sequence[Call]) -> Mapping[str, tuple[str, ...]]:
        return {}

    def deploy(self, callers: Sequence[str], tick: Callable[[], None]) -> None:
        self._did("deploy")

    def caller(self, at: str) -> Caller:
        raise NotFound(at)

    def trouble(self) -> list[str]:
        if self.fail.get("trouble"):
            self._did("trouble")
        found, self.troubles = self.troubles, []
        return found

    def strained(self) -> list[str]:
        found, self.strains = self.strains, []
        return found

    def hits(self) -> Mapping[str, int]:
        return {}

    def signing_keys(self) -> Mapping[str, str]:
        return {}

    def without_versions(self) -> dict[Ref, Any]:
        """The objects as they are, but for what every write moves."""
        found = {}
        for ref, manifest in self.objects.items():
            kept = copy.deepcopy(manifest)
            del kept["metadata"]["resourceVersion"], kept["metadata"]["generation"]
            found[ref] = kept
        return found

    def writes(self) -> list[str]:
        return [call for call in self.calls if call.split()[0] in {"create", "replace", "delete"}]

    def _did(self, call: str) -> None:
        self.calls.append(call)
        queue = self.fail.get(call) or self.fail.get(call.partition(" ")[0])
        if queue:
            error = queue.pop(0)
            if error is not None:
                raise error

    def _next(self) -> int:
        self._version += 1
        return self._version


Behaviour = Callable[[float], tuple[int, float]]
"""Moment of the request -> (status, latency in s); status 0 is a timeout."""


def fine(_at: float) -> tuple[int, float]:
    return 200, 0.02


class FakeLoad:
    """Answers by ``behaviour``; every request is resolved at once. ``fail`` is raised by that method, once."""

    def __init__(self, plan: LoadPlan, clock: FakeClock, behaviour: Behaviour = fine) -> None:
        self.plan = plan
        self.clock = clock
        self.behaviour = behaviour
        self.fail: dict[str, Exception] = {}
        self.healthy = True
        self.silent = False
        self.counts = False
        self.calls: list[str] = []
        self._began = 0.0
        self._rows: list[tuple[Any, ...]] = []
        self._array = np.empty(0, dtype=np.dtype(ROW))
        self._seq = 0
        self._over: float | None = None

    def start(self) -> None:
        self._did("start")
        self._began = self.clock.now()

    def poll(self) -> Pulse:
        self._did("poll")
        now = self._over or self.clock.now()
        rate = self.plan.rate or 1.0
        while not self.silent and (at := self._began + self._seq / rate) < now:
            status, latency = self.behaviour(at)
            outcome = Outcome.ANSWERED if status else Outcome.TIMEOUT
            self._rows.append((at, 0.0, latency, self._seq, status, 0, outcome, 0, -1, 0))
            self._seq += 1
        return Pulse(now, 0, 0.0, now, self._seq, self._over is not None)

    def samples(self) -> Samples:
        if self._rows:
            self._array = np.concatenate((self._array, np.array(self._rows, dtype=np.dtype(ROW))))
            self._rows = []
        return Samples(self.plan.name, self._array, tuple(r.name for r in self.plan.requests), self.plan.timeout)

    def stop(self, timeout: float) -> None:
        self._did("stop")
        self._over = self.clock.now()
        self.poll()

    def health(self, start: float, end: float) -> GeneratorHealth:
        rate = self.plan.rate
        reason = "" if self.healthy else "it lagged"
        requests = len(self.samples().between(start, end)) if self.counts else None
        return GeneratorHealth(self.plan.name, rate, rate or 0.0, 0.001, 0, self.healthy, reason, requests=requests)

    def close(self) -> None:
        self._did("close")

    def _did(self, call: str) -> None:
        self.calls.append(call)
        if call in self.fail:
            raise self.fail.pop(call)


def died() -> LoadError:
    return LoadError("load main: Locust ended before its time (killed by SIGKILL)")


@dataclass(frozen=True)
class FakeProver:
    """Finds what ``share`` says, of a thousand requests."""

    share: float
    error: Exception | None = None

    def collect(self) -> None:
        pass

    def finish(self, record: FaultRecord) -> FaultRecord:
        if self.error is not None:
            raise self.error
        return replace(record, injections=(Injection("ratings-v1-1.shop", int(1000 * self.share), 1000),))


@dataclass(frozen=True)
class FakeFaultSpec:
    """``edit``: a field of the VirtualService; otherwise a new object."""

    edit: bool = False
    share: float = 0.5


class FakeFaultKind:
    kind = SpecKind("fake", FakeFaultSpec)

    def place(self, spec: FakeFaultSpec, mesh: Snapshot, context: FaultContext) -> Placement:
        change: Change
        if spec.edit:
            path = ("spec", f"timeout{context.index}")
            change = EditObject(ref_of(VIRTUAL_SERVICE), (SetField(path, {"meshchaos.dev/missing": True}, "1s"),))
        else:
            meta = {"name": context.id, "namespace": context.namespace}
            change = Create({"apiVersion": "x/v1", "kind": "EnvoyFilter", "metadata": meta, "spec": {}})
        proof = Proof(("ratings-v1-1.shop",), "inbound", "DI", "fault.delays_injected", spec.share)
        return Placement(context.id, "fake", "server", "page -> ratings:9080", "it has a sidecar", (change,), proof)

    def combine(self, placements: tuple[Placement, ...]) -> tuple[Placement, ...]:
        return placements


HERE = Where("shop.chaos.yaml", 3, 5, "spec")


def make_load(rate: float = 200.0) -> Load:
    request = Request("page", "GET", "/page", {}, None)
    return Load("main", "http://shop.example/page", "gateway", rate, "uniform", 2.0, 800, (request,), where=HERE)


@dataclass(frozen=True)
class Builder:
    """An experiment with everything in its place; ``with_`` changes some of it."""

    phases: tuple[Phase, ...] = (
        Phase("warmup", 1.0),
        Phase("baseline", 10.0),
        Phase("fault", 20.0),
        Phase("recovery", 10.0),
    )
    faults: tuple[FakeFaultSpec, ...] = (FakeFaultSpec(),)
    expect: tuple[tuple[str, Any], ...] = ()
    stop_if: StopIf | None = None
    deadlines: Deadlines = field(default_factory=Deadlines)
    loads: tuple[Load, ...] = field(default_factory=lambda: (make_load(),))

    def build(self) -> Experiment:
        faults = tuple(Fault("fake", index, spec, HERE) for index, spec in enumerate(self.faults))
        expect = tuple(Expectation(kind, index, spec, HERE) for index, (kind, spec) in enumerate(self.expect))
        return Experiment(
            name="slow-ratings",
            namespace=NAMESPACE,
            labels={},
            hypothesis="The page stays fast.",
            mesh="fake",
            loads=self.loads,
            phases=self.phases,
            faults=faults,
            expect=expect,
            stop_if=self.stop_if,
            confidence=0.95,
            deadlines=self.deadlines,
            where=HERE,
            resolved={"kind": "Experiment", "metadata": {"name": "slow-ratings"}},
        )


def load_log(folder: Path) -> str:
    return (folder / "history.jsonl").read_text("utf-8")
