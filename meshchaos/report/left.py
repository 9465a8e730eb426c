"""What a report takes from a run's folder beside its result: the experiment's own words, and every change made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshchaos.errors import UserError
from meshchaos.mesh.changes import Create, EditObject, load
from meshchaos.mesh.edits import MISSING, EditItem, InsertNamed
from meshchaos.run import events
from meshchaos.run.history_file import of_kind, read_history
from meshchaos.run.result import Result


def document(folder: Path) -> Mapping[str, Any]:
    """``spec`` of ``experiment.yaml``; empty where it cannot be read."""
    import yaml

    try:
        found = yaml.safe_load((folder / "experiment.yaml").read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    spec = found.get("spec") if isinstance(found, dict) else None
    return spec if isinstance(spec, dict) else {}


def changes(result: Result) -> list[dict[str, str]]:
    """A row a field (or new object) that was written to the mesh: ``object``, ``field``, ``before``, ``during``,
    ``after``. Empty where the folder has no history.
    """
    try:
        found = read_history(result.folder)
    except UserError:
        return []
    gone = {fault.id for fault in result.faults if fault.gone_at is not None}
    rows = []
    for applying in of_kind(found, events.FaultApplying):
        back = applying.id in gone and result.healed and not result.leftovers
        for data in applying.changes:
            rows += [row | {"after": _after(row["before"], back)} for row in _rows(data)]
    return rows


def _rows(data: Mapping[str, Any]) -> list[dict[str, str]]:
    try:
        change = load(data)
    except (KeyError, TypeError, ValueError):
        return []
    if isinstance(change, Create):
        during = _yaml(change.manifest)
        return [{"object": str(change.ref), "field": "the whole object", "before": "", "during": during}]
    return [{"object": str(change.ref), **row} for row in _edits(change)]


def _edits(change: EditObject) -> list[dict[str, str]]:
    rows = []
    for edit in change.edits:
        where = ".".join(edit.path)
        if isinstance(edit, InsertNamed):
            rows.append({"field": f"{where}: a new element", "before": "", "during": _yaml(edit.element)})
        elif isinstance(edit, EditItem):
            for one in edit.fields:
                field = f"{where}, in an element: {'.'.join(one.path)}"
                rows.append({"field": field, "before": _yaml(one.before), "during": _yaml(one.after)})
        else:
            rows.append({"field": where, "before": _yaml(edit.before), "during": _yaml(edit.after)})
    return rows


def _after(before: str, back: bool) -> str:
    if not back:
        return "not verified"
    return "as before" if before else "not there"


def _yaml(value: Any) -> str:
    """Text of a field; empty for one that is not there."""
    import yaml

    if value == MISSING:
        return ""
    if isinstance(value, (dict, list, tuple, Mapping)):
        return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100).rstrip()
    return str(value)
