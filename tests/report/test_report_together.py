"""What is said of several runs: the index of a folder, two side by side, Markdown and a webhook's message."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from meshchaos.checks.kind import Verdict
from meshchaos.report import compare, compare_page, index_page, page, summary
from meshchaos.run.result import Result
from tests.report import made


def run_in(output: Path, name: str, verdict: Verdict, at: float = 0.0, **changes: object) -> Result:
    folder = output / name
    folder.mkdir()
    found = replace(made.result(folder, verdict), started=made.T0 + at, run_id=name, **changes)  # type: ignore[arg-type]
    found.write()
    page.write(found, made.loads())
    return found


def test_the_index_has_every_run_the_newest_first(tmp_path: Path) -> None:
    run_in(tmp_path, "older", Verdict.FAIL, leftovers=("EnvoyFilter x",))
    run_in(tmp_path, "newer", Verdict.PASS, 60, experiment="<b>slow</b>")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "result.json").write_text('{"verdict": "PA')
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "result.json").write_text((tmp_path / "newer" / "result.json").read_text())
    text = index_page.write(tmp_path).read_text("utf-8")
    assert "2 runs: 1 PASS, 1 FAIL" in text
    assert text.index('href="newer/report.html"') < text.index('href="older/report.html"')
    assert "not everything was put back" in text
    assert "&lt;b&gt;slow" in text


def test_an_index_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_page, "MOST", 1)
    run_in(tmp_path, "older", Verdict.FAIL)
    run_in(tmp_path, "newer", Verdict.PASS, 60)
    text = index_page.render(tmp_path)
    assert "And 1 older ones." in text
    assert "older/report.html" not in text
    assert "No run yet." in index_page.render(tmp_path / "newer")


def test_only_bounds_that_lie_apart_show_a_difference(tmp_path: Path) -> None:
    base = made.result(tmp_path, Verdict.PASS)

    def told(one: tuple[float | None, float | None], other: tuple[float | None, float | None]) -> str:
        sides = [replace(base, findings=(made.finding("x", Verdict.PASS, interval=bounds),)) for bounds in (one, other)]
        (pair,) = compare.pairs(*sides)
        return pair.told

    assert told((0.1, 0.2), (0.3, 0.4)) == "higher: the bounds lie apart"
    assert told((0.3, None), (0.1, 0.2)) == "lower: the bounds lie apart"
    assert told((0.1, 0.3), (0.3, None)) == "no difference shown: the bounds overlap"
    assert told((None, 0.3), (0.2, 0.4)) == "no difference shown: the bounds overlap"


def test_a_verdict_that_changed_and_one_that_is_alone_are_told(tmp_path: Path) -> None:
    base = made.result(tmp_path, Verdict.PASS)
    first = replace(base, findings=(made.finding("a", Verdict.PASS), made.finding("b", Verdict.PASS)))
    failed = made.finding("a", Verdict.FAIL, unit="s", interval=None)
    second = replace(base, findings=(failed, made.finding("c", Verdict.PASS)), mesh="other", seed=8)
    told = {pair.name: pair.told for pair in compare.pairs(first, second)}
    assert told == {"a of it": "PASS became FAIL", "b of it": "only in the first", "c of it": "only in the second"}
    assert compare.differences(first, second) == [("mesh", "shop", "other"), ("seed", "7", "8")]
    assert "PASS became FAIL" in compare.table(first, second)


def test_two_runs_are_drawn_on_the_same_axes(tmp_path: Path) -> None:
    first, second = run_in(tmp_path, "a", Verdict.PASS), run_in(tmp_path, "b", Verdict.FAIL)
    slow = made.samples()
    slow.rows["latency"] *= 100
    written = compare_page.write((first, made.loads()), (second, {"main": slow}))
    text = written.read_text("utf-8")
    assert written == second.folder / "compare-a.html"
    assert text.count(">10 ms</text>") == text.count(">100 s</text>") == 2
    assert "The experiments were the same to the letter." in text


def test_markdown_of_a_user_stays_text(tmp_path: Path) -> None:
    odd = made.finding("success", Verdict.FAIL, name="a|b *c* <img> @team\nnext")
    text = summary.markdown([made.result(tmp_path, Verdict.FAIL, findings=(odd,), leftovers=("EnvoyFilter x",))])
    assert text.startswith("## meshchaos: FAIL: slow\n")
    assert r"a\|b \*c\* \<img\>" in text
    assert "@team" not in text
    assert "**Left behind:** EnvoyFilter x" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| ❌")]
    assert row.replace(r"\|", "").count("|") == 8


def test_the_worst_run_leads_a_message_that_fits(tmp_path: Path) -> None:
    passed = made.result(tmp_path, Verdict.PASS, experiment="x" * 4000)
    found = summary.webhook([passed] * 60 + [replace(passed, verdict=Verdict.FAIL, experiment="<bad>")])
    assert found["text"] == "meshchaos: FAIL: 60 of 61 runs passed"
    header, worst, second, *_, last = found["blocks"]
    assert len(found["blocks"]) == 50
    assert header["type"] == "header"
    assert "FAIL: &lt;bad&gt;" in worst["text"]["text"]
    assert len(second["text"]["text"]) == 3000
    assert last["elements"][0]["text"] == "and 13 more runs"
    json.dumps(found)
