"""What a supervisor is told at its start: one local mesh, as plain JSON-able data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StubSpec:
    """How a stub answers: ``calls`` are ``{url, timeout, optional, method}``; times in seconds, shares 0..1; ``body``
    is any JSON, for the answer's ``body``.
    """

    calls: tuple[Mapping[str, Any], ...] = ()
    latency: float = 0.0
    errors: Mapping[str, Any] | None = None
    concurrency: int | None = None
    body: Any = None


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """A program of the user's: run in the configuration's folder, told its port by ``PORT``. ``env`` may hold secrets:
    it is kept in the supervisor's memory and written nowhere else.
    """

    command: tuple[str, ...]
    port: int
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class MeshSpec:
    """``manifests``: the objects, in the order of the files. ``workloads``: how Deployments run, by name (a stub that
    answers at once where nothing is said). ``config``: path of meshchaos.yaml; its folder is the programs' working
    folder. ``logs``: folder of the proxies' and programs' logs. ``inject_all``: everybody gets a sidecar. ``issuers``:
    of tokens, whose keys the mesh makes itself. ``endpoints``: networks beyond this machine to which ServiceEntries may
    lead.
    """

    mesh: str
    config: str
    folder: str
    logs: str
    manifests: tuple[dict[str, Any], ...]
    workloads: Mapping[str, StubSpec | ProgramSpec] = field(default_factory=dict)
    inject_all: bool = False
    issuers: tuple[str, ...] = ()
    seed: int = 0
    endpoints: tuple[str, ...] = ()

    def dumps(self) -> str:
        """JSON, for the supervisor's file."""
        return json.dumps(asdict(self))

    @staticmethod
    def loads(text: str) -> MeshSpec:
        """The reverse of ``dumps``."""
        data = json.loads(text)
        workloads: dict[str, StubSpec | ProgramSpec] = {}
        for name, form in data.pop("workloads").items():
            if "command" in form:
                workloads[name] = ProgramSpec(tuple(form["command"]), int(form["port"]), form["env"])
            else:
                workloads[name] = StubSpec(tuple(form.pop("calls")), **form)
        objects, issuers, endpoints = (tuple(data.pop(key)) for key in ("manifests", "issuers", "endpoints"))
        return MeshSpec(manifests=objects, workloads=workloads, issuers=issuers, endpoints=endpoints, **data)
