"""The schemas under docs/ are what the command prints: editors of people who cloned the repository read those."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshchaos.run.catalog import schema_of

DOCS = Path(__file__).parents[2] / "docs" / "schema"


@pytest.mark.parametrize(
    ("kind", "name"), [("experiment", "experiment"), ("config", "meshchaos"), ("result", "result")]
)
def test_the_published_schema_is_the_present_one(kind: str, name: str) -> None:
    published = json.loads((DOCS / f"{name}.json").read_text("utf-8"))
    assert published == schema_of(kind), f"say: meshchaos schema {kind} > docs/schema/{name}.json"
