"""From the loads of an experiment to plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshchaos.errors import FileError, UserError
from meshchaos.experiment.model import Load, Request, Secret, TextOrSecret, Where
from meshchaos.load.driver import LoadPlan
from meshchaos.load.plan import plan_loads
from meshchaos.mesh.seam import Entry

WHERE = Where("x.chaos.yaml", 4, 3, "spec.load")


def reveal(given: TextOrSecret) -> str:
    return f"secret of {given.name}\n" if isinstance(given, Secret) else given


def planned(request: Request, target: str = "http://shop.example/home?a=1") -> LoadPlan:
    load = Load("main", target, "gateway", 10.0, "uniform", 1.0, 20, (request,), where=WHERE)
    [plan] = plan_loads(
        (load,),
        entry=lambda load: Entry("127.0.0.1:8080", "shop.example", False, f"from {load.source}"),
        reveal=reveal,
        run_id="00000001",
        seed=1,
        folder=Path("somewhere"),
        duration=10.0,
    )
    return plan


def test_secrets_are_resolved_and_stripped() -> None:
    plan = planned(Request("page", "post", "/p?q#frag", {"Authorization": Secret("env", "TOKEN")}, "text"))
    [request] = plan.requests
    assert request.headers == {"Authorization": "secret of TOKEN"}
    assert (request.method, request.path, request.body) == ("POST", "/p?q", b"text")
    assert plan.samples == Path("somewhere").absolute() / "samples-main.bin"
    assert plan.entry.words == "from gateway"


def test_without_a_path_it_is_the_targets() -> None:
    assert planned(Request("page", "GET", "", {}, None)).requests[0].path == "/home?a=1"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request("page", "GET", "/", {"X-Request-Id": "1"}, None), "leave the header X-Request-Id out"),
        (Request("page", "GET", "/", {"content-length": "1"}, None), "follows from the body"),
        (Request("page", "GET", "/", {"a b": "1"}, None), "not a header name"),
        (Request("page", "GE T", "/", {}, None), "not an HTTP method"),
        (Request("page", "GET", "/a b", {}, None), "percent-encoded"),
        (Request("page", "GET", "page", {}, None), "starts with /"),
        (Request("page", "GET", "/ä", {}, None), "percent-encoded"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_place(request_: Request, words: str) -> None:
    with pytest.raises(FileError, match=words) as caught:
        planned(request_)
    assert str(caught.value).startswith("x.chaos.yaml:4:3: spec.load: ")


def test_a_header_that_would_smuggle_is_refused_without_its_value() -> None:
    with pytest.raises(UserError, match="line break") as caught:
        planned(Request("page", "GET", "/", {"a": "hidden\r\nhost: x"}, None))
    assert "hidden" not in str(caught.value)
