"""Bringing new resources to running proxies: in the order that leaves no gap, all of them or none.

Make before break: endpoints, then clusters (old and new), then routes, then listeners, then what is not needed any
more is taken away. Each step waits for the proxies to take it; one refusal puts every proxy back.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from meshchaos.errors import MeshError, MeshGone, ProxyRejected
from meshchaos.mesh.local.admin import AsyncClient
from meshchaos.mesh.local.world import ProxyResources
from meshchaos.mesh.local.xds import Key, ProxyFeed, Refusal

TIMEOUT = 15.0
"""Seconds a proxy has to take one step."""

Resources = Mapping[str, Mapping[str, Any]]


@dataclass(slots=True)
class RunningProxy:
    """An Envoy as the publisher sees it: ``resources`` are those it runs. ``log`` is Envoy's own."""

    name: str
    feed: ProxyFeed
    admin: AsyncClient
    log: Path
    resources: ProxyResources
    rejections: int = 0
    """Route configurations by file that Envoy has refused so far, by its own count."""

    def begin(self) -> None:
        """Offers everything; to be called before Envoy starts."""
        new = self.resources
        for name, resource in new.endpoints.items():
            self.feed.offer(("endpoints", name), [resource])
        for name, resource in new.routes.items():
            self.feed.offer(("routes", name), [resource])
        self.feed.offer(("clusters", ""), list(new.clusters.values()))
        self.feed.offer(("listeners", ""), list(new.listeners.values()))

    async def began(self) -> None:
        """Returns when Envoy, which is ready with or without them, took what ``begin`` offered. Raises ProxyRejected,
        MeshError.
        """
        keys: list[Key] = [("clusters", ""), ("listeners", ""), *_routes(self)]
        try:
            await self.feed.settled(keys, TIMEOUT)
        except (Refusal, TimeoutError) as error:
            raise await self._refusal(error) from error
        if await _rejections(self) > self.rejections:
            raise await self._refusal(Refusal(self.name, ("routes", "")))

    async def _refusal(self, error: Exception) -> MeshError:
        return await _words(error, [Update(self, self.resources)], {self.name: 0})


@dataclass(frozen=True, slots=True)
class Update:
    """New resources for one proxy."""

    proxy: RunningProxy
    resources: ProxyResources


async def publish(updates: Iterable[Update]) -> list[RunningProxy]:
    """Brings the updates to their proxies and returns those that really changed.

    Raises ProxyRejected with Envoy's own words, or MeshError when a proxy does not take it in time; every proxy then
    runs what it ran before.
    """
    real = [
        update
        for update in updates
        if update.resources is not update.proxy.resources and update.resources != update.proxy.resources
    ]
    marks = {update.proxy.name: _size(update.proxy.log) for update in real}
    try:
        await _steps(real)
    except (Refusal, TimeoutError, OSError) as error:
        reason = await _words(error, real, marks)
        await _roll_back(real)
        raise reason from error
    for update in real:
        update.proxy.resources = update.resources
    return [update.proxy for update in real]


async def taken(proxy: RunningProxy, keys: list[Key]) -> None:
    """Waits until a proxy took what it was offered beside ``publish``. Raises ProxyRejected, MeshError."""
    try:
        await proxy.feed.settled(keys, TIMEOUT)
    except (Refusal, TimeoutError) as error:
        raise await _words(error, [Update(proxy, proxy.resources)], {proxy.name: 0}) from error


