"""Numbers as people read them, for reasons and evidence."""

from __future__ import annotations

import math

from meshchaos.experiment.model import PhaseName


def percent(share: float) -> str:
    """A share 0..1 as ``99.83 %``: two decimals, more where it is close to 0 or 100 without being it."""
    return f"{_percent(share)} %"


def percent_range(low: float, high: float) -> str:
    """``99.74-99.89 %``, both ends with the decimals of the finer one."""
    decimals = max(_decimals(low), _decimals(high))
    return f"{_percent(low, decimals)}-{_percent(high, decimals)} %"


def _percent(share: float, decimals: int | None = None) -> str:
    text = f"{share * 100:.{_decimals(share) if decimals is None else decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _decimals(share: float) -> int:
    tail = min(abs(share), abs(1 - share)) * 100
    if tail < 1e-7:
        return 0
    return 2 if tail >= 0.1 else min(7, 1 - math.floor(math.log10(tail)))


def seconds(value: float) -> str:
    """A time as ``412 ms``, ``1.24 s`` or ``25 min``: three digits."""
    if value >= 7200:
        return f"{float(f'{value / 3600:.3g}'):g} h"
    if value >= 300:
        return f"{float(f'{value / 60:.3g}'):g} min"
    if value >= 1:
        return f"{float(f'{value:.3g}'):g} s"
    return f"{float(f'{value * 1000:.3g}'):g} ms"


def seconds_range(low: float | None, high: float | None) -> str:
    """``401-430 ms``, ``0.98-1.2 s``; an upper end that is None has no bound. Empty where nothing is known."""
    if high is None:
        return "" if low is None else f"from {seconds(low)} up, without end"
    if low is None:
        low = 0.0
    first, second = seconds(low), seconds(high)
    (a, unit), (b, other) = first.split(" "), second.split(" ")
    return f"{a}-{b} {unit}" if unit == other else f"{first} to {second}"


def count(n: int) -> str:
    return f"{n:,}"


def plural(n: int, noun: str) -> str:
    """``1 request``, ``2 requests``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def level(alpha: float) -> str:
    """The confidence 1 - alpha: ``95 %``, ``98.3 %``."""
    value = (1 - alpha) * 100
    for decimals in range(6):
        if abs(round(value, decimals) - value) < (100 - value) / 20:
            return f"{value:.{decimals}f} %"
    return f"{value:.6f} %"


PHASES = {
    "warmup": "in the warm-up",
    "baseline": "in the baseline",
    "observe": "while observed",
    "fault": "under the fault",
    "recovery": "in the recovery",
}


def phase(name: PhaseName) -> str:
    """``under the fault``, ``in the baseline``."""
    return PHASES[name]
