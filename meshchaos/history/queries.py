"""What a Prometheus answered, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshchaos.history.asks import QueryAsk


@dataclass(frozen=True, slots=True)
class Point:
    """``at``: epoch seconds; ``value`` as Prometheus writes it (``0.25``, ``NaN``, ``+Inf``)."""

    at: float
    value: str


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: of a vector one point, of a range all."""

    labels: Mapping[str, str]
    points: tuple[Point, ...]

    def __str__(self) -> str:
        name = self.labels.get("__name__", "")
        return (
            name
            + "{"
            + ", ".join(f'{key}="{self.labels[key]}"' for key in sorted(self.labels) if key != "__name__")
            + "}"
        )


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A rule of that name. ``health``: ``ok``, ``err`` or ``unknown``, as Prometheus says; ``error``: its last."""

    group: str
    health: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """To one ask. ``query`` as it was sent, about the moment ``at`` (epoch s). ``rules``: those of the ask's alert.
    ``problem``: why there is no answer.
    """

    ask: QueryAsk
    query: str
    at: float
    series: tuple[Series, ...] = ()
    rules: tuple[AlertRule, ...] = ()
    problem: str | None = None
