"""Who holds a mesh, as its journal names him; and whether that process is known to be dead."""

from __future__ import annotations

import getpass
import os
import re
import socket
from pathlib import Path

_FORM = re.compile(r"[^@]*@(?P<host>[^,]*), process (?P<pid>\d+)(?: \((?P<mark>\d+\.\d+)\))?")


def this_process() -> str:
    """``user@host, process 4711 (4026531836.88442)``: in brackets the PID namespace and the process's start in clock
    ticks since boot (proc_pid_stat(5), field 22), so that a number that was given out again is not taken for the same;
    left out where the system does not tell.
    """
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())
    mark = _mark(os.getpid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()}" + (f" ({mark})" if mark else "")


def is_dead(owner: str) -> bool:
    """Whether the process ran where we do and is no more. False where that cannot be known from here."""
    found = _FORM.fullmatch(owner)
    if found is None or found["mark"] is None or found["host"] != socket.gethostname():
        return False
    if found["mark"].partition(".")[0] != _namespace():
        return False
    return _mark(int(found["pid"])) != found["mark"]


def _mark(pid: int) -> str | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    state, *rest = text[text.rfind(")") + 2 :].split()
    namespace = _namespace()
    if namespace is None or state in "ZX":  # a zombie does nothing any more
        return None
    return f"{namespace}.{rest[18]}"


def _namespace() -> str | None:
    try:
        return str((Path("/proc/self/ns/pid")).stat().st_ino)
    except OSError:
        return None
