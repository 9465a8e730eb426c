"""One mesh of a name for all workers of pytest-xdist: the first that needs it starts it, the others join, and it stays
until they are through with it.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from meshchaos.mesh.seam import Mesh
from meshchaos.run.meshes import join_mesh, joinable
from pytest_meshchaos.sharing import alone, name_of, put


class SharedMeshes:
    """Of one worker. ``folder``: the test run's (``sharing.shared_folder``); ``start``: opens the mesh of a name, with
    a folder for its logs.
    """

    def __init__(self, folder: Path, start: Callable[[str, Path], Mesh]) -> None:
        self._folder = folder
        self._start = start
        self._joined = ExitStack()
        self._owned: set[str] = set()

    def open(self, name: str, logs: Path) -> Mesh:
        """Raises what ``start`` raises."""
        with alone(self._folder, _key(name)):
            note = self._note(name)
            mesh = join_mesh(note.read_text("utf-8")) if note.exists() else None
            if mesh is not None:
                users = self._joined.enter_context(self._users(name).open("w"))
                fcntl.flock(users, fcntl.LOCK_SH)
                return mesh
            mesh = self._start(name, logs)
            found = joinable(mesh)
            if found is not None:
                self._owned.add(name)
                put(note, found)
            return mesh

    def leave(self) -> None:
        """Called before the meshes are closed, when this worker has no test left: it waits until nobody uses a mesh
        that it started.
        """
        self._joined.close()
        for name in self._owned:
            with alone(self._folder, _key(name)):
                self._note(name).unlink(missing_ok=True)  # whoever comes now starts one of his own
            with self._users(name).open("w") as users:
                fcntl.flock(users, fcntl.LOCK_EX)
        self._owned.clear()

    def _note(self, name: str) -> Path:
        return self._folder / f"{name_of(_key(name))}.mesh"

    def _users(self, name: str) -> Path:
        return self._folder / f"{name_of(_key(name))}.users"


def _key(name: str) -> str:
    return f"start {name}"
