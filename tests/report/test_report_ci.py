"""What CI systems are told: JUnit XML and GitHub's workflow commands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import parse

import pytest

from meshchaos.checks.kind import Verdict
from meshchaos.errors import EvidenceError
from meshchaos.report import github, junit
from tests.report import made


def test_each_item_is_a_test_case(tmp_path: Path) -> None:
    failed = made.finding("success", Verdict.FAIL, line=5)
    error = made.finding("latency", Verdict.ERROR, threshold=None)
    runs = [
        made.result(tmp_path, Verdict.FAIL, findings=(failed, error), source="some/slow.chaos.yaml"),
        made.result(tmp_path, Verdict.PASS, findings=(made.finding("success", Verdict.PASS),)),
    ]
    junit.write(tmp_path / "junit.xml", runs)
    first, second = parse(tmp_path / "junit.xml").getroot()
    counts = ("name", "tests", "failures", "errors", "skipped", "time", "timestamp")
    assert [first.get(name) for name in counts] == ["slow", "4", "1", "1", "0", "30.000", "2023-11-14T22:13:20.000Z"]
    assert [second.get(name) for name in counts[:4]] == ["slow", "3", "0", "0"]
    cases = {case.get("name"): case for case in first}
    assert list(cases) == ["run", "success of it", "latency of it", "heal"]
    assert {case.get("classname") for case in first} == {"some.slow.chaos.yaml.slow"}
    properties = {one.get("name"): one.get("value") for one in cases["run"].iter("property")}
    assert properties["meshchaos.verdict"] == "PASS"
    assert (properties["meshchaos.run"], properties["meshchaos.seed"]) == ("0badcafe", "7")
    (failure,) = cases["success of it"].iter("failure")
    assert failure.get("type") == "FAIL"
    assert str(failure.get("message")).startswith("FAIL: success of it: during this run 99 %")
    assert "some/slow.chaos.yaml:5: FAIL success of it" in str(failure.text)
    assert "    expected: at least 99 %\n    observed: 99.5 % of n = 900" in str(failure.text)
    assert [one.get("type") for one in cases["latency of it"].iter("error")] == ["ERROR"]
    assert not [*cases["heal"].iter("error"), *cases["heal"].iter("failure")]


@pytest.mark.parametrize("verdict", [Verdict.INVALID, Verdict.INCONCLUSIVE])
def test_what_could_not_be_said_is_a_failure_of_that_type(tmp_path: Path, verdict: Verdict) -> None:
    found = made.result(tmp_path, verdict, findings=(made.finding("success", verdict),))
    (suite,) = junit.document([found])
    assert "PASS" not in {one.get("type") for one in suite.iter("failure")}
    assert verdict.value in {one.get("type") for one in suite.iter("failure")}


def test_what_is_left_behind_is_an_error_of_heal(tmp_path: Path) -> None:
    left = "EnvoyFilter x\x1b[31m\ud800: changed"
    (suite,) = junit.document([made.result(tmp_path, Verdict.PASS, leftovers=(left,), experiment="</x>\0")])
    junit.write(tmp_path / "junit.xml", [made.result(tmp_path, Verdict.PASS, leftovers=(left,), experiment="</x>\0")])
    (again,) = parse(tmp_path / "junit.xml").getroot()
    assert again.get("name") == suite.get("name") == "</x>\ufffd"
    (heal,) = [case for case in again if case.get("name") == "heal"]
    assert [error.get("message") for error in heal.iter("error")] == [
        "ERROR: could not put back: EnvoyFilter x\ufffd[31m\ufffd: changed"
    ]


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"cannot write .*junit.xml: No such file or directory"):
        junit.write(tmp_path / "nowhere" / "junit.xml", [])


def test_annotations_are_at_the_line_the_worst_first(tmp_path: Path) -> None:
    many = tuple(made.finding("latency", Verdict.INCONCLUSIVE, name=f"p{index}", line=9) for index in range(12))
    run = made.result(tmp_path, Verdict.FAIL, findings=(*many, made.finding("success", Verdict.FAIL, line=7)))
    worst, *others = github.commands(github.notes_of([run]))
    assert worst == (
        "::error file=slow.chaos.yaml,line=7,title=slow%3A%3Asuccess of it::"
        "FAIL: success of it: during this run 99 %25 of 900 requests were good"
    )
    assert len(others) == github.MOST - 1
    assert all("INCONCLUSIVE" in line for line in others)
    assert not list(github.commands(github.notes_of([replace(run, verdict=Verdict.PASS, findings=())])))


def test_a_line_break_ends_no_command() -> None:
    (line,) = github.commands([github.Note("FAIL", "a:b,c", 1, "x\ny", "one\r\n::error::two")])
    assert line == "::error file=a%3Ab%2Cc,line=1,title=x%0Ay::FAIL: one%0D%0A::error::two"


def test_the_summary_of_a_step_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    for text in ("one\n", "two\n"):
        github.summarize(text, {"GITHUB_STEP_SUMMARY": str(path)})
    assert path.read_text("utf-8") == "one\ntwo\n"
    github.summarize("three", {})
