"""Envoy's admin interface, asked over one kept HTTP/1.1 connection, wherever that leads."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote

from meshchaos.errors import MeshGone


class Admin:
    """``name``: of the replica. Blocks. Raises MeshGone when Envoy does not answer."""

    def __init__(self, connection: http.client.HTTPConnection, name: str) -> None:
        self._name = name
        self._connection = connection

    def get(self, path: str, *, method: str = "GET") -> bytes:
        for attempt in (1, 2):
            try:
                self._connection.request(method, path)
                answer = self._connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                # A kept connection may have been closed under us: once more on a new one.
                if attempt == 2 or isinstance(error, TimeoutError):
                    raise MeshGone(f"the proxy of {self._name} does not answer on its admin socket: {error}") from error
                continue
            if answer.status != 200:
                raise MeshGone(f"the proxy of {self._name} answers {answer.status} to {path}: {body[:200]!r}")
            return body
        raise AssertionError("unreachable")

    def config_dump(self, query: str = "") -> dict[str, Any]:
        found = json.loads(self.get("/config_dump" + query))
        assert isinstance(found, dict)
        return found

    def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose name matches; histograms and text left out."""
        found = json.loads(self.get(f"/stats?format=json&filter={quote(pattern, safe='')}"))
        return {s["name"]: int(s["value"]) for s in found["stats"] if "name" in s and isinstance(s.get("value"), int)}

    def close(self) -> None:
        self._connection.close()
