"""What the API server's answers mean: our errors for its ``Status`` objects; pure."""

from __future__ import annotations

import json
from typing import Any

from meshchaos.errors import AlreadyExists, Conflict, MeshError, NotFound, Refused


class Forbidden(Refused):
    """The rights of this context do not suffice."""


class Expired(MeshError):
    """The server no longer has what a chunk goes on from (410)."""


def of_status(status: int, body: Any, what: str, context: str) -> MeshError:
    """Our error for an answer of the API's (a ``Status`` object, or text)."""
    text, reason = _words(body)
    if status == 401:
        return Forbidden(
            f"context {context} is not let in (401): its credentials are wrong or have expired; log in anew"
        )
    if status == 403 and reason in ("", "Forbidden"):
        return Forbidden(f"context {context} may not do this (403): {text or what}; give it the right, by a Role")
    if status == 404:
        return NotFound(text or f"{what}: not found")
    if status == 409:
        return AlreadyExists(text) if reason == "AlreadyExists" else Conflict(text or what)
    if status == 410:
        return Expired(text)
    if status in (400, 403, 405, 413, 415, 422):
        return Refused(text or f"{what}: {status}")
    return MeshError(f"the API server answers {status} to {what}{f': {text}' if text else ''}")


def _words(body: Any) -> tuple[str, str]:
    """Message and reason of a Status."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        status = json.loads(text)
    except ValueError:
        return text.strip().splitlines()[0][:300] if text.strip() else "", ""
    if not isinstance(status, dict):
        return text[:300], ""
    return " ".join(str(status.get("message") or "").split()), str(status.get("reason") or "")