async def _steps(updates: list[Update]) -> None:
    for update in updates:
        _offer(update.proxy.feed, "endpoints", update.proxy.resources.endpoints, update.resources.endpoints)
    clusters = [u for u in updates if u.resources.clusters != u.proxy.resources.clusters]
    for update in clusters:
        both = {**update.proxy.resources.clusters, **update.resources.clusters}
        update.proxy.feed.offer(("clusters", ""), list(both.values()))
    await _all(u.proxy.feed.settled([("clusters", "")], TIMEOUT) for u in clusters)
    await _all(_warmed(u.proxy) for u in clusters)

    waiting: list[tuple[Update, list[Key]]] = []
    for update in updates:
        keys = _offer(update.proxy.feed, "routes", update.proxy.resources.routes, update.resources.routes)
        keys += _changed("endpoints", update.proxy.resources.endpoints, update.resources.endpoints)
        waiting.append((update, keys))
    await _all(_taken(u.proxy, keys) for u, keys in waiting if keys)

    listeners = [u for u in updates if u.resources.listeners != u.proxy.resources.listeners]
    for update in listeners:
        update.proxy.feed.offer(("listeners", ""), list(update.resources.listeners.values()))
    await _all(u.proxy.feed.settled([("listeners", "")], TIMEOUT) for u in listeners)
    await _all(_listening(u.proxy) for u in listeners)

    fewer = [u for u in clusters if u.proxy.resources.clusters.keys() - u.resources.clusters.keys()]
    for update in fewer:
        update.proxy.feed.offer(("clusters", ""), list(update.resources.clusters.values()))
    await _all(u.proxy.feed.settled([("clusters", "")], TIMEOUT) for u in fewer)
    for update in updates:
        for name in update.proxy.resources.endpoints.keys() - update.resources.endpoints.keys():
            update.proxy.feed.withdraw(("endpoints", name))
        for name in update.proxy.resources.routes.keys() - update.resources.routes.keys():
            update.proxy.feed.withdraw(("routes", name))


def _changed(kind: str, old: Resources, new: Resources) -> list[Key]:
    return [(kind, name) for name, resource in new.items() if old.get(name) != resource]  # type: ignore[misc]


def _offer(feed: ProxyFeed, kind: str, old: Resources, new: Resources) -> list[Key]:
    keys = _changed(kind, old, new)
    for key in keys:
        feed.offer(key, [new[key[1]]])
    return keys


