"""Where a running mesh keeps its sockets and its journal: a private, short folder, gone with the mesh.

Not in the report folder: socket paths are limited to 107 bytes, and reports are shown around.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from meshchaos.errors import UserError

_LONGEST_SOCKET = len("/12345678/p9999/admin.sock")
_SUN_PATH = 107


@dataclass(frozen=True, slots=True)
class MeshInfo:
    """One mesh of this user. ``mesh`` is its name in meshchaos.yaml, ``config`` that file's path, ``logs`` the folder
    of its logs, ``pid`` its guard's. ``detached``: started by ``mesh up``.
    """

    mesh: str
    config: str
    logs: str
    pid: int
    started: float
    detached: bool
    folder: str

    @property
    def socket(self) -> str:
        return str(Path(self.folder) / "mesh.sock")


def root() -> Path:
    """Where all meshes of the user live, mode 0700. Raises UserError where it cannot be had safely."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    path = Path(base) / "meshchaos" if base else _memory_or_temporary() / f"meshchaos-{os.getuid()}"
    if len(os.fsencode(path)) + _LONGEST_SOCKET > _SUN_PATH:
        raise UserError(f"{path} is too long a path for Unix sockets: set XDG_RUNTIME_DIR or TMPDIR to a shorter one")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise UserError(f"cannot make {path} for the mesh's sockets: {error.strerror}; set XDG_RUNTIME_DIR") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise UserError(f"{path} is not a private folder of yours (mode 0700): remove it or set XDG_RUNTIME_DIR")
    return path


def _memory_or_temporary() -> Path:
    """In memory if there is such a place: replacing a file on a disk takes a millisecond, and files are replaced
    while faults are waited for.
    """
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


def new_folder() -> Path:
    """A fresh folder for one mesh, mode 0700."""
    parent = root()
    while True:
        path = parent / secrets.token_hex(4)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"cannot make {path} for the mesh's sockets: {error.strerror}") from error
        return path


def hold(folder: Path) -> int:
    """Takes the lock that says the mesh of ``folder`` lives; the descriptor must stay open, forks share it."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def alive(folder: Path) -> bool:
    """Whether the mesh of ``folder`` is held by a living process."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_info(info: MeshInfo) -> None:
    """Written by the supervisor once the mesh is up: from then on ``meshes`` finds it."""
    path = Path(info.folder) / "mesh.json"
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(asdict(info)), "utf-8")
    scratch.replace(path)


def meshes() -> tuple[list[MeshInfo], list[Path]]:
    """The living meshes of this user, oldest first, and the folders that dead ones left behind."""
    living: list[MeshInfo] = []
    dead: list[Path] = []
    for folder in sorted(root().iterdir()):
        if not folder.is_dir():
            continue
        if not alive(folder):
            # One that is being made has no lock yet, and nothing to heal either.
            if (folder / "lock").exists():
                dead.append(folder)
            continue
        with contextlib.suppress(OSError, ValueError, TypeError):
            living.append(MeshInfo(**json.loads((folder / "mesh.json").read_text("utf-8"))))
    return sorted(living, key=lambda info: info.started), dead


def sweep(folder: Path) -> None:
    """Removes what a dead mesh left."""
    shutil.rmtree(folder, ignore_errors=True)
