"""YAML files with positions: read by libyaml's events, resolved by our own rules, bounded in every direction.

Nothing in a file makes more work than its size allows: at most 1 MiB, 64 levels, and 100,000 nodes with
aliases written out. Every mistake is a FileError.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from meshchaos.errors import FileError
from meshchaos.experiment.tree import Branch, Entry, Leaf, Mark, Node, Series, plain
from meshchaos.experiment.yaml_scalars import is_text, resolve
from meshchaos.units import shown

LARGEST: Final = 1 << 20
DEEPEST: Final = 64
MOST_NODES: Final = 100_000

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}


def read_documents(path: Path) -> tuple[Node, ...]:
    """The documents of a file, empty ones left out. Raises FileError."""
    return parse_documents(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of a file that is there, regular, of a sane size and UTF-8. Raises FileError."""
    file = str(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise FileError("is a folder, not a file", file=file)
        if not stat.S_ISREG(mode):
            raise FileError("is no regular file", file=file)
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except FileNotFoundError:
        raise FileError("there is no such file", file=file) from None
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror or error}", file=file) from error
    except ValueError as error:  # a NUL in the name
        raise FileError(f"cannot be a file's name: {error}", file=repr(file)) from error
    if len(data) > LARGEST:
        raise FileError(f"is larger than {LARGEST >> 20} MiB, which no such file needs to be", file=file)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FileError("is UTF-16: save it as UTF-8", file=file, line=1, col=1)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, col = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        raise FileError(f"is not UTF-8: byte 0x{data[error.start]:02x} here", file=file, line=line, col=col) from None


def parse_documents(text: str, file: str) -> tuple[Node, ...]:
    """The documents of a text, empty ones left out. Raises FileError."""
    found = _FORBIDDEN.search(text)
    if found:
        before = text[: found.start()]
        line, col = before.count("\n") + 1, found.start() - before.rfind("\n")
        raise FileError(f"a control character (U+{ord(found.group()):04X}) is here", file=file, line=line, col=col)
    try:
        documents = list(_Composer(file).documents(text))
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, text, file) from error
    except yaml.YAMLError as error:
        raise FileError(f"is no YAML: {' '.join(str(error).split())}", file=file) from error
    return tuple(node for node in documents if not (isinstance(node, Leaf) and node.value is None))


def parse_value(text: str, origin: str) -> Any:
    """One YAML value from a command line, as plain data. Raises FileError whose file is ``origin``."""
    documents = parse_documents(text, origin)
    if len(documents) > 1:
        raise FileError("is more than one value", file=origin)
    return plain(documents[0]) if documents else None


