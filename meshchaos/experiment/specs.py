"""From one piece of a file, or of Python, to the frozen spec it means. Here pydantic does its work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from meshchaos.errors import UserError
from meshchaos.experiment.fields import as_spec, key_of
from meshchaos.experiment.model import SpecKind
from meshchaos.experiment.problems import Problems, add_invalid
from meshchaos.experiment.tree import Loc, Mark, planted
from meshchaos.units import shown

T = TypeVar("T")
_adapters: dict[type, Any] = {}


def adapter(model: type) -> Any:
    """The TypeAdapter of a spec. A plain frozen dataclass gets the rules of ``experiment.fields`` first."""
    if model not in _adapters:
        from pydantic import TypeAdapter

        _adapters[model] = TypeAdapter(as_spec(model))
    return _adapters[model]


def validate(model: type[T], value: Any, problems: Problems, loc: Loc, *, also: Sequence[str] = ()) -> T | None:
    """``value`` (plain data, found at ``loc``) as ``model``; None after its mistakes were added to ``problems``.
    ``also``: keys that the user may write there beside the model's, to be told with those known.
    """
    from pydantic import ValidationError

    if not isinstance(value, Mapping):
        problems.add(f"must be a mapping, not {shown(value)}" if value is not None else "is empty", loc)
        return None
    try:
        made: T = adapter(model).validate_python(value)
    except ValidationError as error:
        add_invalid(problems, error, model, loc, also)
        return None
    return made


def full(kind: SpecKind, value: Any) -> Any:
    """What a bare value is short for."""
    return value if isinstance(value, Mapping) or kind.scalar is None else {key_of(kind.scalar): value}


def build(kind: SpecKind, fields: Mapping[str, Any], *, place: str = "") -> Any:
    """A spec from Python: ``build(DELAY.kind, {"to": "ratings", "fixedDelay": "2s"})``.

    Keys as in YAML; ``from_`` and ``fixed_delay`` do too. Values as in YAML ("2s", 50, {"value": 50}).
    Raises UserError, all mistakes in one line each, beginning with ``place`` (default: the kind's key).
    """
    data = _plain({key_of(key): value for key, value in fields.items()})
    problems = Problems(place or kind.key, planted(data, Mark()))
    made: Any = validate(kind.spec, data, problems, ())
    if made is None:
        name = place or kind.key
        raise UserError(
            "\n".join(f"{name}: {e.path}: {e.message}" if e.path else f"{name}: {e.message}" for e in problems.errors)
        )
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
