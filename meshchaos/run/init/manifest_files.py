"""Which files below a folder are manifests that the local mesh takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from meshchaos.errors import UserError
from meshchaos.mesh.local.objects.kinds import REGISTRY
from meshchaos.mesh.local.objects.manifests import SUFFIXES

_ELSEWHERE: Final = frozenset({"node_modules", "reports", "site", "venv"})
"""Folders of other programs, and of ours, which no manifest of the user's is in."""


@dataclass(frozen=True, slots=True)
class ManifestFiles:
    """``left_out``: files of Kubernetes objects of which the local mesh knows no kind, with their kinds."""

    taken: tuple[Path, ...]
    left_out: tuple[tuple[Path, str], ...]


def find_manifests(paths: Sequence[Path]) -> ManifestFiles:
    """Of files and folders. Raises UserError for a path that is not there, and where nothing is found."""
    taken: list[Path] = []
    left_out: list[tuple[Path, str]] = []
    for file in dict.fromkeys(one for path in paths for one in _files(path)):
        kinds = _kinds(file)
        if any(kind in REGISTRY for kind in kinds):
            taken.append(file)
        elif kinds:
            left_out.append((file, ", ".join(dict.fromkeys(kinds))))
    if not taken:
        where = ", ".join(str(path) for path in paths)
        raise UserError(
            f"{where}: no Kubernetes manifests here: name the folder of your Deployments, Services and Istio objects, "
            "as in meshchaos init deploy/manifests"
        )
    return ManifestFiles(tuple(taken), tuple(left_out))


def shortest(taken: Sequence[Path], folder: Path) -> list[str]:
    """The manifests as meshchaos.yaml in ``folder`` names them: folders that hold nothing else, else the files."""
    named: list[Path] = []
    for file in taken:
        if any(one in file.parents for one in named):
            continue
        best = file
        for parent in file.parents:
            if parent == folder or folder not in parent.parents or not _only(parent, taken):
                break
            best = parent
        named.append(best)
    return [str(one.relative_to(folder)) if folder in one.parents else str(one) for one in named]


def _only(parent: Path, taken: Sequence[Path]) -> bool:
    """Whether the local mesh would read nothing else in this folder."""
    return all(
        file in taken
        for file in parent.rglob("*")
        if file.suffix in SUFFIXES and file.is_file() and not _hidden(file, parent)
    )


def _files(path: Path) -> Iterator[Path]:
    path = path.absolute()
    if path.is_file():
        yield path
    elif path.is_dir():
        for file in sorted(path.rglob("*")):
            ours = file.name.endswith(".chaos.yaml") or file.name == "meshchaos.yaml"
            if file.suffix in SUFFIXES and file.is_file() and not ours and not _hidden(file, path):
                yield file
    else:
        raise UserError(f"{path}: no such file or folder")


def _hidden(file: Path, below: Path) -> bool:
    parts = file.relative_to(below).parts
    return any(part.startswith(".") or part in _ELSEWHERE for part in parts)


def _kinds(file: Path) -> list[str]:
    """Of its Kubernetes objects; none for a file of something else. What is wrong in one is told when it is read."""
    try:
        documents: list[Any] = list(yaml.safe_load_all(file.read_text("utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, OSError):
        return []
    return [str(one["kind"]) for one in documents if isinstance(one, dict) and one.get("apiVersion") and "kind" in one]
