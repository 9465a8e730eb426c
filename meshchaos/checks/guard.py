"""A check that crashes, or answers with something that is no finding, is ERROR, never PASS."""

from __future__ import annotations

from dataclasses import replace

from meshchaos.checks.kind import Check, Finding, Verdict
from meshchaos.history.records import History


def guarded(check: Check, history: History, alpha: float) -> Finding:
    """What the check finds; when it raises or finds nothing that can be told, an ERROR with its words."""
    try:
        return _found(check.judge(history, alpha=alpha))
    except Exception as error:  # a check may be a user's own: any crash of it is an ERROR
        where = getattr(check, "where", None)
        return Finding(
            kind=check.kind,
            name=check.name,
            during=check.during,
            verdict=Verdict.ERROR,
            reason=f"the check crashed: {type(error).__name__}: {error}",
            evidence=tuple(_places(error)),
            line=where.line if where is not None else 0,
        )


def _found(answer: object) -> Finding:
    """A plug-in may say "FAIL" for Verdict.FAIL; taken as it is, no rule that looks for FAIL would see it."""
    if not isinstance(answer, Finding):
        raise TypeError(f"it returned {type(answer).__name__} instead of a Finding")
    return replace(answer, verdict=Verdict(answer.verdict))


def _places(error: BaseException) -> list[str]:
    """The last frames of the traceback, module and line, so that a crash can be found."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return [f"in {frame.name}, line {frame.lineno} of {frame.filename.rpartition('/')[2]}" for frame in frames]
