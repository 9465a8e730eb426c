"""Did proxies take what a fault changes: their own active configuration, before and while it is live.

``config_dump`` shows the main thread's view and lists draining listeners, too: only active ones are looked at.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import TimeoutError as NoAnswer
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from meshchaos.errors import EvidenceError, MeshError
from meshchaos.evidence.differences import differences
from meshchaos.history.records import FaultRecord
from meshchaos.mesh.calling import ask_form
from meshchaos.mesh.seam import Caller, Entry, Proxy

SHOWN = 3
"""Fields of a proxy that go into the report."""
_WAIT = 5.0
"""Seconds for a probe's answer."""
_CALLS = 4
"""Calls of one look: each connection that a client's proxy kept carries one more by the listener's old rules."""


class Probe(Protocol):
    """``meshchaos.faults.kind.Probe`` is one and describes the fields."""

    @property
    def source(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class Proof(Protocol):
    """``meshchaos.faults.kind.ConfigProof`` is one and describes the fields."""

    @property
    def proxies(self) -> tuple[str, ...]: ...
    @property
    def section(self) -> Literal["routes", "clusters", "listeners", "secrets"]: ...
    @property
    def resources(self) -> str: ...
    @property
    def words(self) -> str: ...
    @property
    def probe(self) -> Probe | None: ...
    @property
    def field(self) -> str: ...
    @property
    def mark(self) -> str: ...


class Asked(Protocol):
    """The part of ``Mesh`` that is needed here."""

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]: ...
    def entry(self, source: str, url: str, namespace: str) -> Entry: ...
    def caller(self, at: str) -> Caller: ...


@dataclass(slots=True)
class _Watched:
    """One proxy, what it ran before, and what was seen to differ, when (epoch seconds); None: nothing yet."""

    proxy: Proxy
    before: Mapping[str, Any]
    differs: tuple[str, ...] | None = None
    seen_at: float = 0.0


