"""The errors of meshchaos, one tree.

::

    MeshchaosError
    ├── UserError                 the user's mistake: one line with place and remedy, exit 2
    │   ├── FileError             a place in a file: ``file:line:col: path: message``
    │   ├── FileErrors            several of them, a line each
    │   └── CannotPlace           this fault cannot be placed on this mesh, and why
    ├── MeshError                 the mesh broke or refused, exit 5
    │   ├── NotFound              no such object
    │   ├── Conflict              somebody else wrote the object since it was read
    │   ├── AlreadyExists         an object of that name is there
    │   ├── Refused               the mesh does not take this object or field; says which
    │   ├── ProxyRejected         a proxy refused its configuration; carries the proxy's own words
    │   ├── NotLive               a change is not live everywhere at its deadline; says where
    │   ├── Locked                another run holds the mesh
    │   └── MeshGone              the mesh (its supervisor, its API) does not answer any more
    ├── LoadError                 the load generator could not start or died
    ├── EvidenceError             evidence that was promised cannot be read
    ├── FaultNotProved            a fault was applied and nothing shows that it bit (Python API)
    └── Leftover                  something could not be put back, exit 4; says what and how by hand

Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable


class MeshchaosError(Exception):
    """Root of all errors that meshchaos raises on purpose. ``str()`` is one line for the user."""

    exit_code = 5


class UserError(MeshchaosError):
    """The user's mistake: a file, an option, a name."""

    exit_code = 2


class FileError(UserError):
    """A mistake at a place in a file.

    ``path`` is the path inside the document (``spec.faults[0].delay``), empty at its root.
    ``line`` and ``col`` count from 1; 0 means unknown.
    """

    def __init__(self, message: str, *, file: str, line: int = 0, col: int = 0, path: str = "") -> None:
        self.message = message
        self.file = file
        self.line = line
        self.col = col
        self.path = path
        place = f"{file}:{line}:{col}" if line else file
        super().__init__(f"{place}: {path}: {message}" if path else f"{place}: {message}")


class FileErrors(UserError):
    """Several mistakes in files, reported together: ``errors``, and ``str()`` has a line for each."""

    def __init__(self, errors: Iterable[FileError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


class CannotPlace(UserError):
    """A fault that cannot be placed on this mesh as it is; the text says why and what would help."""


class MeshError(MeshchaosError):
    """The mesh broke or refused."""


class NotFound(MeshError):
    """No such object."""


class Conflict(MeshError):
    """The object was written by somebody else since it was read (resourceVersion differs)."""


class AlreadyExists(MeshError):
    """An object of that kind and name exists."""


class Refused(MeshError):
    """The mesh does not take this object; the text names the object and the field."""


class ProxyRejected(MeshError):
    """A proxy refused its configuration. The text holds the proxy's own words."""


class NotLive(MeshError):
    """A change was not live (or not gone) in every proxy concerned at its deadline."""


class Locked(MeshError):
    """Another run holds the mesh's lock, or left its journal behind."""


class MeshGone(MeshError):
    """The mesh does not answer any more."""


class LoadError(MeshchaosError):
    """The load generator could not start, or died."""


class EvidenceError(MeshchaosError):
    """Evidence that was promised cannot be read."""


class FaultNotProved(MeshchaosError):
    """A fault was applied and nothing shows that it bit."""

    exit_code = 3


class Leftover(MeshchaosError):
    """Something of a run could not be put back; the text says what and how to do it by hand."""

    exit_code = 4
