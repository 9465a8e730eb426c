"""What runs in a cluster's mesh now: its Pods, and their proxies, each of which keeps what was opened to it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from meshchaos.mesh.kubernetes.api import Api
from meshchaos.mesh.kubernetes.confirming import Looking
from meshchaos.mesh.kubernetes.proxy import KubernetesProxy
from meshchaos.mesh.kubernetes.reading import Reader
from meshchaos.mesh.kubernetes.views import has_proxy, replica_of
from meshchaos.mesh.objects import Manifest, Ref
from meshchaos.mesh.seam import Replica

_FRESH: Final = 0.5
"""Seconds for which a list of Pods answers several questions."""
_TROUBLE: Final = 2.0
"""Seconds between two looks at the Pods' restarts."""


class Running:
    """``logs``: a folder for what proxies log. ``silent``: namespaces whose proxies may not be told to log."""

    def __init__(self, api: Api, reader: Reader, logs: Path) -> None:
        self.silent: set[str] = set()
        self._api = api
        self._reader = reader
        self._logs = logs
        self._mark: bytes | None = None
        self._proxies: dict[str, KubernetesProxy] = {}
        self._gateways: frozenset[str] = frozenset()
        self._pods: tuple[float, list[Manifest]] = (float("-inf"), [])
        self._looked = time.monotonic()
        self._restarts: dict[str, int] | None = None
        self._killed: set[str] = set()

    def proxies(self) -> list[KubernetesProxy]:
        """Those that are there now; those that went keep their logs until ``close``."""
        found, gateways = [], set()
        for pod in self._living():
            if not has_proxy(pod):
                continue
            replica = replica_of(pod)
            name = f"{replica.name}.{replica.namespace}"
            if not replica.sidecar:
                gateways.add(name)
            elif replica.namespace not in self._reader.namespaces:
                continue
            if name not in self._proxies:
                self._proxies[name] = KubernetesProxy(self._api, replica, self._logs, self._mark_of(replica))
            self._proxies[name].replica = replica
            found.append(self._proxies[name])
        self._gateways = frozenset(gateways)
        return found

    def looking(self) -> Looking:
        """At all of them."""
        return Looking(self.proxies(), self._gateways)

    def logged(self, mark: bytes) -> None:
        """From now on they log lines with ``mark``."""
        self._mark = mark
        for proxy in self._proxies.values():
            proxy.mark = self._mark_of(proxy.replica)

    def killed(self, name: str) -> None:
        """A Pod (``name.namespace``) that we end ourselves."""
        self._killed.add(name)
        self._pods = (float("-inf"), [])

    def serving(self, ref: Ref) -> tuple[int, int]:
        """How many replicas of a Deployment there are now, and how many of them are ready."""
        self._pods = (float("-inf"), [])
        replicas = [one for one in map(replica_of, self._living()) if not one.caller]
        own = [one for one in replicas if (one.workload, one.namespace) == (ref.name, ref.namespace)]
        return len(own), sum(one.ready for one in own)

    def trouble(self) -> list[str]:
        """Containers that were started again since the last look."""
        now = time.monotonic()
        if self._restarts is not None and now - self._looked < _TROUBLE:
            return []
        self._looked = now
        found = {f"{one.name}.{one.namespace}": one.restarts for one in map(replica_of, self._living())}
        before, self._restarts = self._restarts or {}, found
        return [
            f"a container of {name} died and was started again"
            for name, restarts in found.items()
            if restarts > before.get(name, restarts) and name not in self._killed
        ]

    def close(self) -> None:
        """Ends what was opened to them."""
        for proxy in self._proxies.values():
            proxy.close()
        self._proxies.clear()

    def _mark_of(self, replica: Replica) -> bytes | None:
        return None if replica.namespace in self.silent else self._mark

    def _living(self) -> list[Manifest]:
        at, pods = self._pods
        if time.monotonic() - at > _FRESH:
            pods = self._reader.pods()
            self._pods = (time.monotonic(), pods)
        return pods
