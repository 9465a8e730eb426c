"""What comes over the file's own words: ``overrides`` for the chosen mesh, then ``--set``.

An override is a JSON merge patch on ``spec`` (RFC 7396): mappings are merged, null takes a key away, lists and
scalars are replaced. ``--set spec.load.rate=20`` sets one place to a YAML value; null takes the key away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshchaos.errors import FileError
from meshchaos.experiment.problems import unknown
from meshchaos.experiment.tree import Branch, Entry, Leaf, Loc, Mark, Node, Series, leaves, path_text, plain, planted
from meshchaos.experiment.yaml_source import parse_value
from meshchaos.units import shown

Changed = tuple[str, str, Any]
"""Who changed it (``overrides.staging``, ``--set``), the path, the new value (None: taken away)."""

_STEP = re.compile(r"""(?:^|\.)(?P<name>[A-Za-z_][\w-]*)|\[(?P<index>\d{1,6})\]|\["(?P<quoted>[^"]+)"\]""")


@dataclass(frozen=True, slots=True)
class Setting:
    """One ``--set PATH=VALUE``."""

    text: str
    loc: Loc
    value: Any

    @property
    def origin(self) -> str:
        return f"--set {self.text}"


def parse_settings(sets: Sequence[str]) -> tuple[Setting, ...]:
    """Raises FileError whose file is the option itself."""
    return tuple(_setting(text) for text in sets)


def _setting(text: str) -> Setting:
    origin = f"--set {text}"
    path, equals, value = text.partition("=")
    if not equals:
        raise FileError("has no value: write --set spec.load.rate=20", file=origin)
    loc = parse_path(path.strip(), origin)
    if len(loc) < 2 or loc[0] not in ("spec", "metadata"):
        raise FileError("sets something in spec or metadata: write for instance --set spec.load.rate=20", file=origin)
    if loc[:2] == ("spec", "overrides"):
        raise FileError("the overrides are merged before --set: set the value itself", file=origin)
    return Setting(text, loc, parse_value(value, origin))


def parse_path(path: str, origin: str) -> Loc:
    """``spec.faults[0].percentage`` by its steps. Raises FileError whose file is ``origin``."""
    loc: list[str | int] = []
    end = 0
    while end < len(path):
        found = _STEP.match(path, end)
        if found is None:
            raise FileError(
                f"is no path at {shown(path[end:])}: write for instance spec.faults[0].percentage", file=origin
            )
        loc.append(int(found["index"]) if found["index"] is not None else found["name"] or found["quoted"])
        end = found.end()
    return tuple(loc)


def merged(
    root: Branch, mesh: str | None, settings: Sequence[Setting], file: str
) -> tuple[Branch, tuple[Changed, ...]]:
    """The document as it is meant for ``mesh``, without its ``overrides``, and what was changed. Raises FileError."""
    changed: list[Changed] = []
    spec = root.entries.get("spec")
    if spec is not None and isinstance(spec.node, Branch) and "overrides" in spec.node.entries:
        overrides = spec.node.entries["overrides"]
        body: Branch = replace(spec.node, entries={k: e for k, e in spec.node.entries.items() if k != "overrides"})
        patch = _patch_for(mesh, overrides, file)
        if patch is not None:
            origin = f"overrides.{mesh}"
            changed += [(origin, path_text(("spec", *loc)), plain(node)) for loc, node in leaves(patch)]
            body = _merge(body, _from(patch, origin))
        root = replace(root, entries={**root.entries, "spec": Entry(spec.key, body)})
    for setting in settings:
        mark = Mark(origin=setting.origin)
        root = _as_branch(_set(root, setting.loc, setting, mark, ()))
        changed.append(("--set", path_text(setting.loc), setting.value))
    return root, tuple(changed)