def dump(value: Any) -> str:
    """YAML text that reads back as the same value, to us and to readers of YAML 1.1."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110))


@dataclass
class _Composer:
    file: str
    anchors: dict[str, Node | None] = field(default_factory=dict)
    """None: still open, so that an alias to it would lie within itself."""

    def documents(self, text: str) -> Iterator[Node]:
        events: Iterator[Any] = iter(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.anchors = {}
                yield self.node(next(events), events, 1)

    def node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        mark = Mark(event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(str(event.anchor), depth, mark)
        if depth > DEEPEST:
            raise self.mistake(f"is nested more than {DEEPEST} levels deep", mark)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        made: Node
        if isinstance(event, yaml.ScalarEvent):
            made = Leaf(self.scalar(event, mark), mark)
        elif isinstance(event, yaml.SequenceStartEvent):
            made = self.series(event, events, depth, mark)
        else:
            made = self.branch(event, events, depth, mark)
        self.check_size(made.size, mark)
        if event.anchor is not None:
            self.anchors[event.anchor] = made
        return made

    def series(self, event: Any, events: Iterator[Any], depth: int, mark: Mark) -> Series:
        self.collection_tag(event.tag, "seq", mark)
        items: list[Node] = []
        size = 1
        for following in events:
            if isinstance(following, yaml.SequenceEndEvent):
                break
            items.append(self.node(following, events, depth + 1))
            size += items[-1].size
            self.check_size(size, mark)
        return Series(tuple(items), mark, size, 1 + max((item.height for item in items), default=0))

    def branch(self, event: Any, events: Iterator[Any], depth: int, mark: Mark) -> Branch:
        self.collection_tag(event.tag, "map", mark)
        entries: dict[str, Entry] = {}
        merged: list[tuple[Mark, Node]] = []
        size = 1
        for following in events:
            if isinstance(following, yaml.MappingEndEvent):
                break
            at = Mark(following.start_mark.line + 1, following.start_mark.column + 1)
            if not isinstance(following, yaml.ScalarEvent):
                raise self.mistake("a key must be text", at)
            key, merge = following.value, following.value == "<<" and following.implicit[0]
            if following.anchor is not None:
                self.anchors[following.anchor] = Leaf(key, at)
            if not key:
                raise self.mistake("a key is empty", at)
            if key in entries:
                first = entries[key].key
                raise self.mistake(f"the key {shown(key)} is there twice, first in {first.line}:{first.col}", at)
            value = self.node(next(events), events, depth + 1)
            if merge:
                merged.append((at, value))
            else:
                entries[key] = Entry(at, value)
            size += value.size
            self.check_size(size, mark)
        for at, value in merged:
            for source in value.items if isinstance(value, Series) else (value,):
                if not isinstance(source, Branch):
                    raise self.mistake("<< takes a mapping, or a list of mappings", at)
                entries = {**source.entries, **entries}
        below = [entry.node for entry in entries.values()]
        return Branch(entries, mark, 1 + sum(n.size for n in below), 1 + max((n.height for n in below), default=0))

    def alias(self, name: str, depth: int, mark: Mark) -> Node:
        if name not in self.anchors:
            known = ", ".join(f"&{anchor}" for anchor in list(self.anchors)[:5]) or "none"
            raise self.mistake(f"no anchor &{name} comes before this (there are: {known})", mark)
        node = self.anchors[name]
        if node is None:
            raise self.mistake(f"*{name} stands inside &{name} itself", mark)
        if depth + node.height > DEEPEST:
            raise self.mistake(f"is nested more than {DEEPEST} levels deep", mark)
        return node

    def scalar(self, event: Any, mark: Mark) -> Any:
        tag = event.tag
        try:
            if tag is None:
                return resolve(event.value) if event.implicit[0] else event.value
            if tag in ("!", _CORE + "str"):
                return event.value
            wanted = _SCALAR_TAGS.get(tag.removeprefix(_CORE))
            value = resolve(event.value) if wanted else None
        except ValueError as error:
            raise self.mistake(str(error), mark) from None
        if wanted is None or not isinstance(value, wanted):
            raise self.mistake(f"the tag {shown(_short(tag))} does not belong here: leave it out", mark)
        return value

    def collection_tag(self, tag: str | None, ours: str, mark: Mark) -> None:
        if tag not in (None, "!", _CORE + ours):
            raise self.mistake(f"the tag {shown(_short(tag))} does not belong here: leave it out", mark)

    def check_size(self, size: int, mark: Mark) -> None:
        if size > MOST_NODES:
            raise self.mistake(f"has more than {MOST_NODES:,} values once its aliases are written out", mark)

    def mistake(self, message: str, mark: Mark) -> FileError:
        return FileError(message, file=self.file, line=mark.line, col=mark.col)


def _short(tag: str | None) -> str:
    text = tag or ""
    return "!!" + text.removeprefix(_CORE) if text.startswith(_CORE) else text


def _syntax(error: yaml.MarkedYAMLError, text: str, file: str) -> FileError:
    """The words of libyaml on one line, and a remedy where the usual cause is known."""
    mark = error.problem_mark or error.context_mark
    line, col = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    lines = text.splitlines()
    rest = lines[line - 1][col - 1 :] if 0 < line <= len(lines) else ""
    problem = " ".join((error.problem or "is no YAML").split())
    if rest.startswith("\t") or "tab character" in problem:
        message = "a tab is used for indentation, where YAML takes only spaces"
    elif problem.startswith("mapping values are not allowed"):
        message = "a colon is not expected here: put the text in quotes, or look at the indentation"
    elif problem.startswith("found character that cannot start any token"):
        message = f"no value starts with {rest[:1]!r}: put it in quotes"
    else:
        message = f"is no YAML: {problem}"
        if error.context:
            since = error.context_mark
            message += f" ({error.context}" + (
                f" that starts in {since.line + 1}:{since.column + 1})" if since else ")"
            )
    return FileError(message, file=file, line=line, col=col)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None if is_text(value) else "'"
    return dumper.represent_scalar(_CORE + "str", value, style=style)


_Dumper.add_representer(str, _text)
