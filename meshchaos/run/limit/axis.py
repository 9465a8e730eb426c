"""The field that is varied: its path, its unit, the range, and how a value of it is written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from meshchaos.errors import FileError, UserError
from meshchaos.experiment.model import Experiment
from meshchaos.experiment.overrides import parse_path
from meshchaos.experiment.problems import unknown
from meshchaos.experiment.tree import Loc, path_text
from meshchaos.units import (
    format_duration,
    format_percentage,
    format_rate,
    format_share,
    parse_duration,
    parse_percentage,
    parse_rate,
    parse_share,
    shown,
)

Unit = Literal["%", "s", "/s", "share", "whole", "number"]

_STEP = {"%": 0.01, "s": 0.001, "/s": 0.1, "share": 0.0001, "whole": 1.0}
"""The finest step in each unit."""
_FRACTION = 256
"""A range is not cut finer than into so many parts: the last would be noise."""
_TIMES = 10
"""A rate is looked at up to so many times the file's."""


@dataclass(frozen=True, slots=True)
class Axis:
    """``path`` as ``--set`` takes it. ``low`` and ``high`` in ``unit`` (s, /s, 0..100 for %, 0..1 for shares).
    ``runs_low``: whether the lower end can be run; a fault of 0 is none.
    """

    path: str
    unit: Unit
    low: float
    high: float
    runs_low: bool

    @property
    def resolution(self) -> float:
        """Two values that are no further apart are not told apart."""
        fine = _STEP.get(self.unit, 0.0)
        return max(fine, (self.high - self.low) / _FRACTION)

    def snapped(self, value: float) -> float:
        """The nearest value that is written in few digits, exactly as it will be read again."""
        step = _STEP.get(self.unit)
        rounded = value if step is None else round(round(value / step) * step, 6)
        return _parsed(self.written(rounded), self.unit)

    def written(self, value: float) -> str:
        """As a person writes it: ``37.5%``, ``1.25s``, ``200/s``."""
        match self.unit:
            case "%":
                return format_percentage(value, 4)
            case "s":
                return format_duration(value, 4)
            case "/s":
                return format_rate(value, 4)
            case "share":
                return format_share(value, 4)
            case "whole":
                return f"{value:.0f}"
            case _:
                return f"{value:.4g}"

    def setting(self, value: float) -> str:
        """For ``--set``."""
        return f"{self.path}={self.written(value)}"


def axis_of(experiment: Experiment, path: str, low: str | None, high: str | None) -> Axis:
    """The axis of ``--find-limit PATH --from LOW --to HIGH``. Raises UserError, the message naming the option."""
    loc = _full(path, experiment)
    current = _current(loc, experiment, path)
    unit = _unit(loc, current, path)
    about_fault = loc[1] == "faults"
    ends = _range(unit, current, experiment, about_fault=about_fault)
    first = _end("--from", low, unit) if low is not None else ends[0]
    last = _end("--to", high, unit) if high is not None else ends[1]
    if first is None or last is None:
        missing = " and ".join(option for option, end in (("--from ...", first), ("--to ...", last)) if end is None)
        raise UserError(f"--find-limit {path}: between which values? say {missing}")
    axis = Axis(path_text(loc), unit, first, last, runs_low=first > 0 or not about_fault)
    if first >= last:
        raise UserError(
            f"--find-limit {path}: --from {axis.written(first)} is not below --to {axis.written(last)}; say other ends"
        )
    return axis


