"""What a plain (unquoted) YAML scalar is: the core schema of YAML 1.2, section 10.3.2.

YAML 1.1's ``yes``, ``no``, ``on``, ``off``, ``10:30``, ``1_000`` and dates are text here, whoever reads the file;
``010`` is refused, because it is 8 to some readers and 10 to others.
"""

from __future__ import annotations

import math
import re

from meshchaos.experiment.tree import Scalar

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_ENDLESS = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_OLD_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_LONGEST_NUMBER = 40


def resolve(text: str) -> Scalar:
    """The value of a plain scalar. Raises ValueError, for the user, for what is ambiguous or no finite number."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] not in "+-.0123456789":
        return text
    if _OLD_OCTAL.fullmatch(text):
        digits = text.lstrip("+-").replace("_", "").lstrip("0") or "0"
        raise ValueError(f"{text} is octal to some readers of YAML and decimal to others: write {digits} or '{text}'")
    if _ENDLESS.fullmatch(text):
        raise ValueError(f"{text} is no finite number")
    if len(text) > _LONGEST_NUMBER and (_INT.fullmatch(text) or _FLOAT.fullmatch(text)):
        raise ValueError("a number of so many digits is a typing error, or text and belongs in quotes")
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEX.fullmatch(text):
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"{text} is no finite number")
        return number
    return text


def is_text(text: str) -> bool:
    """Whether a plain scalar of these characters is text, to us."""
    try:
        return isinstance(resolve(text), str)
    except ValueError:
        return False
