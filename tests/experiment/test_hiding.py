"""What looks like a secret is in nothing that a run leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshchaos.checks.kind import Verdict
from meshchaos.experiment.hiding import HIDDEN, hide, looks_secret, secrets_in, without_secrets
from meshchaos.run import events
from meshchaos.run.history_file import FILE, HistoryWriter
from tests.report import made

DOCUMENT = {
    "spec": {
        "load": [
            {
                "target": "http://shop.example/pay?api_key=q-12345&page=2",
                "headers": {
                    "Authorization": "Bearer b-12345",
                    "x-api-key": "123",
                    "x-tenant": "tenant-1",
                    "cookie": {"env": "COOKIE_OF_MINE"},
                },
            }
        ],
        "faults": [{"delay": {"to": "pay", "match": {"headers": {"x-auth-token": {"exact": "m-12345"}}}}}],
    }
}


@pytest.mark.parametrize("name", ["authorization", "X-API-Key", "x_api_key", "cookie", "x-auth-token", "client-secret"])
def test_names_that_tend_to_carry_secrets(name: str) -> None:
    assert looks_secret(name)
    assert not looks_secret("x-tenant")


def test_the_document_keeps_all_but_them() -> None:
    assert secrets_in(DOCUMENT) == {"q-12345", "b-12345", "Bearer b-12345", "m-12345"}
    spec = without_secrets(DOCUMENT)["spec"]
    assert spec["load"][0]["target"] == f"http://shop.example/pay?api_key={HIDDEN}&page=2"
    assert spec["load"][0]["headers"] == {
        "Authorization": HIDDEN,
        "x-api-key": HIDDEN,  # short, and hidden in its place
        "x-tenant": "tenant-1",
        "cookie": {"env": "COOKIE_OF_MINE"},
    }
    assert spec["faults"][0]["delay"]["match"]["headers"] == {"x-auth-token": {"exact": HIDDEN}}


def test_history_and_result_have_none_of_them(tmp_path: Path) -> None:
    secrets = secrets_in(DOCUMENT)
    writer = HistoryWriter(tmp_path, secrets)
    change = {"create": {"headers": [{"name": "x-auth-token", "string_match": {"exact": "m-12345"}}]}}
    writer.write(events.FaultApplying(1.0, "chaos-1-0", "page -> pay", (change,)))
    writer.close()
    text = (tmp_path / FILE).read_text("utf-8")
    assert "m-12345" not in text
    assert json.loads(text)["changes"][0]["create"]["headers"][0]["string_match"] == {"exact": HIDDEN}
    found = made.result(tmp_path, Verdict.FAIL, reason="GET /pay?api_key=q-12345 was slow")
    hidden = hide(found, secrets)
    assert hidden.reason == f"GET /pay?api_key={HIDDEN} was slow"
    assert hidden.verdict is Verdict.FAIL
    assert hidden.faults == found.faults
    assert hide(found, frozenset()) is found
