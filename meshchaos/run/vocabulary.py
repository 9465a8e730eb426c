"""The kinds of faults and expectations that are installed, ours and a user's own, by their entry points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, cast

from meshchaos.checks.kind import CheckKind
from meshchaos.errors import MeshchaosError, UserError
from meshchaos.experiment.model import SpecKind, Vocabulary
from meshchaos.faults.kind import FaultKind

FAULTS: Final = "meshchaos.faults"
CHECKS: Final = "meshchaos.checks"


@dataclass(frozen=True, slots=True)
class Kinds:
    """The registered kinds by key; ``vocabulary`` is what the reader of experiments gets."""

    faults: Mapping[str, FaultKind]
    checks: Mapping[str, CheckKind]

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(
            faults={key: kind.kind for key, kind in self.faults.items()},
            checks={key: kind.kind for key, kind in self.checks.items()},
        )


@cache
def load_kinds() -> Kinds:
    """All installed kinds. Raises UserError, naming the distribution, for a plug-in that cannot be loaded,
    brings something else than a kind, or claims a key that is taken.
    """
    return Kinds(
        faults=cast("Mapping[str, FaultKind]", _load(FAULTS, "place")),
        checks=cast("Mapping[str, CheckKind]", _load(CHECKS, "checks")),
    )


@contextmanager
def plugs(kind: FaultKind | CheckKind) -> Iterator[None]:
    """A bug of a plug-in inside keeps its traceback, with a note that says whose it is."""
    try:
        yield
    except MeshchaosError:
        raise
    except Exception as error:
        module = type(kind).__module__
        if module.partition(".")[0] != "meshchaos":
            error.add_note(f"raised in `{kind.kind.key}`, which {module} brings: a bug of that plug-in")
        raise


def _load(group: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for point in sorted(entry_points(group=group), key=lambda point: (not _ours(point), point.name)):
        try:
            kind = point.load()
        except Exception as error:  # whatever a plug-in's import raises is that plug-in's mistake
            raise UserError(
                f"the plug-in {_distribution(point)} is broken: entry point {group}:{point.name} = {point.value}: "
                f"{type(error).__name__}: {error}; mend or uninstall it"
            ) from error
        key = _key(kind, method)
        if key is None:
            raise UserError(
                f"the plug-in {_distribution(point)} is broken: {group}:{point.name} = {point.value} is no kind "
                f"(it needs `kind: SpecKind` and `{method}()`)"
            )
        if key in found:
            raise UserError(
                f"the plug-in {_distribution(point)} brings `{key}` ({group}), which {origin[key]} has already; "
                "uninstall one of them"
            )
        found[key] = kind
        origin[key] = _distribution(point)
    return found


def _key(kind: Any, method: str) -> str | None:
    spec = getattr(kind, "kind", None)
    return spec.key if isinstance(spec, SpecKind) and callable(getattr(kind, method, None)) else None


def _ours(point: EntryPoint) -> bool:
    return _distribution(point) == "meshchaos"


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "(unknown distribution)"
