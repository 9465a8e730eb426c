"""What the methods of the kinds are made with, and the forms that several of them take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict

from meshchaos.run.fault_by_hand import FaultByHand


class HttpMatch(TypedDict, total=False):
    """Which requests: all of the headers, the uri (without its query) and the method must match. A text must be met
    exactly; else it is Istio's ``{"prefix": ...}`` or ``{"regex": ...}``.
    """

    headers: Mapping[str, str | Mapping[str, str]]
    uri: str | Mapping[str, str] | None
    method: str | Mapping[str, str] | None


Calls = TypedDict(
    "Calls",
    {
        "to": Required[str],
        "from": str | Sequence[str],
        "methods": str | Sequence[str],
        "paths": str | Sequence[str],
    },
    total=False,
)
"""Calls of an edge: to a service, by these workloads, with these methods, on these paths (``/a/*`` as in Istio)."""


class Maker:
    """Who makes a fault of a kind's key and fields."""

    def fault(self, kind: str, /, **fields: Any) -> FaultByHand:
        raise NotImplementedError

    def _made(self, kind: str, **fields: Any) -> FaultByHand:
        """Of those that were given: None is a field that was left out."""
        return self.fault(kind, **{name: value for name, value in fields.items() if value is not None})
