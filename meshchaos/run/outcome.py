"""Why a run ends before its plan, and what the command makes of all outcomes together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from meshchaos.checks.kind import Finding

StopKind = Literal["stop-if", "interrupted", "invalid", "error"]


class RunStopped(Exception):
    """The run must end here. Raised by the phases, caught by the engine, which heals."""

    def __init__(self, kind: StopKind, reason: str, finding: Finding | None = None) -> None:
        self.kind: StopKind = kind
        self.reason = reason
        self.finding = finding
        super().__init__(reason)


EXIT_PASS: Final = 0
EXIT_FAIL: Final = 1
EXIT_USER: Final = 2
EXIT_UNDECIDED: Final = 3
EXIT_LEFTOVER: Final = 4
EXIT_ERROR: Final = 5
EXIT_INTERRUPTED: Final = 130

_WORST_FIRST = (EXIT_LEFTOVER, EXIT_INTERRUPTED, EXIT_ERROR, EXIT_FAIL, EXIT_UNDECIDED, EXIT_PASS)


def worst_exit(codes: Iterable[int]) -> int:
    """The exit code of a suite: the worst by 4, 130, 5, 1, 3, 0 (a user's mistake, 2, ends it before).
    Nothing at all is the user's mistake.
    """
    seen = set(codes)
    if not seen:
        return EXIT_USER
    return next((code for code in _WORST_FIRST if code in seen), max(seen))
