"""The local mesh's lock and undo records: one file, on disk before the change is made.

The supervisor holds it and undoes what is past its expiry; ``RemoteJournal`` is the runner's view of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meshchaos.errors import Locked, MeshError
from meshchaos.mesh import changes
from meshchaos.mesh.changes import Change
from meshchaos.mesh.journal import JournalEntry
from meshchaos.mesh.local.wire import Connection


class FileJournal:
    """Implements ``meshchaos.mesh.journal.Journal`` on a file. ``heal`` is the command that clears it, for messages."""

    def __init__(self, path: Path, heal: str, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._heal = heal
        self._clock = clock
        self._entries = read(path)
        self._undoing: set[str] = set()

    def open(self, run_id: str, owner: str, changes: Sequence[Change], lifetime: float) -> None:
        """See ``Journal``; one entry at a time, which is the lock. Raises MeshError when the disk does not take it."""
        for entry in self._entries:
            raise Locked(
                f"run {entry.run_id} ({entry.owner}) holds this mesh since {_utc(entry.opened)} "
                f"and until {_utc(entry.expires)} at most; if it is dead: {self._heal}"
            )
        now = self._clock()
        self._save([JournalEntry(run_id, owner, now, now + lifetime, tuple(changes))])

    def renew(self, run_id: str, lifetime: float) -> None:
        """See ``Journal``."""
        self.require(run_id)
        expires = self._clock() + lifetime
        self._save([replace(e, expires=expires) if e.run_id == run_id else e for e in self._entries])

    def require(self, run_id: str) -> None:
        """Raises Locked unless the run still holds the mesh. Asked ahead of every write of a run: one that was
        suspended may wake up between its own look and its write.
        """
        if run_id in self._undoing or all(entry.run_id != run_id for entry in self._entries):
            raise Locked(f"run {run_id} does not hold this mesh any more: its entry expired and was healed")

    def take_over(self, run_id: str) -> None:
        """See ``Journal``."""
        self._undoing.add(run_id)

    def close(self, run_id: str) -> None:
        """See ``Journal``."""
        kept = [entry for entry in self._entries if entry.run_id != run_id]
        if len(kept) != len(self._entries):
            self._save(kept)

    def entries(self) -> list[JournalEntry]:
        """See ``Journal``."""
        return list(self._entries)

    def expired(self) -> list[JournalEntry]:
        """Entries that somebody has to undo now."""
        now = self._clock()
        return [entry for entry in self._entries if entry.expires <= now]

    def _save(self, entries: list[JournalEntry]) -> None:
        scratch = self._path.with_suffix(".tmp")
        try:
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump([entry_form(entry) for entry in entries], file)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                scratch.unlink()
            raise MeshError(f"cannot write the journal {self._path}: {error.strerror}; nothing was changed") from error
        self._entries = entries


class RemoteJournal:
    """The journal of a supervisor at the other end of ``connection``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.holder: str | None = None
        """The run that opened it here, in whose name this process writes until it is closed."""

    def open(self, run_id: str, owner: str, changes: Sequence[Change], lifetime: float) -> None:
        """See ``Journal``."""
        entry = JournalEntry(run_id, owner, 0.0, lifetime, tuple(changes))
        self._connection.call("journal_open", entry_form(entry))
        self.holder = run_id

    def renew(self, run_id: str, lifetime: float) -> None:
        """See ``Journal``."""
        self._connection.call("journal_renew", {"run_id": run_id, "lifetime": lifetime})

    def take_over(self, run_id: str) -> None:
        """See ``Journal``."""
        self._connection.call("journal_take_over", {"run_id": run_id})

    def close(self, run_id: str) -> None:
        """See ``Journal``."""
        self._connection.call("journal_close", {"run_id": run_id})
        if self.holder == run_id:
            self.holder = None

    def entries(self) -> list[JournalEntry]:
        """See ``Journal``."""
        return [entry_of(form) for form in self._connection.call("journal_entries")]


def read(path: Path) -> list[JournalEntry]:
    """The entries in a journal file, also a dead mesh's. Raises MeshError when it is damaged."""
    try:
        return [entry_of(form) for form in json.loads(path.read_text("utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MeshError(f"the journal {path} cannot be read: {error}") from error


def entry_form(entry: JournalEntry) -> dict[str, Any]:
    """JSON form of an entry."""
    return {
        "run_id": entry.run_id,
        "owner": entry.owner,
        "opened": entry.opened,
        "expires": entry.expires,
        "changes": [changes.dump(change) for change in entry.changes],
    }


def entry_of(form: Mapping[str, Any]) -> JournalEntry:
    """The reverse of ``entry_form``."""
    return JournalEntry(
        run_id=str(form["run_id"]),
        owner=str(form["owner"]),
        opened=float(form["opened"]),
        expires=float(form["expires"]),
        changes=tuple(changes.load(change) for change in form["changes"]),
    )


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S UTC")
