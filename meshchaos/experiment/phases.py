"""``spec.phases``: which there are, and how long each lasts when the file does not say."""

from __future__ import annotations

from typing import Any, Final

from meshchaos.experiment.document import LengthDoc, PhasesDoc
from meshchaos.experiment.model import Phase, PhaseName
from meshchaos.experiment.problems import Problems
from meshchaos.units import format_duration

WITH_FAULTS: Final[dict[PhaseName, float]] = {"warmup": 2.0, "baseline": 10.0, "fault": 60.0, "recovery": 20.0}
"""Lengths in s of phases left out, in the order they run; 0s leaves warmup or recovery away."""
WITHOUT_FAULTS: Final[dict[PhaseName, float]] = {"warmup": 2.0, "observe": 60.0}

JUDGED: Final[tuple[PhaseName, ...]] = ("baseline", "fault", "recovery", "observe")
"""The phases that ``during`` may name; ``all`` is those of them that the experiment has."""


def phases_of(doc: PhasesDoc, problems: Problems, *, faults: bool) -> tuple[Phase, ...]:
    defaults = WITH_FAULTS if faults else WITHOUT_FAULTS
    found: list[Phase] = []
    for name in ("warmup", "baseline", "observe", "fault", "recovery"):
        written: LengthDoc | float | None = getattr(doc, name)
        loc = ("spec", "phases", name)
        if name not in defaults:
            if written is not None:
                has = "with faults the phases are" if faults else "without faults the phases are"
                problems.add(f"{has} {' and '.join(defaults) if not faults else ', '.join(defaults)}", loc, at_key=True)
            continue
        length = (
            written if isinstance(written, LengthDoc) else LengthDoc(defaults[name] if written is None else written)
        )
        if length.at_most <= 0:
            if name == "baseline":
                problems.add("must be longer than 0: without a baseline nobody knows what the fault did", loc)
            continue
        found.append(Phase(name, length.at_most, length.at_least))
    return tuple(found)


def written_phases(phases: tuple[Phase, ...], written: dict[str, Any], *, faults: bool) -> dict[str, Any]:
    """``spec.phases`` with its defaults, to be read again: the file's words where it has any."""
    lengths = {phase.name: phase.at_most for phase in phases}
    defaults = WITH_FAULTS if faults else WITHOUT_FAULTS
    return {name: written.get(name, format_duration(lengths.get(name, 0.0))) for name in defaults}
