"""``spec.faults`` and ``spec.expect``: each entry a mapping with one key, the key a registered kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshchaos.experiment.document import RampDoc, ScopeDoc, TimingDoc
from meshchaos.experiment.model import Expectation, Fault, Load, Phase, PhaseName, RampStep, SpecKind
from meshchaos.experiment.phases import JUDGED
from meshchaos.experiment.problems import Problems, known_keys, unknown
from meshchaos.experiment.specs import adapter, full, validate
from meshchaos.experiment.tree import Loc
from meshchaos.units import format_duration, shown

_SCOPE: Final = ("during", "name", "load", "request")
_TIMING: Final = ("after", "for")
_RAMP: Final = frozenset({"from", "to", "steps"})
SHORTEST_STEP: Final = 1.0
"""Seconds that each step of a ramp lasts at least."""
_JUDGE_REQUESTS: Final = frozenset({"success", "latency", "slo", "recovery"})
_JUDGE_FAULTS: Final = frozenset({"injected", "recovery"})


def faults_of(
    written: Sequence[Any], kinds: Mapping[str, SpecKind], problems: Problems, phase: Phase | None
) -> tuple[Fault, ...]:
    """Adds to ``problems``; without a fault phase (the file is wrong elsewhere) only what each says by itself."""
    found: list[Fault] = []
    for index, value in enumerate(written):
        loc: Loc = ("spec", "faults", index)
        kind = _kind(value, kinds, problems, loc, "fault")
        if kind is None:
            continue
        place = (*loc, kind.key)
        if _is_wrapped(value[kind.key], kind, problems, place):
            fault = _fault(full(kind, value[kind.key]), index, kind, problems, place)
            if fault is not None:
                found.append(fault)
                if phase is not None:
                    _check_timing(found, phase, problems, place)
    return tuple(found)


def _fault(written: Mapping[str, Any], index: int, kind: SpecKind, problems: Problems, place: Loc) -> Fault | None:
    keys = _keys(kind)
    options = {key: item for key, item in written.items() if key in _TIMING and key not in keys}
    own = {key: item for key, item in written.items() if key not in options}
    timing = validate(TimingDoc, options, problems, place)
    ramp: tuple[RampStep, ...] = ()
    share = own.get("percentage")
    if "percentage" in keys and isinstance(share, Mapping) and _RAMP & set(share):
        doc = validate(RampDoc, share, problems, (*place, "percentage"))
        if doc is None:
            return None
        levels = doc.levels
        for level in levels:
            one: Any = validate(kind.spec, {**own, "percentage": level}, problems, place)
            if one is None:  # its mistakes are most likely every step's
                return None
            ramp += (RampStep(level, one),)
        spec: Any = ramp[0].spec
    else:
        spec = validate(kind.spec, own, problems, place, also=_TIMING)
    if spec is None or timing is None:
        return None
    return Fault(kind.key, index, spec, problems.where(place), timing.after, timing.for_, ramp)


def _check_timing(found: Sequence[Fault], phase: Phase, problems: Problems, place: Loc) -> None:
    """Of the last of ``found``, against the length of the fault phase."""
    fault, length = found[-1], phase.at_most
    start, end = fault.window(length)
    lasts = format_duration(length)
    if not fault.timed:
        return
    if fault.after >= length:
        problems.add(f"the fault phase lasts {lasts} and is over by then", (*place, "after"))
        return
    if fault.lasts is not None and fault.after + fault.lasts > length + 1e-9:
        whole = format_duration(fault.after + fault.lasts)
        text = f"after and for are {whole} together, and the fault phase lasts {lasts}"
        problems.add(f"{text}: shorten one, or lengthen spec.phases.fault", (*place, "for"))
        return
    if phase.at_least is not None:
        what = "ramp" if fault.ramp else "fault"
        text = f"an early verdict (phases.fault.atLeast) could end the phase before this {what} has run its course"
        problems.add(
            f"{text}: write a plain length for phases.fault", (*place, "percentage" if fault.ramp else "after")
        )
    if fault.ramp and (end - start) / len(fault.ramp) < SHORTEST_STEP:
        each = format_duration((end - start) / len(fault.ramp))
        text = f"{len(fault.ramp)} steps would last {each} each, and 1s is the least: fewer steps, or a longer phase"
        problems.add(text, (*place, "percentage"))
    if fault.ramp and any(other.ramp for other in found[:-1]):
        problems.add("another fault has a ramp already, and each step is judged by itself", (*place, "percentage"))


@dataclass(frozen=True, slots=True)
class Scene:
    """What expectations may be about. ``faults``: whether there are any; ``existing``: whether the traffic is the
    mesh's own.
    """

    faults: bool
    phases: Sequence[Phase]
    loads: Sequence[Load]
    existing: bool = False


def expectations_of(
    written: Sequence[Any], kinds: Mapping[str, SpecKind], problems: Problems, scene: Scene | None
) -> tuple[Expectation, ...]:
    """Adds to ``problems``; without a scene (the file is wrong elsewhere) only what each says by itself."""
    found: list[Expectation] = []
    names: dict[str, int] = {}
    for index, value in enumerate(written):
        loc: Loc = ("spec", "expect", index)
        kind = _kind(value, kinds, problems, loc, "expectation")
        if kind is None:
            continue
        place = (*loc, kind.key)
        if not _is_wrapped(value[kind.key], kind, problems, place):
            continue
        options, own = _split(full(kind, value[kind.key]), kind, problems, place)
        scope = validate(ScopeDoc, options, problems, place)
        spec: Any = validate(kind.spec, own, problems, place, also=_SCOPE)
        if scope is None or spec is None:
            continue
        if scope.name is not None and scope.name in names:
            problems.add(f"spec.expect[{names[scope.name]}] has this name too", (*place, "name"))
        elif scope.name is not None:
            names[scope.name] = index
        if scene is None:
            continue
        during = _during(scope.during, scene.phases, problems, (*place, "during"))
        check_scope(scope.load, scope.request, scene.loads, problems, place)
        _check_needs(kind.key, scene, problems, place)
        found.append(
            Expectation(
                kind=kind.key,
                index=index,
                spec=spec,
                where=problems.where(place),
                name=scope.name,
                during=during,
                load=scope.load,
                request=scope.request,
            )
        )
    return tuple(found)


def check_scope(load: str | None, request: str | None, loads: Sequence[Load], problems: Problems, place: Loc) -> None:
    """Whether the load and the request that something is about are there."""
    if not loads:
        return
    by_name = {one.name: one for one in loads}
    if load is not None and load not in by_name:
        problems.add(unknown("there is no load", load, by_name), (*place, "load"))
        return
    concerned = [by_name[load]] if load is not None else list(loads)
    if request is None or any(one.locustfile for one in concerned):
        return
    names = list(dict.fromkeys(one.name for several in concerned for one in several.requests))
    if request not in names:
        problems.add(unknown("there is no request", request, names), (*place, "request"))


def _kind(value: Any, kinds: Mapping[str, SpecKind], problems: Problems, loc: Loc, what: str) -> SpecKind | None:
    example = "delay: {to: ratings, fixedDelay: 2s}" if what == "fault" else "success: 99.5%"
    if not isinstance(value, Mapping):
        text = f"must be a mapping with one key, such as {example}, not {shown(value)}"
        if isinstance(value, str) and value in kinds:
            text = f"`{value}` needs a colon and its fields ({', '.join(_keys(kinds[value]))})"
        problems.add(text, loc)
        return None
    if len(value) != 1:
        known = [key for key in value if key in kinds]
        text = f"must be a mapping with one key, and has {', '.join(map(str, value)) or 'none'}"
        if len(known) == 1 and value[known[0]] is None:
            text += f": indent what belongs to `{known[0]}` further"
        elif len(known) > 1:
            text += ": begin each with a dash of its own"
        problems.add(text, loc)
        return None
    key = str(next(iter(value)))
    if key not in kinds:
        problems.add(unknown(f"no such {what}", key, sorted(kinds)), (*loc, key), at_key=True)
        return None
    return kinds[key]


def _is_wrapped(value: Any, kind: SpecKind, problems: Problems, place: Loc) -> bool:
    if isinstance(value, Mapping) or (kind.scalar is not None and value is not None):
        return True
    has = "is empty" if value is None else f"must be a mapping, not {shown(value)}"
    problems.add(f"{has}: write its fields ({', '.join(_keys(kind))})", place, at_key=value is None)
    return False


def _keys(kind: SpecKind) -> list[str]:
    adapter(kind.spec)  # a plain dataclass gets its rules here
    keys, rest = known_keys(kind.spec)
    return [*keys, *rest]


def _split(
    value: Mapping[str, Any], kind: SpecKind, problems: Problems, place: Loc
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of every expectation, and the kind's own fields; a field of the kind's own name is the kind's."""
    keys = _keys(kind)
    options = {key: item for key, item in value.items() if key in _SCOPE and key not in keys}
    own = {key: item for key, item in value.items() if key not in options}
    for key in ("from", "to"):
        if key in own and key not in keys:
            text = f"`{key}`: {kind.key} is not judged on an edge; a `load` or a `request` can be named"
            problems.add(text, (*place, key), at_key=True)
            del own[key]
    return options, own


def _during(
    written: Sequence[str], phases: Sequence[Phase], problems: Problems, loc: Loc
) -> tuple[PhaseName, ...] | None:
    if not written:
        return None
    there = {phase.name for phase in phases}
    if "all" in written:
        return tuple(name for name in JUDGED if name in there)
    for index, name in enumerate(written):
        if name not in there:
            known = ", ".join(one for one in JUDGED if one in there)
            problems.add(f"this experiment has no phase {name!r} (there are: {known})", (*loc, index))
    return tuple(dict.fromkeys(name for name in JUDGED if name in written))


def _check_needs(key: str, scene: Scene, problems: Problems, place: Loc) -> None:
    if key in _JUDGE_REQUESTS and not scene.loads and not scene.existing:
        problems.add(f"{key} needs requests to judge, and spec.load is left out", place, at_key=True)
    if key in _JUDGE_FAULTS and not scene.faults:
        problems.add(f"{key} needs a fault, and spec.faults is left out", place, at_key=True)
    elif key == "recovery" and all(phase.name != "recovery" for phase in scene.phases):
        problems.add("recovery needs a phase to look at: give phases.recovery a length", place, at_key=True)
