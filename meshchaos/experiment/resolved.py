"""The merged document as it goes into the run's folder: defaults filled in, secrets unresolved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meshchaos.experiment.document import ExperimentDoc
from meshchaos.experiment.model import Load, Phase
from meshchaos.experiment.phases import written_phases
from meshchaos.units import format_duration, format_share


def resolved(
    written: dict[str, Any],
    doc: ExperimentDoc,
    *,
    mesh: str | None,
    loads: Sequence[Load],
    phases: tuple[Phase, ...],
    folder: Path,
    existing: bool = False,
) -> dict[str, Any]:
    """Plain data that is the same experiment when it is read again, wherever it lies by then (paths are absolute)."""
    body = written["spec"]
    limits = doc.spec.deadlines
    spec: dict[str, Any] = {}
    if "hypothesis" in body:
        spec["hypothesis"] = body["hypothesis"]
    if mesh is not None:
        spec["mesh"] = mesh
    if loads:
        spec["load"] = [_load(one, load, folder) for one, load in zip(_many(body["load"]), loads, strict=True)]
    elif existing:
        spec["load"] = "existing"
    spec["phases"] = written_phases(phases, body.get("phases") or {}, faults=bool(doc.spec.faults))
    if "faults" in body:
        spec["faults"] = _many(body["faults"])
    spec["expect"] = _many(body["expect"])
    if body.get("stopIf") is not None:
        spec["stopIf"] = body["stopIf"]
    spec["confidence"] = body.get("confidence", format_share(doc.spec.confidence))
    spec["deadlines"] = {
        "live": format_duration(limits.live),
        "gone": format_duration(limits.gone),
        "heal": format_duration(limits.heal),
        "run": format_duration(limits.run),
        **(body.get("deadlines") or {}),
    }
    return {**written, "spec": spec}


def _load(written: dict[str, Any], load: Load, folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = {**_absolute(written, folder), "name": load.name}
    result.setdefault("from", load.source)
    result.setdefault("timeout", format_duration(load.timeout))
    if load.protoset is not None:
        result["protoset"] = load.protoset
    if load.locustfile is not None:
        result["locustfile"] = load.locustfile
    else:
        result.setdefault("arrivals", load.arrivals)
        if result.get("maxInFlight") is None:
            result["maxInFlight"] = load.max_in_flight
    return result


def _absolute(value: Any, folder: Path) -> Any:
    """With the paths of secrets' files absolute; a gRPC message is what it is."""
    if isinstance(value, dict):
        if set(value) == {"file"} and isinstance(value["file"], str):
            return {"file": str((folder / Path(value["file"]).expanduser()).absolute())}
        return {key: item if key == "message" else _absolute(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_absolute(item, folder) for item in value]
    return value


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
