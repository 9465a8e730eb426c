"""Durations (s), rates (1/s), shares (0..1) and percentages (0..100): how they are written and printed.

The parsers take what YAML gives (text or a number) and raise ValueError with a message that says what to
write instead; whoever knows the place adds it. Each printed value is read back as nearly the same one.
"""

# ruff: noqa: TRY004 - whatever is wrong with a value is a ValueError, whose text is for the user

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

_SECONDS: Final[Mapping[str, Decimal]] = {
    "d": Decimal(86_400),
    "h": Decimal(3_600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
    "us": Decimal("0.000001"),
}
LONGEST: Final = 3_660 * 86_400.0
"""No duration is longer (ten years, s): beyond it there is a typing error."""
FASTEST: Final = 1e6
"""No rate is higher, 1/s: one machine does not send more."""

NUMBER: Final = r"(?:\d{1,15}(?:\.\d{1,15})?|\.\d{1,15})"
DURATION: Final = rf"(?:{NUMBER}(?:ms|us|µs|d|h|m|s))+"
"""A written duration, as a regular expression for a full match (also of the JSON Schema)."""
SHARE: Final = rf"{NUMBER}\s?%"

_PART = re.compile(rf"({NUMBER})(ms|us|µs|d|h|m|s)")
_RATE = re.compile(rf"({NUMBER})\s?/\s?(s|m|h)")


def parse_duration(value: object) -> float:
    """Seconds of ``250ms``, ``1m30s``, ``1.5h``: one or more numbers with units d, h, m, s, ms, us, the larger
    first. Raises ValueError, for a bare number with the two likeliest things meant.
    """
    if (number := _number(value)) is not None:
        raise ValueError(f"a duration needs a unit: write {number}ms or {number}s")
    if not isinstance(value, str):
        raise ValueError(f"a duration is text such as 250ms or 1m30s, not {shown(value)}")
    text = value.strip()
    if text.startswith("-"):
        raise ValueError(f"a duration cannot be negative: {shown(text)}")
    if re.fullmatch(DURATION, text) is None:
        raise ValueError(f"{shown(text)} is no duration: write for instance 250ms, 2s or 1m30s (units: d h m s ms us)")
    total, smallest = Decimal(0), Decimal("Infinity")
    for amount, unit in _PART.findall(text):
        seconds = _SECONDS[unit.replace("µ", "u")]
        if seconds >= smallest:
            raise ValueError(f"{shown(text)} is no duration: each unit once, the larger first, as in 1h2m3s")
        smallest = seconds
        total += Decimal(amount) * seconds
    if total > LONGEST:
        raise ValueError(f"{shown(text)} is longer than ten years")
    return float(total)


def parse_share(value: object) -> float:
    """0..1 of ``99.5%``. Raises ValueError; a bare number is ambiguous, so the % sign must be there."""
    if (number := _number(value)) is not None:
        amount = Decimal(number)
        hint = f"write {_plain(amount * 100)}% or {number}%" if 0 < amount <= 1 else f"write {number}%"
        raise ValueError(f"a share needs a % sign: {hint}")
    if not isinstance(value, str):
        raise ValueError(f"a share is text such as 99.5%, not {shown(value)}")
    text = value.strip()
    if re.fullmatch(SHARE, text) is None:
        raise ValueError(f"{shown(text)} is no share: write for instance 99.5% (0% to 100%)")
    percent = Decimal(text.rstrip("%").strip())
    if percent > 100:
        raise ValueError(f"{shown(text)} is more than 100%")
    return float(percent / 100)


def parse_percentage(value: object) -> float:
    """0..100 of ``10``, ``10%`` or Istio's ``{value: 10}``. Raises ValueError. Steps of 0.0001, as Envoy has them."""
    inner = value
    if isinstance(value, Mapping):
        if set(value) != {"value"}:
            raise ValueError("a percentage is 10, 10% or {value: 10}")
        inner = value["value"]
    text = _number(inner)
    if text is None:
        if not isinstance(inner, str):
            raise ValueError(f"a percentage is 10, 10% or {{value: 10}}, not {shown(inner)}")
        if re.fullmatch(SHARE, inner.strip()) is None:
            raise ValueError(f"{shown(inner)} is no percentage: write 10, 10% or {{value: 10}}")
        text = inner.strip().rstrip("%").strip()
    percent = Decimal(text)
    if not 0 <= percent <= 100:
        raise ValueError(f"a percentage lies between 0 and 100, and {_plain(percent)} does not")
    if percent % Decimal("0.0001"):
        raise ValueError(f"Envoy knows steps of 0.0001 %, and {_plain(percent)} is finer")
    return float(percent)


def parse_rate(value: object) -> float:
    """Requests per second of ``200``, ``200/s``, ``1200/m`` or ``10/h``; above 0. Raises ValueError."""
    text, per = _number(value), Decimal(1)
    if text is None:
        found = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f"a rate is requests per second: write 200 (or 200/s, 1200/m), not {shown(value)}")
        text, per = found.group(1), _SECONDS[found.group(2)]
    rate = float(Decimal(text) / per)
    if rate <= 0:
        raise ValueError("a rate is above 0")
    if rate > FASTEST:
        raise ValueError(f"{_plain(Decimal(text))} is more than {FASTEST:,.0f} requests per second")
    return rate


def format_duration(seconds: float, digits: int = 3) -> str:
    """``250ms``, ``1.5s``, ``1m30s``, ``2h``: about ``digits`` significant digits, never a unit too many."""
    if not math.isfinite(seconds):
        return "never" if seconds > 0 else str(seconds)
    if seconds < 0:
        return f"-{format_duration(-seconds, digits)}"
    for unit, size in (("us", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        amount = _rounded(seconds / size, digits)
        if amount < (60 if unit == "s" else 1000):
            return f"{_plain(amount)}{unit}" if amount else "0s"
    whole = round(seconds)
    parts = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])


def format_share(share: float, digits: int = 3) -> str:
    """``99.5%``. So many digits that neither the share nor what it lacks to 100 % is lost: 0.99999 is ``99.999%``,
    and only 1 itself is ``100%``.
    """
    return format_percentage(share * 100, digits)


def format_percentage(percent: float, digits: int = 3) -> str:
    """``10%`` of 10, as :func:`format_share`."""
    if not math.isfinite(percent):
        return f"{percent}%"
    exact = _rounded(percent, 15)
    gap = min(abs(exact), abs(100 - exact))
    places = digits - 1 - gap.adjusted() if gap else 0
    return f"{_plain(round(exact, max(0, places)))}%"


def format_rate(rate: float, digits: int = 3) -> str:
    """``200/s``."""
    return f"{_plain(_rounded(rate, digits) if rate < 10**digits else Decimal(round(rate)))}/s"


def _number(value: object) -> str | None:
    """The text of a finite number (also one in quotes), None for all else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _plain(Decimal(str(value))) if math.isfinite(value) else None
    if isinstance(value, str) and re.fullmatch(rf"[+-]?{NUMBER}", value.strip()):
        return value.strip().lstrip("+")
    return None


def _rounded(value: float, digits: int) -> Decimal:
    number = Decimal(repr(float(value)))
    return round(number, digits - 1 - number.adjusted()) if number else Decimal(0)


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown(value: object) -> str:
    """A value in a message: short, and as YAML has it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
