"""``meshchaos heal``: what interrupted runs left, put back from their journals, verified, released. Idempotent."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meshchaos.errors import Locked, MeshchaosError, UserError
from meshchaos.mesh.apply import undo_change
from meshchaos.mesh.journal import JournalEntry
from meshchaos.mesh.seam import Mesh
from meshchaos.run.outcome import EXIT_ERROR, EXIT_LEFTOVER, EXIT_PASS, worst_exit
from meshchaos.run.owner import is_dead

_GONE = 30.0
_RENEWALS = 1.0
"""Seconds between two looks whether a run renews."""

if TYPE_CHECKING:
    from meshchaos.mesh.kubernetes.spec import ClusterSpec


@dataclass(frozen=True, slots=True)
class Healing:
    """``lines`` for people; ``exit_code`` 4 when something could not be put back."""

    lines: tuple[str, ...]
    exit_code: int


def heal(*, mesh: str | None, config: Path | None, force: bool, leave: bool = False) -> Healing:
    """Every local mesh of this user that is reached, or the one named, which may be on a cluster; also what dead meshes
    left behind.
    An entry that has not expired is a run that may be alive, unless its process is known to be dead: it is healed with
    ``force`` only. ``config`` narrows the name to the meshes of one configuration. ``leave``: what somebody else wrote
    over a run's changes is meant to stay, and nothing is held up by it any more.
    """
    from meshchaos.mesh.local import starting
    from meshchaos.mesh.local.client import LocalMesh

    cluster = _cluster(mesh, config)
    if cluster is not None:
        return _heal_cluster(cluster, force=force, leave=leave)
    lines: list[str] = []
    codes = [EXIT_PASS]
    for entry in starting.clear_dead():
        lines.append(f"run {entry.run_id} ({entry.owner}): its mesh is gone, and everything it changed with it")
    for info in starting.status():
        if mesh not in (None, info.mesh) or (config is not None and Path(info.config) != config.absolute()):
            continue
        try:
            with LocalMesh.attach(info, manager="meshchaos-heal") as opened:
                for line, code in heal_mesh(opened, force=force, leave=leave):
                    lines.append(f"mesh {info.mesh}: {line}")
                    codes.append(code)
        except MeshchaosError as error:
            lines.append(f"mesh {info.mesh}: {error}")
            codes.append(EXIT_ERROR)
    return Healing(tuple(lines or ["nothing to heal"]), worst_exit(codes))


def _cluster(name: str | None, config: Path | None) -> ClusterSpec | None:
    """The mesh of that name where it is one on a cluster: such a one is never meant without its name. Raises UserError
    for a configuration that cannot be read, unless a local mesh of that name runs.
    """
    from meshchaos.experiment.config import read_config
    from meshchaos.mesh.local import starting
    from meshchaos.run.meshes import cluster_spec

    if name is None:
        return None
    try:
        known = read_config(config)
        return cluster_spec(known, name) if name in known.meshes else None
    except UserError:
        if any(info.mesh == name for info in starting.status()):
            return None
        raise


def _heal_cluster(spec: ClusterSpec, *, force: bool, leave: bool) -> Healing:
    """What runs left on a cluster. Whether one of another machine is alive shows by its renewals: they are waited for,
    as long as they may take. Raises UserError where the cluster cannot be reached.
    """
    from meshchaos.mesh.kubernetes.client import KubernetesMesh

    with tempfile.TemporaryDirectory(prefix="meshchaos-heal-") as logs, KubernetesMesh.open(spec, Path(logs)) as mesh:
        if not force:
            _watch_renewals(mesh)
        done = heal_mesh(mesh, force=force, leave=leave)
        found = [(f"mesh {spec.mesh}: {line}", code) for line, code in done]
    lines = tuple(line for line, _ in found) or (f"mesh {spec.mesh}: nothing to heal",)
    return Healing(lines, worst_exit([EXIT_PASS, *(code for _, code in found)]))


def _watch_renewals(mesh: Mesh) -> None:
    """Until each entry is that of a dead process, has expired, or was seen to be renewed."""
    first: dict[str, float] = {}
    while True:
        waiting = False
        for entry in mesh.journal.entries():
            alive = entry.expires > first.setdefault(entry.run_id, entry.expires)
            waiting = waiting or not (alive or is_dead(entry.owner) or entry.expires <= time.time())
        if not waiting:
            return
        time.sleep(_RENEWALS)


def heal_mesh(mesh: Mesh, *, force: bool, leave: bool = False) -> Iterator[tuple[str, int]]:
    """A line and an exit code for each open entry of one mesh's journal."""
    for entry in mesh.journal.entries():
        left = entry.expires - time.time()
        if left > 0 and not force and not is_dead(entry.owner):
            yield (
                f"run {entry.run_id} ({entry.owner}) holds it and may be alive; the mesh puts it back by itself in "
                f"{left:.0f}s unless it renews; now: --force",
                EXIT_LEFTOVER,
            )
            continue
        yield heal_entry(mesh, entry, leave=leave)


def heal_entry(mesh: Mesh, entry: JournalEntry, *, leave: bool = False) -> tuple[str, int]:
    """Puts back what one run left, whoever may hold it; a line on it and an exit code. ``leave``: as for ``heal``."""
    left: list[str] = []
    theirs: list[str] = []
    try:
        mesh.journal.take_over(entry.run_id)
    except MeshchaosError as error:
        return f"run {entry.run_id} ({entry.owner}): nothing was put back: {error}", EXIT_LEFTOVER
    for change in reversed(entry.changes):
        try:
            theirs += undo_change(mesh, change, entry.run_id)
        except MeshchaosError as error:
            left.append(f"{change.ref}: {error}")
    if not left and (leave or not theirs):
        try:
            mesh.confirm(entry.changes, present=False, timeout=_GONE)
        except MeshchaosError as error:
            left.append(f"taken back, but not gone from the proxies: {error}")
    if left or (theirs and not leave):
        hint = "" if left else "; if that is meant to stay, say so: heal with --leave"
        return f"run {entry.run_id}: could not put back: {'; '.join((*left, *theirs))}{hint}", EXIT_LEFTOVER
    what = ", ".join(str(change.ref) for change in entry.changes) or "nothing"
    try:
        mesh.journal.close(entry.run_id)
    except MeshchaosError as error:
        words = f"put back and verified: {what}; but its journal could not be closed: {error}"
        return f"run {entry.run_id} ({entry.owner}): {words}", EXIT_ERROR
    words = f"put back and verified: {what}{''.join(f'; {line}' for line in theirs)}"
    return f"run {entry.run_id} ({entry.owner}): {words}", EXIT_PASS


def refuse_held(mesh: Mesh, heal_command: str, now: float) -> None:
    """Raises Locked when a run holds the mesh or left changes behind: nothing starts over them. ``now``: epoch s."""
    for entry in mesh.journal.entries():
        left = entry.expires - now
        if is_dead(entry.owner) or left <= 0:
            text = f"run {entry.run_id} ({entry.owner}) is dead and left changes behind; say: {heal_command}"
        else:
            text = (
                f"run {entry.run_id} ({entry.owner}) holds it, and for {left:.0f}s yet unless it renews; "
                f"wait for it, or if you know it is over, say: {heal_command} --force"
            )
        raise Locked(f"mesh {mesh.name}: {text}")
