"""YAML files: what may be in them, what may not, and where it stands."""

# ruff: noqa: E501 - tables of cases

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshchaos.errors import FileError
from meshchaos.experiment.tree import Branch, find, path_text, plain
from meshchaos.experiment.yaml_source import dump, parse_documents, parse_value, read_documents


def value(text: str) -> Any:
    (document,) = parse_documents(text, "x.yaml")
    return plain(document)


def mistake(text: str) -> str:
    with pytest.raises(FileError) as caught:
        parse_documents(text, "x.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("No", "No"), ("y", "y"), ("N", "N"),
        ("true", True), ("False", False), ("TRUE", True), ("tRue", "tRue"),
        ("10:30", "10:30"), ("190:20:30", "190:20:30"), ("2026-11-23", "2026-11-23"), ("1_000", "1_000"),
        ("0o17", 15), ("0xff", 255), ("0", 0), ("-7", -7), ("+7", 7), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0),
        ("1.", 1.0), ("1e", "1e"), ("+", "+"), (".", "."), ("=", "="), ("'1'", "1"), ('"yes"', "yes"), ("0.0.1", "0.0.1"),
        ("null", None), ("~", None), ("nULL", "nULL"), ("!!str 5", "5"), ("! 5", "5"), ("!!int 5", 5), ("!!float 5", 5),
    ],
)  # fmt: skip
def test_plain_scalars_are_those_of_yaml_1_2(written: str, meant: Any) -> None:
    found = value(f"a: {written}")["a"]
    assert found == meant
    assert type(found) is type(meant)


def test_keys_are_always_text() -> None:
    assert value("{on: 1, 200: 2, 3.5: 4, true: 5, null: 6}") == {"on": 1, "200": 2, "3.5": 4, "true": 5, "null": 6}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 010", "x.yaml:1:4: 010 is octal to some readers of YAML and decimal to others: write 10 or '010'"),
        ("a: -0_7", "x.yaml:1:4: -0_7 is octal to some readers of YAML and decimal to others: write 7 or '-0_7'"),
        ("a: .nan", "x.yaml:1:4: .nan is no finite number"),
        ("a: 1\nb: 2\na: 3", "x.yaml:3:1: the key 'a' is there twice, first in 1:1"),
        ("a: 1\n'a': 3", "x.yaml:2:1: the key 'a' is there twice, first in 1:1"),
        ("{1: a, '1': b}", "x.yaml:1:8: the key '1' is there twice, first in 1:2"),
        ("a:\n\tb: 1", "x.yaml:2:1: a tab is used for indentation, where YAML takes only spaces"),
        ("a: \tb\n\t- c", "x.yaml:2:1: a tab is used for indentation, where YAML takes only spaces"),
        ("{'': x}", "x.yaml:1:2: a key is empty"),
        ("a: !!set {b}", "x.yaml:1:4: the tag '!!set' does not belong here: leave it out"),
        ("a: !!int x", "x.yaml:1:4: the tag '!!int' does not belong here: leave it out"),
        ("a: !!binary aGk=", "x.yaml:1:4: the tag '!!binary' does not belong here: leave it out"),
        ("a: !mine [1]", "x.yaml:1:4: the tag '!mine' does not belong here: leave it out"),
        ("a: &a [*a]", "x.yaml:1:8: *a stands inside &a itself"),
        ("a: *b", "x.yaml:1:4: no anchor &b comes before this (there are: none)"),
        ("a: &x 1\n---\nb: *x", "x.yaml:3:4: no anchor &x comes before this (there are: none)"),
        ("a: [1, 2\nb: 3", "x.yaml:2:2: is no YAML: did not find expected ',' or ']' (while parsing a flow sequence that starts in 1:4)"),
        ("[" * 1000, "x.yaml:1:65: is nested more than 64 levels deep"),
        ("- " * 1000 + "a", "x.yaml:1:129: is nested more than 64 levels deep"),
        ("ü: é\x00", "x.yaml:1:5: a control character (U+0000) is here"),
        ("a: |1x\n", "x.yaml:1:6: is no YAML: did not find expected comment or line break (while scanning a block scalar that starts in 1:4)"),
        ("%YAML 3.0\n---\na: 1", "x.yaml:1:1: is no YAML: found incompatible YAML document"),
        ("<<: 3", "x.yaml:1:1: << takes a mapping, or a list of mappings"),
        ("a: " + "9" * 5000, "x.yaml:1:4: a number of so many digits is a typing error, or text and belongs in quotes"),
    ],
)  # fmt: skip
def test_mistakes_have_a_place(text: str, said: str) -> None:
    assert mistake(text) == said


