"""Writes the methods of ``chaos``, one a kind of fault, from the schemas of the kinds' specs: their fields, types,
which of them are required, and what the schema says of each. ``python -m tests.plugin.kinds_source`` writes them into
``pytest_meshchaos/kinds/``; a test tells where they are not what it would write.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from meshchaos.experiment.specs import adapter
from meshchaos.run.vocabulary import load_kinds

FOLDER = Path(__file__).parents[2] / "pytest_plugin" / "pytest_meshchaos" / "kinds"
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_HEAD = '''"""{role}

Made from the schemas of the kinds by ``python -m tests.plugin.kinds_source``: do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from meshchaos.run.fault_by_hand import FaultByHand
from pytest_meshchaos.kinds.base import {base}

'''
_RAISES = "Raises UserError for values that mean nothing; entering and leaving raise what ``FaultByHand`` says."


def written() -> dict[str, str]:
    """Path -> text of each module, as ruff formats it."""
    ours = {
        key: kind.kind for key, kind in load_kinds().faults.items() if type(kind).__module__.startswith("meshchaos.")
    }
    schemas = {key: adapter(kind.spec).json_schema(by_alias=True) for key, kind in sorted(ours.items())}
    edges = {key: one for key, one in schemas.items() if "to" in one["properties"]}
    rest = {key: one for key, one in schemas.items() if key not in edges}
    summaries = {key: kind.summary for key, kind in ours.items()}
    first = _module("Faults of requests to a service.", "EdgeFaults", edges, summaries)
    second = _module("Faults of workloads, policies and objects.", "ObjectFaults", rest, summaries)
    return {"edge_faults.py": _formatted(first), "object_faults.py": _formatted(second)}


def _module(role: str, name: str, schemas: Mapping[str, Any], summaries: Mapping[str, str]) -> str:
    methods = "\n".join(_method(key, schema, summaries[key]) for key, schema in schemas.items())
    types = sorted({ref for schema in schemas.values() for ref in schema.get("$defs", ())})
    head = _HEAD.format(role=role, base=", ".join(sorted(["Maker", *types])))
    text = f'{head}\nclass {name}(Maker):\n    """{role}"""\n\n{textwrap.indent(methods, "    ")}'
    for word in ("Mapping", "Sequence", "Any", "Literal"):
        if f"{word}[" not in methods and f"{word}]" not in methods and f"{word} |" not in methods:
            text = text.replace(f"import {word}, ", "import ").replace(f", {word}\n", "\n")
            text = text.replace(f"from typing import {word}\n", "")
    return text


def _method(key: str, schema: Mapping[str, Any], summary: str) -> str:
    required = schema.get("required", ())
    fields = sorted(schema["properties"].items(), key=lambda item: item[0] not in required)
    parameters = [
        f"{_python(name)}: {_type(field)}" if name in required else f"{_python(name)}: {_optional(field)} = None"
        for name, field in fields
    ]
    given = [f"{_python(name)}={_python(name)}" for name, _ in fields]
    lines = [f'"""{_sentence(summary)}', "", *_told(fields), "", *textwrap.wrap(_RAISES, 108), '"""']
    body = "\n".join([*lines, f"return self._made({key!r}, {', '.join(given)})"])
    return f"def {key}(self, *, {', '.join(parameters)}) -> FaultByHand:\n{textwrap.indent(body, '    ')}\n"


def _told(fields: list[tuple[str, Any]]) -> Iterator[str]:
    for name, field in fields:
        examples = [one["examples"] for one in _options(field) if "examples" in one]
        unit = f" ({examples[0][0]!r})" if examples and len(examples[0]) > 1 else ""
        text = f"``{_python(name)}``{unit}: {field.get('description', '')}."
        yield from textwrap.wrap(text, 108, subsequent_indent="    ")


def _options(field: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(field.get("anyOf", [field]))


def _python(name: str) -> str:
    return f"{name}_" if name == "from" else name


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _optional(field: Mapping[str, Any]) -> str:
    found = _type(field)
    return found if found.endswith("None") else f"{found} | None"


def _type(field: Mapping[str, Any]) -> str:
    """What Python calls it. Raises KeyError for a schema of another form: then this must learn it."""
    if "anyOf" in field:
        return " | ".join(dict.fromkeys(_type(one) for one in field["anyOf"]))
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    if "const" in field:
        return f"Literal[{field['const']!r}]"
    if "enum" in field:
        return f"Literal[{', '.join(map(repr, field['enum']))}]"
    kind = field["type"]
    if isinstance(kind, list):
        return " | ".join(_PLAIN[one] for one in kind)
    if kind == "array":
        return f"Sequence[{_type(field['items'])}]"
    if kind == "object":
        values = [*field.get("properties", {}).values(), field.get("additionalProperties")]
        inner = dict.fromkeys(_type(one) for one in values if isinstance(one, dict))
        return f"Mapping[str, {' | '.join(inner) or 'Any'}]"
    return _PLAIN[kind]


def _formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(FOLDER / "x.py"), "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    for file, source in written().items():
        (FOLDER / file).write_text(source, "utf-8")
