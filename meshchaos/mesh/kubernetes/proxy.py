"""One sidecar or gateway of a cluster as evidence sees it: its admin interface and its access log."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from meshchaos.errors import EvidenceError, MeshError, MeshGone, NotFound
from meshchaos.mesh.admin import Admin
from meshchaos.mesh.istio.injection import PROXY_CONTAINER
from meshchaos.mesh.kubernetes.api import Api
from meshchaos.mesh.kubernetes.logs import FollowedLog
from meshchaos.mesh.kubernetes.status import Forbidden
from meshchaos.mesh.log_format import end_of, read_lines
from meshchaos.mesh.seam import ProxyLogLine, Replica

ADMIN_PORT: Final = 15000
QUIET: Final = 2.5
"""Seconds: Istio has Envoy write its log every second (``--file-flush-interval-msec 1000``); then node and API server
pass it on.
"""


class KubernetesProxy:
    """Implements ``meshchaos.mesh.seam.Proxy``. ``mark``: what is in our log lines alone; None: there are none."""

    quiet = QUIET

    def __init__(self, api: Api, replica: Replica, folder: Path, mark: bytes | None) -> None:
        self.replica = replica
        self._api = api
        self._folder = folder
        self.mark = mark
        self._admin = _PodAdmin(api, replica)
        self._log: FollowedLog | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return f"{self.replica.name}.{self.replica.namespace}"

    def config_dump(self, resource: str = "") -> Mapping[str, Any]:
        """See ``Proxy``; whole with the endpoints, or of one kind of ``resource`` alone. Raises MeshGone."""
        query = urlencode({"resource": resource}) if resource else "include_eds"
        with self._lock:
            return self._admin.config_dump(f"?{query}")

    def stats(self, pattern: str) -> dict[str, int]:
        """See ``Proxy``. Raises MeshGone."""
        with self._lock:
            return self._admin.stats(pattern)

    def log_mark(self) -> int:
        """See ``Proxy``: the log is followed from here on. Raises EvidenceError."""
        return end_of(self._followed().file)

    def access_log(self, since: int = 0) -> tuple[list[ProxyLogLine], int]:
        """See ``Proxy``. Raises EvidenceError."""
        log = self._followed()
        log.check()
        return read_lines(log.file, since)

    def close(self) -> None:
        """Ends what was opened."""
        self._admin.close()
        if self._log is not None:
            self._log.close()

    def _followed(self) -> FollowedLog:
        if self.mark is None:
            raise EvidenceError(f"the proxy of {self.name} logs nothing for this run: no EnvoyFilter may be made there")
        if self._log is None:
            replica = self.replica
            self._log = FollowedLog(
                self._api, replica.namespace, replica.name, self._folder / f"{self.name}.log", self.mark
            )
            self._log.start()
        return self._log


class _PodAdmin(Admin):
    """Through a port-forward that is kept; without the rights for it, by ``pilot-agent request`` in the container."""

    def __init__(self, api: Api, replica: Replica) -> None:
        super().__init__(_Forwarded(api, replica), f"{replica.name}.{replica.namespace}")
        self._api = api
        self._replica = replica
        self._by_exec = False

    def get(self, path: str, *, method: str = "GET") -> bytes:
        if not self._by_exec:
            try:
                return super().get(path, method=method)
            except Forbidden:
                self._by_exec = True
            except NotFound as error:
                raise MeshGone(f"the Pod {self._name} is gone") from error
        try:
            command = ("pilot-agent", "request", method, path.lstrip("/"))
            return self._api.execute(self._replica.namespace, self._replica.name, PROXY_CONTAINER, command)
        except MeshGone:
            raise
        except MeshError as error:
            raise MeshGone(f"the proxy of {self._name} does not tell what it runs: {error}") from error


class _Forwarded(http.client.HTTPConnection):
    """HTTP to the admin port, which listens on the Pod's loopback alone."""

    def __init__(self, api: Api, replica: Replica) -> None:
        super().__init__("localhost", timeout=10.0)
        self._api = api
        self._replica = replica

    def connect(self) -> None:
        self.sock = self._api.tunnel(self._replica.namespace, self._replica.name, ADMIN_PORT)
        self.sock.settimeout(self.timeout)
