"""What this machine lacks for a cluster of its own, said before anything is made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.cluster.node.layout import CACHE, MADE, RUN

_GIB: Final = 1 << 30
DISK: Final = 12 * _GIB
"""Go's caches 8 GiB, programs and images 2 GiB, a running cluster 1 GiB."""
DISK_MADE: Final = 3 * _GIB
_NET_ADMIN, _SYS_ADMIN = 12, 21
_CONTROLLERS: Final = frozenset({"cpu", "cpuset", "memory", "pids"})
_CGROUPS: Final = Path("/sys/fs/cgroup")
_GO: Final = (1, 24)


def lacking() -> list[str]:
    """In words; empty when a cluster can come up here. Never raises."""
    return list(_lacking())


def _lacking() -> Iterator[str]:
    if not sys.platform.startswith("linux"):
        yield "Linux"
        return
    release = Path("/etc/os-release")
    kind = release.read_text("utf-8") if release.exists() else ""
    if not re.search(r"^ID(_LIKE)?=.*\b(debian|ubuntu)\b", kind, re.MULTILINE) or shutil.which("apt-get") is None:
        yield "Debian (etcd, containerd and runc are its packages)"
    if shutil.which("go") is None and not MADE.exists():
        yield f"Go {_GO[0]}.{_GO[1]} or newer"
    if os.geteuid() != 0:
        yield "root"
        return
    held = int(re.search(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)[1], 16)  # type: ignore[index]
    yield from (
        name for bit, name in ((_NET_ADMIN, "CAP_NET_ADMIN"), (_SYS_ADMIN, "CAP_SYS_ADMIN")) if not held >> bit & 1
    )
    if missing := _CONTROLLERS - controllers():
        yield f"the cgroup controllers {', '.join(sorted(missing))}"
    if any(_CGROUPS.glob("**/kubepods*")) and not RUN.exists():
        yield "room: a kubelet runs here already"
    CACHE.mkdir(parents=True, exist_ok=True)
    if held >> _SYS_ADMIN & 1 and not _overlay():
        yield "overlayfs under the cache folder"
    wanted = DISK_MADE if MADE.exists() else DISK
    if (free := shutil.disk_usage(CACHE).free) < wanted:
        yield f"{wanted // _GIB} GiB of disk for the cache folder ({free / _GIB:.1f} are free)"


def controllers() -> frozenset[str]:
    """The cgroup controllers of this machine: of version 2, or of 1 where it mounts them."""
    unified = _CGROUPS / "cgroup.controllers"
    if unified.exists():
        return frozenset(unified.read_text().split())
    return frozenset(one.name for one in _CGROUPS.iterdir() if (one / "cgroup.procs").exists())


def _overlay() -> bool:
    """Whether it can be mounted over folders where containerd will keep its own."""
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        lower, upper, work, merged = (Path(folder, name) for name in ("lower", "upper", "work", "merged"))
        for one in (lower, upper, work, merged):
            one.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(merged)]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            return False
        subprocess.run(["umount", str(merged)], check=True)
        return True