def _full(path: str, experiment: Experiment) -> Loc:
    """``faults[0].percentage`` as ``spec.faults[0].delay.percentage``."""
    try:
        loc = parse_path(path if path.startswith(("spec.", "metadata.")) else f"spec.{path}", f"--find-limit {path}")
    except FileError as error:
        raise UserError(str(error)) from error
    if len(loc) > 2 and loc[1] in ("faults", "expect"):
        listed = experiment.resolved["spec"].get(loc[1]) or ()
        index = loc[2] if isinstance(loc[2], int) else 0
        if not isinstance(loc[2], int) and len(listed) > 1:
            raise UserError(f"--find-limit {path}: there are {len(listed)} {loc[1]}: say which, as in {loc[1]}[0]")
        if index >= len(listed):
            raise UserError(f"--find-limit {path}: there is no spec.{loc[1]}[{index}]: there are {len(listed)} of them")
        rest = loc[3:] if isinstance(loc[2], int) else loc[2:]
        kind = next(iter(listed[index]))
        return ("spec", loc[1], index, kind, *(rest[1:] if rest[:1] == (kind,) else rest))
    return loc


def _current(loc: Loc, experiment: Experiment, path: str) -> Any:
    """What the field holds now, None where it is left out; what is around it must be there."""
    node: Any = experiment.resolved
    for depth, key in enumerate(loc):
        if isinstance(node, list) and not isinstance(key, int) and len(node) == 1:
            node = node[0]
        last = depth == len(loc) - 1
        inside = key in node if isinstance(node, dict) else isinstance(key, int) and key < len(_items(node))
        if inside:
            node = node[key]
        elif isinstance(node, dict) and last and key in ("percentage", "rate"):
            return None  # of these it is known what they count in
        else:
            there = list(map(str, node)) if isinstance(node, dict) else []
            there += ["percentage"] if there and last and loc[1] == "faults" else []
            what = unknown("there is no", str(key), there) if there else f"there is no {path_text(loc[: depth + 1])}"
            what += "; write a field that is left out, so that it is known what it counts in" if last and there else ""
            raise UserError(f"--find-limit {path}: {what}")
    return node


def _items(node: Any) -> list[Any]:
    return node if isinstance(node, list) else []


def _unit(loc: Loc, current: Any, path: str) -> Unit:
    if loc[-1] == "percentage" or (loc[-1] == "value" and len(loc) > 1 and loc[-2] == "percentage"):
        return "%"
    if loc[-1] == "rate":
        if current is None:
            raise UserError(f"--find-limit {path}: the load has no rate (a locustfile's users are no rate)")
        return "/s"
    if isinstance(current, bool | dict | list) or current is None:
        raise UserError(f"--find-limit {path}: {path_text(loc)} is no number")
    if isinstance(current, int | float):
        return "whole" if isinstance(current, int) else "number"
    for unit, parse in (("s", parse_duration), ("share", parse_share)):
        try:
            parse(current)
        except ValueError:
            continue
        return unit  # type: ignore[return-value]
    raise UserError(f"--find-limit {path}: {path_text(loc)} is {shown(current)}, which is no number, duration or share")


def _range(unit: Unit, current: Any, experiment: Experiment, *, about_fault: bool) -> tuple[float | None, float | None]:
    if unit == "%":
        return 0.0, 100.0
    if unit == "/s":
        rate = parse_rate(current)
        return rate, rate * _TIMES
    if unit == "s" and about_fault and experiment.loads:
        return 0.0, max(load.timeout for load in experiment.loads)
    return None, None


def _end(option: str, text: str, unit: Unit) -> float:
    try:
        value = _parsed(text, unit)
    except ValueError as error:
        said = f"{text!r} is no number" if str(error).startswith("could not convert") else str(error)
        raise UserError(f"{option} {text}: {said}") from error
    if not math.isfinite(value) or (unit == "whole" and value != round(value)):
        raise UserError(f"{option} {text}: must be a {'whole ' if unit == 'whole' else ''}number")
    return value


def _parsed(text: str, unit: Unit) -> float:
    """What the user wrote for an end, or ``written`` made. Raises ValueError."""
    match unit:
        case "%":
            return parse_percentage(text if "%" in text else float(text))
        case "s":
            return parse_duration(text)
        case "/s":
            return parse_rate(text if "/" in text else float(text))
        case "share":
            return parse_share(text)
        case _:
            return float(text)
