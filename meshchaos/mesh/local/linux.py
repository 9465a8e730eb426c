"""The few Linux calls that Python does not bring: parent-death signals, subreapers, who our children are."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

from meshchaos.errors import UserError

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def require_linux() -> None:
    """Raises UserError elsewhere: the local mesh needs 127.0.0.0/8 on the loopback and parent-death signals."""
    if sys.platform != "linux":
        raise UserError(
            f"the local mesh runs on Linux only, this is {sys.platform}: "
            "run meshchaos in a Linux container or virtual machine, or use a mesh with `kubernetes:`"
        )


def _prctl(option: int, argument: int) -> None:
    if _libc is None or _libc.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Called in a child: ``number`` comes when the thread that forked it ends; at once if ``parent`` is gone already.

    Survives exec (not that of a setuid program), is not inherited by the child's own children.
    """
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def become_subreaper() -> None:
    """Orphans among our descendants become our children, whatever session they moved to."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children_of(parents: set[int]) -> dict[int, int]:
    """Living descendants of ``parents`` (zombies left out): pid -> its parent, read once from /proc."""
    parent_of: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text("utf-8", "replace")
        except OSError:
            continue  # it ended meanwhile
        state, parent, *_ = text[text.rfind(")") + 2 :].split()
        if state not in "ZX":
            parent_of[int(entry.name)] = int(parent)
    found: dict[int, int] = {}
    frontier = set(parents)
    while frontier:
        fresh = {pid for pid, parent in parent_of.items() if parent in frontier and pid not in found}
        found.update({pid: parent_of[pid] for pid in fresh})
        frontier = fresh
    return found


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Signals a child of ours that was not reaped yet (so the number cannot be another's); gone is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