def test_merge_keys() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 0}\nd: {x: 5, <<: *a}\ne: {'<<': 1}"
    assert value(text) == {
        "a": {"x": 1, "y": 2},
        "b": {"y": 3, "z": 4},
        "c": {"x": 0, "y": 2, "z": 4},
        "d": {"x": 5, "y": 2},
        "e": {"<<": 1},
    }


@pytest.mark.parametrize(
    "text",
    [
        "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)),
        "a: &a {" + ", ".join(f"k{i}: 1" for i in range(1000)) + "}\nb:\n" + "- {<<: *a}\n" * 50_000,
        "a: &a0 1\n" + "".join(f"b{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 30)),
    ],
)
def test_aliases_cannot_make_a_small_file_large(text: str) -> None:
    said = mistake(text)
    assert "has more than 100,000 values once its aliases are written out" in said or "<< takes a mapping" in said


def test_aliases_cannot_nest_deeper_than_the_text_may() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2000))
    assert mistake(text).endswith("is nested more than 64 levels deep")


def test_every_key_and_value_knows_its_place() -> None:
    (root,) = parse_documents("a:\n  - b: 1\n    ü: [x, {y: z}]\n", "x.yaml")
    assert isinstance(root, Branch)
    way, entry = find(root, ("a", 0, "ü", 1, "y"))
    assert (path_text(way), entry.key.line, entry.key.col) == ('a[0]["\\xfc"][1].y', 3, 13)
    assert (entry.node.mark.line, entry.node.mark.col) == (3, 16)
    assert find(root, ("a", 0, "nowhere", "at", "all"))[0] == ("a", 0)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def said(path: Path) -> str:
        with pytest.raises(FileError) as caught:
            read_documents(path)
        return str(caught.value).removeprefix(f"{tmp_path}/")

    assert said(tmp_path / "none.yaml") == "none.yaml: there is no such file"
    assert said(tmp_path / "none.yaml" / "x") == "none.yaml/x: there is no such file"
    (tmp_path / "folder").mkdir()
    assert said(tmp_path / "folder") == "folder: is a folder, not a file"
    os.mkfifo(tmp_path / "pipe")
    assert said(tmp_path / "pipe") == "pipe: is no regular file"
    (tmp_path / "loop").symlink_to("loop")
    assert said(tmp_path / "loop").startswith("loop: cannot be read: ")
    assert said(tmp_path / ("n" * 300)).endswith("cannot be read: File name too long")
    assert "cannot be a file's name" in said(Path("a\0b"))
    (tmp_path / "latin").write_bytes("a: 1\nmesh: caf\xe9".encode("latin-1"))
    assert said(tmp_path / "latin") == "latin:2:10: is not UTF-8: byte 0xe9 here"
    (tmp_path / "wide").write_bytes("a: 1".encode("utf-16"))
    assert said(tmp_path / "wide") == "wide:1:1: is UTF-16: save it as UTF-8"
    (tmp_path / "large").write_bytes(b"#" * ((1 << 20) + 1))
    assert said(tmp_path / "large") == "large: is larger than 1 MiB, which no such file needs to be"
    (tmp_path / "file").write_text("a")
    assert said(tmp_path / "file" / "x").endswith("cannot be read: Not a directory")
    (tmp_path / "bom").write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert [plain(document) for document in read_documents(tmp_path / "bom")] == [{"a": 1, "b": 2}]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "locked").touch(mode=0)
    with pytest.raises(FileError, match="cannot be read: Permission denied"):
        read_documents(tmp_path / "locked")


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "---\n---\nnull\n...\n", "~"])
def test_empty_files_have_no_documents(text: str) -> None:
    assert parse_documents(text, "x.yaml") == ()


def test_values_of_a_command_line() -> None:
    assert [parse_value(text, "--set x") for text in ("5", "5%", "no", "[a, {b: 1}]", "")] == [
        5, "5%", "no", ["a", {"b": 1}], None,
    ]  # fmt: skip
    with pytest.raises(FileError, match="--set x: is more than one value"):
        parse_value("a\n---\nb", "--set x")


@pytest.mark.parametrize(
    "text",
    ["on", "NO", "010", "0o10", "1e3", "10:30", "1_000", "~", "", " a ", "- a", "a: b", "#", "é", "a\nb\n", "\n", " a\nb", "=",
     "<<", "2026-11-23", ".5", "0x1F", "*a", "&a", "!a", "%", "@", "'", '"', "null", "a\tb", "a\\n", "1.", "+1", "y", "\u2028"],
)  # fmt: skip
def test_what_is_dumped_is_read_again_by_everybody(text: str) -> None:
    data = {"a": text, "b": [text, 1, 1.5, True, None], text or "empty": {}}
    assert yaml.safe_load(dump(data)) == data
    if text not in ("<<",):
        assert value(dump(data)) == data
