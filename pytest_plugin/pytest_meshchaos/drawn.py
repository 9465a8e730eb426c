"""A fault as data, for what is made many times: parametrized, or drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Drawn:
    """``kind`` and its fields as in an experiment's file; shown as one would write it."""

    kind: str
    fields: Mapping[str, Any]

    def __repr__(self) -> str:
        fields = ", ".join(f"{key}={value!r}" for key, value in self.fields.items())
        return f"chaos.{self.kind}({fields})"
