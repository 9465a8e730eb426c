"""One Envoy of the local mesh as evidence sees it: its admin socket and its access log, read directly."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshchaos.errors import EvidenceError
from meshchaos.mesh.local.admin import AdminClient
from meshchaos.mesh.local.translate.access_log import parse_line
from meshchaos.mesh.seam import ProxyLogLine, Replica

_BLOCK = 1024 * 1024
"""Bytes a reading; some two thousand lines."""


class LocalProxy:
    """Implements ``meshchaos.mesh.seam.Proxy``."""

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
        """See ``Proxy``: the size of the file."""
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0

    def access_log(self, since: int = 0) -> tuple[list[ProxyLogLine], int]:
        """See ``Proxy``. Envoy writes every 20 ms. Raises EvidenceError."""
        try:
            with self._log.open("rb") as file:
                if file.seek(0, os.SEEK_END) < since:
                    raise EvidenceError(f"the access log {self._log} is shorter than it was: somebody emptied it")
                file.seek(since)
                block = file.read(_BLOCK)
            end = block.rfind(b"\n") + 1
            return [parse_line(line) for line in block[:end].splitlines() if line], since + end
        except FileNotFoundError:
            if since:
                raise EvidenceError(f"the access log {self._log} was removed") from None
            return [], 0
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # a line that Envoy did not write
            raise EvidenceError(f"the access log {self._log} cannot be read: {error}") from error

    def close(self) -> None:
        """Closes the kept connection."""
        self._admin.close()