async def _all(waits: Iterable[Any]) -> None:
    """All of them; the first failure, with the others waited for all the same."""
    waits = list(waits)
    if not waits:
        return
    if len(waits) == 1:
        await waits[0]
        return
    for outcome in await asyncio.gather(*waits, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _taken(proxy: RunningProxy, keys: list[Key]) -> None:
    """Waits until the proxy took what it was offered: its next poll says so. For routes its config dump does a few
    milliseconds earlier (a poll brings 77 kB with it), which is what a fault's start is measured by.
    """
    if await _seen(proxy, keys):
        return
    files = [key for key in keys if proxy.feed.by_file(key)]
    end = time.monotonic() + TIMEOUT
    while files and proxy.feed.pending(files):
        if await _rejections(proxy) > proxy.rejections:
            proxy.rejections = await _rejections(proxy)
            proxy.feed.refuse(files[0])
            break
        if time.monotonic() >= end:
            raise TimeoutError(f"{proxy.name} does not take {files[0][1]}")
        await asyncio.sleep(0.002)
        await _seen(proxy, files)
    await proxy.feed.settled(keys, TIMEOUT)


async def _rejections(proxy: RunningProxy) -> int:
    """How many route configurations Envoy has refused. Raises MeshGone."""
    try:
        _, body = await proxy.admin.get("/stats?filter=rds.*update_rejected$")
    except (OSError, EOFError) as error:
        raise MeshGone(f"the proxy of {proxy.name} does not answer: {error}") from error
    return sum(int(line.rpartition(b":")[2]) for line in body.splitlines())


async def _seen(proxy: RunningProxy, keys: list[Key]) -> bool:
    """Whether the config dump shows the versions offered of these route configurations, looked at for a while."""
    pending = proxy.feed.pending(keys)
    if any(kind != "routes" for kind, _ in pending):
        return False
    names = "|".join(re.escape(name) for _, name in pending)
    query = f"?resource=dynamic_route_configs&mask=version_info&name_regex={quote(f'^({names})$', safe='')}"
    for attempt in range(8):
        try:
            _, body = await proxy.admin.get(f"/config_dump{query}")
        except (OSError, EOFError, TimeoutError):
            return False  # the poll, or its absence, will say what is the matter
        # Versions are given once in a mesh's life, so it does not matter which name shows which.
        if all(f'"{version}"'.encode() in body for version in pending.values()):
            for key, version in pending.items():
                proxy.feed.accept(key, version)
            return True
        await asyncio.sleep(0.0002 * attempt)
    return False


async def _until_zero(proxy: RunningProxy, gauge: str) -> None:
    """Waits until a gauge of Envoy's is 0: nothing is warming. Raises TimeoutError."""
    end = time.monotonic() + TIMEOUT
    while True:
        try:
            _, body = await proxy.admin.get(f"/stats?filter=^{gauge}$")
        except (OSError, EOFError) as error:
            raise MeshGone(f"the proxy of {proxy.name} does not answer: {error}") from error
        if body.strip().endswith(b": 0"):
            return
        if time.monotonic() >= end:
            raise TimeoutError(f"{gauge} of {proxy.name}: {body.decode().strip()}")
        await asyncio.sleep(0.002)


async def _warmed(proxy: RunningProxy) -> None:
    await _until_zero(proxy, "cluster_manager.warming_clusters")


async def _listening(proxy: RunningProxy) -> None:
    await _until_zero(proxy, "listener_manager.total_listeners_warming")


async def _roll_back(updates: list[Update]) -> None:
    """Offers what ran before, under new versions: a refused set may have been taken in part."""
    for update in updates:
        proxy = update.proxy
        kept = proxy.resources
        for name in update.resources.endpoints.keys() | kept.endpoints.keys():
            if name in kept.endpoints and update.resources.endpoints.get(name) != kept.endpoints[name]:
                proxy.feed.offer(("endpoints", name), [kept.endpoints[name]])
        proxy.feed.offer(("listeners", ""), list(kept.listeners.values()))
        for key in _offer(proxy.feed, "routes", update.resources.routes, kept.routes):
            if proxy.feed.by_file(key):
                proxy.feed.accept(key, proxy.feed.offered(key))
        proxy.feed.offer(("clusters", ""), list(kept.clusters.values()))
        for name in update.resources.routes.keys() - kept.routes.keys():
            proxy.feed.withdraw(("routes", name))
    keys: list[Key] = [("listeners", ""), ("clusters", "")]
    await _all(u.proxy.feed.settled([*keys, *_routes(u.proxy)], TIMEOUT) for u in updates)


def _routes(proxy: RunningProxy) -> list[Key]:
    """Those whose polls tell. What Envoy refused and never ran leaves a file's old version in place, untold."""
    keys: list[Key] = [("routes", name) for name in proxy.resources.routes]
    return [key for key in keys if not proxy.feed.by_file(key)]


async def _words(error: Exception, updates: list[Update], marks: Mapping[str, int]) -> MeshError:
    """The refusal in Envoy's own words: from its log (it warns at once), else from its config dump."""
    if isinstance(error, OSError) and not isinstance(error, TimeoutError):
        return MeshError(f"cannot write {error.filename}: {error.strerror}")
    if not isinstance(error, Refusal):
        return MeshError(f"a proxy did not take its configuration within {TIMEOUT:g} s: {error}")
    proxy = next(update.proxy for update in updates if update.proxy.name == error.proxy)
    what = " ".join(error.key).strip()
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        with proxy.log.open("rb") as file:
            file.seek(marks[proxy.name])
            lines = file.read().decode("utf-8", "replace").splitlines()
        for at in range(len(lines) - 1, -1, -1):
            if "rejected" in lines[at] or "error adding" in lines[at].lower():
                return ProxyRejected(f"the proxy of {proxy.name} refused its {what}: {_cut(_reason(lines[at:]))}")
        found = await _error_state(proxy)
        if found:
            return ProxyRejected(f"the proxy of {proxy.name} refused its {what}: {_cut(found)}")
        await asyncio.sleep(0.02)
    return ProxyRejected(f"the proxy of {proxy.name} refused its {what}; {proxy.log} may say why")


async def _error_state(proxy: RunningProxy) -> str:
    try:
        _, body = await proxy.admin.get("/config_dump")
        dump = json.loads(body)
    except (OSError, EOFError, ValueError, TimeoutError):
        return ""
    for section in dump.get("configs", []):
        for items in section.values():
            for item in items if isinstance(items, list) else []:
                if isinstance(item, dict) and "error_state" in item:
                    return str(item["error_state"].get("details", ""))
    return ""


def _reason(lines: list[str]) -> str:
    """The line of a refusal that says why. Where Envoy shows the message it refuses, over several lines, the reason
    comes behind it on a line that begins with a colon.
    """
    for line in lines[1:]:
        if line.startswith("["):
            break
        if line.startswith(": "):
            return line[2:]
    return lines[0]


def _cut(line: str, limit: int = 600) -> str:
    """The words after "rejected:", without the resource that Envoy repeats behind them."""
    _, mark, words = line.partition("rejected: ")
    words = (words if mark else line).strip()
    return words if len(words) <= limit else words[: limit - 1] + "…"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
