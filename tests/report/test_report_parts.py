"""What a page draws and tells beside its numbers: limits, the fault's edge, what was changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from meshchaos.checks.kind import Verdict
from meshchaos.report import charts, left, page, timeline, topology, view
from meshchaos.run.outcome import EXIT_INTERRUPTED
from tests.report import made


def test_only_latencies_of_loads_are_limits_of_the_chart() -> None:
    limit = made.finding("latency", Verdict.PASS, threshold=0.8, unit="s")
    edge = replace(limit, threshold=0.2, edge="page -> ratings")
    cut = replace(limit, kind="timeout", threshold=0.5)
    twin = replace(limit, kind="recovery", name="recovery: it")
    assert view.limits([limit, edge, cut]) == [("latency of it 800 ms", 0.8)]
    assert view.limits([limit, twin]) == [("latency of it and 1 more: 800 ms", 0.8)]


def test_the_fault_is_on_its_edge_with_what_carried_it(tmp_path: Path) -> None:
    made_up = made.result(tmp_path, Verdict.PASS)
    load, fault = topology.hops_of(made_up, left.document(tmp_path))
    assert load.told == "gateway to shop.example: load main, 100 requests/s"
    assert fault.told == (
        "page to ratings:9080: fault: delay 50 %, in the server's proxy, 48 of 100 requests carried it (48 %)"
    )
    never = replace(made.FAULT, live_at=None, edge="ratings-v1", kind="scale", proof="endpoints")
    (alone,) = topology.hops_of(replace(made_up, faults=(never,)), {})
    assert (alone.source, alone.target, alone.below) == ("", "ratings-v1", "never live")


def test_a_change_is_shown_with_what_was_before_and_is_after(tmp_path: Path) -> None:
    made_up = made.result(tmp_path, Verdict.PASS)
    whole, field = left.changes(made_up)
    assert (whole["object"], whole["before"], whole["after"]) == ("EnvoyFilter chaos-1-0.shop", "", "not there")
    assert "kind: EnvoyFilter" in whole["during"]
    assert field == {
        "object": "VirtualService ratings.shop",
        "field": "spec.timeout",
        "before": "1s",
        "during": "9s",
        "after": "as before",
    }
    left_behind = replace(made_up, leftovers=("VirtualService ratings.shop: spec.timeout",), healed=False)
    assert {row["after"] for row in left.changes(left_behind)} == {"not verified"}


def test_links_lead_to_the_run_wherever_the_page_is(tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "pages"
    run.mkdir()
    elsewhere.mkdir()
    written = page.write(made.result(run, Verdict.PASS), made.loads(), target=elsewhere / "slow.html")
    assert 'href="../run/history.jsonl"' in written.read_text()


def test_the_curve_of_a_recovery_begins_under_the_fault(tmp_path: Path) -> None:
    made_up = made.result(tmp_path, Verdict.PASS)
    frame, series = timeline.recovery(made_up, [made.samples()])
    assert frame.span == pytest.approx(11.9)
    assert [band.label for band in frame.bands if band.kind == "phase"] == ["fault", "recovery"]
    (healed,) = [band.start for band in frame.bands if band.kind == "healed"]
    assert healed == pytest.approx(2)
    assert all((point.p99 or 0) > 0.5 for point in series if point.at + point.width < 1.9)
    assert all((point.p99 or 0) < 0.5 for point in series if point.at > 1.9)
    assert timeline.recovery(replace(made_up, faults=()), [made.samples()])[1] == []
    assert timeline.recovery(replace(made_up, phases=made_up.phases[:2]), [made.samples()])[1] == []


def test_a_run_that_was_cut_says_so(tmp_path: Path) -> None:
    cut = replace(made.result(tmp_path, Verdict.ERROR), load=(), exit_code=EXIT_INTERRUPTED)
    text = page.render(cut, made.loads())
    assert "The run ended before its generator told how it had kept up." in text
    assert "There was none." not in text
    assert "This run was not carried through, so it says nothing about the belief." in text


@pytest.mark.parametrize("span", [10.0, 2.05])
def test_the_word_beside_the_moment_of_the_heal_is_inside_the_chart(span: float) -> None:
    frame = charts.Frame(span, (charts.Band("healed", "healed", 2.0, 2.0),))
    label = charts.answers_chart([], frame).partition('class="healed-label"')[2].partition("</text>")[0]
    at, ends = float(label.partition('x="')[2].partition('"')[0]), 'text-anchor="end"' in label
    width = 6.0 * len("healed")
    assert (at - width, at) > (0, 0) if ends else at + width < charts.WIDTH
    assert ends is (span < 3)