def _patch_for(mesh: str | None, overrides: Entry, file: str) -> Branch | None:
    if not isinstance(overrides.node, Branch):
        raise _mistake("is a mapping: name of a mesh -> changes of spec", overrides.node.mark, "spec.overrides", file)
    for name, entry in overrides.node.entries.items():
        path = path_text(("spec", "overrides", name))
        if not isinstance(entry.node, Branch):
            raise _mistake("is a mapping: changes of spec, such as {load: {rate: 20}}", entry.node.mark, path, file)
        for key in ("mesh", "overrides"):
            if key in entry.node.entries:
                raise _mistake(f"an override cannot change `{key}`", entry.node.entries[key].key, path, file)
        for key in ("spec", "metadata"):
            if key in entry.node.entries:
                text = "an override is a change of spec: leave the word `spec` out, and nothing else can be changed"
                raise _mistake(text, entry.node.entries[key].key, path, file)
    chosen = overrides.node.entries.get(mesh) if mesh is not None else None
    return chosen.node if chosen is not None and isinstance(chosen.node, Branch) else None


def _mistake(message: str, mark: Mark, path: str, file: str) -> FileError:
    return FileError(message, file=file, line=mark.line, col=mark.col, path=path)


def _from(node: Node, origin: str) -> Node:
    """The same tree, all of its marks with their origin."""
    mark = replace(node.mark, origin=origin)
    if isinstance(node, Branch):
        entries = {
            key: Entry(replace(entry.key, origin=origin), _from(entry.node, origin))
            for key, entry in node.entries.items()
        }
        return replace(node, entries=entries, mark=mark)
    if isinstance(node, Series):
        return replace(node, items=tuple(_from(item, origin) for item in node.items), mark=mark)
    return replace(node, mark=mark)


def _merge(target: Node | None, patch: Node) -> Branch:
    """RFC 7396, section 2, for a patch that is a mapping."""
    entries = dict(target.entries) if isinstance(target, Branch) else {}
    assert isinstance(patch, Branch)
    for key, entry in patch.entries.items():
        if isinstance(entry.node, Leaf) and entry.node.value is None:
            entries.pop(key, None)
        elif isinstance(entry.node, Branch):
            old = entries.get(key)
            below = _merge(old.node if old else None, entry.node)
            kept = old if old is not None and isinstance(old.node, Branch) else entry
            entries[key] = Entry(kept.key, replace(below, mark=kept.node.mark))
        else:
            entries[key] = entry
    return Branch(entries, patch.mark)


def _set(node: Node | None, loc: Loc, setting: Setting, mark: Mark, way: Loc) -> Node | None:
    """``node`` with ``setting`` made at ``loc``; None where that takes it away."""
    if not loc:
        return None if setting.value is None else planted(setting.value, mark)
    key, rest = loc[0], loc[1:]
    if isinstance(key, int):
        items = node.items if isinstance(node, Series) else () if node is None else (node,)
        if key >= len(items):
            count = "1 item" if len(items) == 1 else f"{len(items)} items"
            text = f"there is no {path_text((*way, key))}: {path_text(way)} has {count}"
            raise FileError(text, file=setting.origin)
        made = _set(items[key], rest, setting, mark, (*way, key))
        kept = items[:key] + ((made,) if made is not None else ()) + items[key + 1 :]
        return Series(kept, node.mark if node is not None else mark)
    if node is not None and not isinstance(node, Branch):
        what = "a list: write an index, as in [0]" if isinstance(node, Series) else f"{shown(node.value)}, no mapping"
        raise FileError(f"{path_text(way)} is {what}", file=setting.origin)
    entries = dict(node.entries) if node is not None else {}
    if not way and key not in entries and key == "spec":
        raise FileError(unknown("there is no", str(key), entries), file=setting.origin)
    old = entries.get(key)
    made = _set(old.node if old else None, rest, setting, mark, (*way, key))
    if made is None:
        entries.pop(key, None)
    else:
        entries[key] = Entry(mark if old is None or not rest else old.key, made)
    return Branch(entries, node.mark if node is not None else mark)


def _as_branch(node: Node | None) -> Branch:
    return node if isinstance(node, Branch) else Branch({}, Mark())
