"""The JSON Schemas agree with the reader, and with the examples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from experiment_vocabulary import GOOD, VOCABULARY

from meshchaos.experiment.reader import read
from meshchaos.experiment.schema import config_schema, json_schema
from meshchaos.experiment.tree import plain
from meshchaos.experiment.yaml_source import parse_documents
from meshchaos.run.vocabulary import load_kinds

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "experiments").glob("*.chaos.yaml"))
SCHEMA = json_schema(VOCABULARY)


def refused(text: str, schema: dict[str, Any] = SCHEMA) -> bool:
    (document,) = parse_documents(text, "x.yaml")
    return bool(list(jsonschema.Draft7Validator(schema).iter_errors(plain(document))))


def test_they_are_draft_7() -> None:
    for schema in (SCHEMA, config_schema(), json_schema(load_kinds().vocabulary)):
        jsonschema.Draft7Validator.check_schema(schema)
        there = {f"#/definitions/{name}" for name in schema.get("definitions", {})}
        assert set(re.findall(r"'\$ref': '([^']+)'", repr(schema))) <= there


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_examples_are_valid_for_schema_and_reader(file: Path) -> None:
    vocabulary = load_kinds().vocabulary
    assert not refused(file.read_text(), json_schema(vocabulary))
    assert read(file, vocabulary)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4
    assert not refused((ROOT / "meshchaos.yaml").read_text(), config_schema())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("- success: 99.5%", "- success: {atLeast: 99.5%, during: [baseline, recovery], name: pay is back}"),
        ("percentage: 50", "percentage: {value: 10}, from: [a, b], match: {headers: {a: {exact: b}}, uri: /x}"),
        ("percentage: 50", "percentage: 10%, from: a, replicas: 50%"),
        ("fault: 60s", "fault: {atLeast: 10s, atMost: 60s}"),
        ("timeout: 10s", "token: {env: A}\n    headers: {a: b, c: {file: d}, e: 3}"),
        ("{load: {rate: 20}}", "{stopIf: null, load: {rate: 20, timeout: null}, expect: [{success: 1%}]}"),
        ("rate: 200", "rate: 12/m"),
        ("p99: 800ms", "p99: 800ms, p50: 1s, p99.9: 2s"),
    ],
)
def test_what_the_reader_takes_the_schema_takes(old: str, new: str) -> None:
    assert not refused(GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind: Experiment", "kind: Experimnt"),
        ("meshchaos.dev/v1", "meshchaos.dev/v2"),
        ("hypothesis:", "hypotesis:"),
        ("rate: 200", "rate: fast"),
        ("rate: 200", "rate: 0"),
        ("timeout: 10s", "timeout: 10"),
        ("timeout: 10s", "timout: 10s"),
        ("timeout: 10s", "token: s3cr3t"),
        ("arrivals: poisson", "arrivals: bursts"),
        ("target: http://bookinfo.example/productpage", "target: bookinfo.example"),
        ("fault: 60s", "fault: {atLeast: 10s}"),
        ("delay: {to", "dealy: {to"),
        ("fixedDelay: 2s", "fixedDelay: 2"),
        ("fixedDelay: 2s, ", ""),
        ("percentage: 50", "percentage: 150"),
        ("percentage: 50", "at: sever"),
        ("percentage: 50", "match: {headers: {a: {exct: b}}}"),
        ("- success: 99.5%", "- success: 99.5"),
        ("- success: 99.5%", "- success: {atLeast: 99.5%, during: before}"),
        ("- success: 99.5%", "- sucess: 99.5%"),
        ("p99: 800ms", "q99: 800ms"),
        ("{p99: 800ms}", "{}"),
        ("confidence: 95%", "confidence: 80%"),
        ("{below: 50%}", "{below: 50}"),
        ("{live: 30s}", "{dead: 30s}"),
        ("{load: {rate: 20}}", "{load: {rat: 20}}"),
        ("{load: {rate: 20}}", "{mesh: other}"),
    ],
)
def test_what_the_schema_refuses(old: str, new: str) -> None:
    assert old in GOOD
    assert refused(GOOD.replace(old, new, 1))


def test_kinds_are_told_by_their_summary_and_fields_by_what_they_are_about() -> None:
    delay = json_schema(load_kinds().vocabulary)["definitions"]["fault.delay"]["properties"]["delay"]
    assert delay["description"]
    assert delay["properties"]["fixedDelay"]["description"]
