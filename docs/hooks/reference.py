"""Pages that are made when the site is built, from what the program itself reads and prints: the schemas, which come
from the types that files are validated with, and the command's own options. So they cannot be stale.

The page of a fault or an expectation (``faults/delay.md``) gets its fields at its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from tables import Schema, mapping_of, table, told

from meshchaos.cli.app import COMMANDS, EXIT_CODES, cli
from meshchaos.experiment.fields import key_of
from meshchaos.run.catalog import schema_of
from meshchaos.run.vocabulary import load_kinds

FAULT, CHECK = "faults", "expectations"
"""Folders of the pages about one kind each."""
TIMING, SCOPE = ("after", "for"), ("during", "name", "load", "request")
"""What each fault and each expectation may say, which is told once."""
MADE = "Made from what `meshchaos` itself validates with, when this site was built.\n"


def on_files(files: Files, *, config: Any) -> Files:
    for name, content in _pages(config):
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: Any, files: Files) -> str:
    folder, _, name = page.file.src_uri.removesuffix(".md").partition("/")
    if folder not in (FAULT, CHECK) or not name:
        return markdown
    schema = schema_of("experiment")
    return f"{markdown}\n## Fields\n\n{_fields(schema, folder, name)}\n{_common(folder, '../reference/')}\n"


def _pages(config: Any) -> Iterator[tuple[str, str]]:
    schema = schema_of("experiment")
    docs = Path(config.docs_dir)
    for folder in (FAULT, CHECK):
        yield folder, _kinds(schema, folder, docs)
    yield "experiment", _experiment(schema)
    config_schema = schema_of("config")
    yield "meshchaos-yaml", f"# meshchaos.yaml\n\n{told(config_schema)}\n\n{MADE}\n{table(config_schema, depth=5)}"
    result = schema_of("result")
    yield "result-json", f"# result.json\n\n{told(result)}\n\n{MADE}\n{table(result, depth=4)}"
    yield "commands", _commands()


def _fields(schema: Schema, folder: str, key: str) -> str:
    """The table of one kind."""
    prefix, common = ("fault", TIMING) if folder == FAULT else ("expect", SCOPE)
    entry = schema["definitions"][f"{prefix}.{key}"]["properties"][key]
    own = mapping_of(entry)
    kinds = load_kinds().vocabulary
    kind = (kinds.faults if folder == FAULT else kinds.checks)[key]
    short = f"A bare value is short for `{key_of(kind.scalar)}`.\n\n" if kind.scalar is not None else ""
    own_words = [name for name in common if name == "name" and key == "alert"]
    return short + table(own, without=[one for one in common if one not in own_words])


def _common(folder: str, where: str) -> str:
    if folder == FAULT:
        return f"Every fault also takes [`after` and `for`]({where}faults.md#what-every-fault-takes)."
    link = f"{where}expectations.md#what-every-expectation-takes"
    return f"Every expectation also takes [`during`, `name`, `load`, `request`]({link})."


def _kinds(schema: Schema, folder: str, docs: Path) -> str:
    """All kinds of faults or expectations."""
    prefix, word, names = ("fault", "fault", TIMING) if folder == FAULT else ("expect", "expectation", SCOPE)
    keys = [key.partition(".")[2] for key in schema["definitions"] if key.startswith(f"{prefix}.")]
    keys = [key for key in keys if not key.endswith(".patch")]
    first = mapping_of(schema["definitions"][f"{prefix}.{keys[-1]}"]["properties"][keys[-1]])
    shared = {"properties": {name: first["properties"][name] for name in names}}
    parts = [f"# {word.capitalize()}s: every field\n\n{MADE}", f"## What every {word} takes\n\n{table(shared)}"]
    if folder == FAULT:
        parts.append(
            "A `percentage` may also be `{from, to, steps}`: [it rises, or falls, in equal steps](../sequences.md)."
        )
    for key in keys:
        entry = schema["definitions"][f"{prefix}.{key}"]["properties"][key]
        page = f" [How to](../{folder}/{key}.md)." if (docs / folder / f"{key}.md").exists() else ""
        words = told(entry)[:1].upper() + told(entry)[1:]
        parts.append(f"## `{key}` {{ #{key} }}\n\n{words}.{page}\n\n{_fields(schema, folder, key)}")
    return "\n\n".join(parts)


def _experiment(schema: Schema) -> str:
    """All but the kinds."""
    body = schema["properties"]["spec"]
    parts = ["# The experiment file\n", "`*.chaos.yaml`, one or more documents.", MADE]
    top = {name: value for name, value in schema["properties"].items() if name != "spec"}
    parts.append(table({**schema, "properties": top}))
    parts.append("## spec\n")
    own = {name: value for name, value in body["properties"].items() if name not in ("faults", "expect", "overrides")}
    flat = {name: {**_bare(value), "description": told(value)} for name, value in own.items()}
    parts.append(table({"properties": flat, "required": body.get("required", ())}))
    parts.append(
        "`faults`: a list of [faults](faults.md), `expect` (needed): a list of [expectations](expectations.md), each a "
        "mapping with one key. `overrides`: by mesh, a JSON merge patch on `spec`."
    )
    for name in ("load", "phases", "stopIf", "deadlines"):
        parts.append(f"## spec.{name} {{ #{name.lower()} }}\n")
        parts.append(table(mapping_of(own[name])))
    return "\n\n".join(parts)


def _bare(schema: Schema) -> dict[str, Any]:
    """A field without those below it."""
    inner = mapping_of(schema)
    return {"type": "object"} if inner.get("properties") else dict(schema)


def _commands() -> str:
    parts = ["# Commands\n", "What `meshchaos COMMAND --help` prints, when this site was built."]
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        parts += _command(f"meshchaos {name}", command, 2)
    codes = [line.strip().partition("  ") for line in EXIT_CODES.splitlines()[2:]]
    rows = [f"| {code} | {words.strip()} |" for code, _, words in codes if words]
    parts.append("## Exit codes\n\n| | |\n|---:|---|\n" + "\n".join(rows))
    return "\n\n".join(parts)


def _command(name: str, command: click.Command, level: int) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(click.Context(command)))
    yield f"{'#' * level} {name}\n\n{command.help or ''}\n\n```text\n{name} {usage}\n```"
    rows = [_option(one) for one in command.params if isinstance(one, click.Option)]
    if rows:
        yield "| option | |\n|---|---|\n" + "\n".join(rows)
    if isinstance(command, click.Group):
        subcommands: Mapping[str, click.Command] = command.commands
        for inner, one in subcommands.items():
            yield from _command(f"{name} {inner}", one, level + 1)


def _option(option: click.Option) -> str:
    names = ", ".join(option.opts)
    value = "" if option.is_flag else f" {option.metavar or option.type.name.upper()}"
    return f"| `{names}{value}` | {(option.help or '').replace('|', chr(92) + '|')} |"
