"""One Envoy of the local mesh as evidence sees it: its admin socket and its access log, read directly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshchaos.mesh.local.admin import AdminClient
from meshchaos.mesh.log_format import end_of, read_lines
from meshchaos.mesh.seam import ProxyLogLine, Replica


class LocalProxy:
    """Implements ``meshchaos.mesh.seam.Proxy``."""

    quiet = 0.06

    def __init__(self, replica: Replica, admin: str, logs: str) -> None:
        self.replica = replica
        self._admin = AdminClient(admin, self.name)
        self._log = Path(logs) / "access.log"

    @property
    def name(self) -> str:
        return f"{self.replica.name}.{self.replica.namespace}"

    @property
    def admin(self) -> AdminClient:
        """Envoy's admin interface itself."""
        return self._admin

    def config_dump(self) -> Mapping[str, Any]:
        """See ``Proxy``; with the endpoints. Raises MeshGone."""
        return self._admin.config_dump("?include_eds")

    def stats(self, pattern: str) -> dict[str, int]:
        """See ``Proxy``. Raises MeshGone."""
        return self._admin.stats(pattern)

    def log_mark(self) -> int:
        """See ``Proxy``: a position in the file."""
        return end_of(self._log)

    def access_log(self, since: int = 0) -> tuple[list[ProxyLogLine], int]:
        """See ``Proxy``. Envoy writes every 20 ms. Raises EvidenceError."""
        return read_lines(self._log, since)

    def close(self) -> None:
        """Closes the kept connection."""
        self._admin.close()