class ConfigProver:
    """The proof of one fault; made before its first change. ``collect`` looks at proxies that have not shown it yet."""

    def __init__(self, mesh: Asked, proof: Proof) -> None:
        """Remembers what the proxies run; those that earlier faults of the run took away need not show anything.
        Raises EvidenceError when there is none left, or one does not tell.
        """
        self._mesh = mesh
        self._proof = proof
        there = {proxy.name: proxy for proxy in mesh.proxies()}
        names = [name for name in proof.proxies if name in there]
        if not names:
            raise EvidenceError(
                f"no proxy to ask whether the fault is there: {', '.join(proof.proxies) or 'nobody has it'}"
            )
        self._watched = [_Watched(there[name], self._runs(there[name])) for name in names]
        self._answer = ""
        for _ in range(_CALLS):
            self._answer = self._ask()  # the last counts: the first may be by rules that are gone already
        self._changed: tuple[str, float] | None = None

    def collect(self) -> None:
        """Looks at the proxies, and asks the probe, as long as they show nothing new. Raises EvidenceError."""
        for watched in [one for one in self._watched if one.differs is None]:
            at = time.time()
            try:
                differs = self._shows(watched.before, self._runs(watched.proxy))
            except EvidenceError:
                if watched.proxy.name in {proxy.name for proxy in self._mesh.proxies()}:
                    raise
                self._watched.remove(watched)  # its replica was taken away meanwhile
                continue
            if differs:
                watched.differs, watched.seen_at = differs, at
        for _ in range(_CALLS if self._proof.probe is not None else 0):
            if self._changed is None:
                at, answer = time.time(), self._ask()
                self._changed = (answer, at) if answer != self._answer else None

    def finish(self, record: FaultRecord) -> FaultRecord:
        """The record with what was seen while the fault was live. Raises EvidenceError where a proxy never ran anything
        else than before, or the probe was answered as before.
        """
        until = record.removed_at if record.removed_at is not None else time.time()
        same = [one.proxy.name for one in self._watched if one.differs is None or one.seen_at > until]
        if same or not self._watched:
            raise EvidenceError(
                f"{', '.join(same) or 'no proxy'} was not seen to run other {self._proof.section} while the "
                f"{record.kind} was live"
            )
        many = len(self._watched) > 1
        who = f"{len(self._watched)} proxies" if many else self._watched[0].proxy.name
        lines = [f"{who} ran {self._proof.words}"]
        probe = self._proof.probe
        if probe is not None:
            asked = f"{probe.method} {probe.url} from {probe.source}"
            if self._changed is None or self._changed[1] > until:
                raise EvidenceError(f"a probe, {asked}, got {self._answer} before the {record.kind} and during it")
            lines.insert(0, f"a probe, {asked}, got {self._answer} before and {self._changed[0]} during it")
        lines += self._differences()
        return replace(record, shown=tuple(lines))

    def _shows(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
        """What differs, that which counts first; empty where nothing that counts does."""
        field, mark = self._proof.field, self._proof.mark
        lines = tuple(differences(before, now))
        fit = tuple(line for line in lines if field and re.search(field, line))
        came = bool(mark) and mark in json.dumps(now) and mark not in json.dumps(before)
        if (field or mark) and not fit and not came:
            return ()
        return (*fit, *(line for line in lines if line not in fit))

    def _differences(self) -> list[str]:
        """A line for each thing that differs, once for all proxies that show the same."""
        who: dict[str, list[str]] = {}
        for watched in self._watched:
            for line in (watched.differs or ())[:SHOWN]:
                who.setdefault(line, []).append(watched.proxy.name)
        return [f"{names[0] if len(names) == 1 else f'{len(names)} proxies'}: {line}" for line, names in who.items()]

    def _runs(self, proxy: Proxy) -> Mapping[str, Any]:
        try:
            return dict(resources(proxy.config_dump(), self._proof.section, re.compile(self._proof.resources)))
        except MeshError as error:
            raise EvidenceError(f"{proxy.name} does not tell what it runs: {error}") from error

    def _ask(self) -> str:
        probe = self._proof.probe
        if probe is None:
            return ""
        entry = self._mesh.entry(probe.source, probe.url, probe.namespace)
        if entry.at:
            return self._ask_away(entry, probe)
        connection = http.client.HTTPConnection(entry.address, timeout=_WAIT)
        target = urlsplit(probe.url)
        path = f"{target.path or '/'}{'?' + target.query if target.query else ''}"
        try:
            headers = {**probe.headers, "Host": entry.host}
            connection.request(probe.method, probe.url if entry.proxied else path, headers=headers)
            return f"status {connection.getresponse().status}"
        except (OSError, http.client.HTTPException) as error:
            return f"no answer ({type(error).__name__})"
        finally:
            connection.close()

    def _ask_away(self, entry: Entry, probe: Probe) -> str:
        form = ask_form(entry, probe.method, probe.url, probe.headers, _WAIT)
        try:
            found = self._mesh.caller(entry.at).submit(form).result(_WAIT + 2.0)
        except (MeshError, NoAnswer) as error:
            raise EvidenceError(f"a probe from {probe.source} could not be sent: {error or 'no answer'}") from error
        return f"status {found['status']}" if found["status"] else f"no answer ({found['failure']})"


def resources(
    dump: Mapping[str, Any], section: Literal["routes", "clusters", "listeners", "secrets"], names: re.Pattern[str]
) -> Iterator[tuple[str, Any]]:
    """What a proxy runs of one section, by name: clusters and active listeners whose name fits, routes that lead to a
    cluster whose name fits (by route configuration, virtual host and position among them).
    """
    for config in dump.get("configs") or ():
        if section == "routes":
            for item in (*(config.get("static_route_configs") or ()), *(config.get("dynamic_route_configs") or ())):
                yield from _routes(item.get("route_config") or {}, names)
        elif section == "secrets":
            for item in config.get("dynamic_active_secrets") or ():
                if names.fullmatch(str(item.get("name"))):
                    yield str(item["name"]), {"expired": _expired(item.get("secret") or {})}
        elif section == "clusters":
            for item in config.get("dynamic_active_clusters") or ():
                cluster = item.get("cluster") or {}
                if names.fullmatch(str(cluster.get("name"))):
                    yield str(cluster["name"]), cluster
        else:
            for item in config.get("dynamic_listeners") or ():
                listener = (item.get("active_state") or {}).get("listener") or {}
                if names.fullmatch(str(listener.get("name"))):
                    yield str(listener["name"]), listener


def _expired(secret: Mapping[str, Any]) -> bool | None:
    """Whether a secret's own certificate is past its end; None where it is none. Not the end itself, which a renewal
    moves, too.
    """
    chain = (secret.get("tls_certificate") or {}).get("certificate_chain") or {}
    text = chain.get("inline_string", "").encode() or base64.b64decode(chain.get("inline_bytes", ""))
    if not text:
        return None
    from cryptography import x509

    return x509.load_pem_x509_certificate(text).not_valid_after_utc.timestamp() <= time.time()


def _routes(config: Mapping[str, Any], names: re.Pattern[str]) -> Iterator[tuple[str, Any]]:
    for host in config.get("virtual_hosts") or ():
        found = [route for route in host.get("routes") or () if any(map(names.fullmatch, _clusters(route)))]
        if found:
            yield f"{config.get('name')} {host.get('name')}", found


def _clusters(route: Mapping[str, Any]) -> list[str]:
    action = route.get("route") or {}
    weighted = (action.get("weighted_clusters") or {}).get("clusters") or ()
    return [str(name) for name in (action.get("cluster"), *(one.get("name") for one in weighted)) if name]
