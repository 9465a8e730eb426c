"""Series, charts and page from samples made up here; what a browser shows is looked at in the e2e tier."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meshchaos.checks.kind import Verdict
from meshchaos.errors import EvidenceError
from meshchaos.history.records import PhaseRecord
from meshchaos.history.samples import ROW, Outcome, Samples
from meshchaos.report import charts, page
from meshchaos.report.series import bin_width, points
from meshchaos.run.result import PhaseCount, Result

T0 = 1_700_000_000.0


def samples(starts: list[float], latency: float = 0.01, *, status: int = 200) -> Samples:
    rows = np.zeros(len(starts), dtype=ROW)
    rows["start"] = T0 + np.array(starts)
    rows["latency"] = latency
    rows["status"] = status
    rows["grpc"] = -1
    return Samples("web", rows, ("page",), timeout=10.0)


def test_every_request_of_the_span_is_in_exactly_one_bin() -> None:
    made = samples([i / 50 for i in range(500)])
    binned = points([made], T0, T0 + 10)
    assert sum(point.good for point in binned) == 500
    assert sum(point.bad for point in binned) == 0
    assert binned[0].at == 0
    assert binned[-1].at + binned[-1].width == pytest.approx(10)


def test_requests_outside_the_span_are_left_out() -> None:
    binned = points([samples([-0.5, 0.5, 10.0])], T0, T0 + 10)
    assert sum(point.good for point in binned) == 1


def test_a_dropped_arrival_is_bad_but_has_no_latency() -> None:
    made = samples([0.01, 0.02])
    made.rows["outcome"][1] = Outcome.DROPPED
    made.rows["latency"][1] = 99
    (first, *_) = points([made], T0, T0 + 1)
    assert (first.good, first.bad) == (1, 1)
    assert first.slowest == pytest.approx(0.01, rel=1e-3)


def test_bins_stay_few_however_long_the_run() -> None:
    for span in (0.5, 7, 60, 3600, 86_400, 1e7):
        assert span / bin_width(span) <= 150.001


def test_charts_are_well_formed_and_break_the_line_where_nothing_was_asked() -> None:
    made = samples([0.05, 0.15, 8.05, 8.15])
    frame = charts.Frame(10, (charts.Band("phase", "fault <b>", 0, 10), charts.Band("fault", "delay is live", 1, 9)))
    drawn = charts.latency_chart(points([made], T0, T0 + 10), frame, [("p99 & co", 0.8)])
    tree = ET.fromstring(drawn)
    line = next(node for node in tree.iter("path") if node.get("class") == "line p99")
    assert line.get("d", "").count("M") == 2
    assert "p99 &amp; co" in drawn
    ET.fromstring(charts.answers_chart(points([made], T0, T0 + 10), frame))


def test_a_limit_at_the_top_is_named_below_its_line() -> None:
    """Above it are the phases' names."""
    frame = charts.Frame(10, (charts.Band("phase", "recovery", 0, 10),))
    tree = ET.fromstring(charts.latency_chart(points([samples([0.05])], T0, T0 + 10), frame, [("p99", 1.0)]))
    (label,) = (node for node in tree.iter("text") if node.get("class") == "limit-label")
    (line,) = (node for node in tree.iter("line") if node.get("class") == "limit")
    assert float(label.get("y", 0)) > float(line.get("y1", 0)) + 8


def test_how_late_the_generator_was_is_drawn_for_open_loads() -> None:
    made = samples([0.05, 0.15, 8.05, 8.15])
    made.rows["lag"] = [0.001, 0.002, 0.3, 0.004]
    binned = points([made], T0, T0 + 10)
    assert max(point.latest or 0 for point in binned) == pytest.approx(0.3)
    tree = ET.fromstring(charts.late_chart(binned, charts.Frame(10, ())))
    assert [node.text for node in tree.iter("text")][:4] == ["1 ms", "10 ms", "100 ms", "1 s"]
    closed = replace(made, closed=True)
    assert charts.late_chart(points([closed], T0, T0 + 10), charts.Frame(10, ())) == ""
    both = points([closed, made], T0, T0 + 10)
    assert [point.latest for point in both] == [point.latest for point in binned]


def result(folder: Path, **changes: Any) -> Result:
    base: dict[str, Any] = {
        "verdict": Verdict.INVALID,
        "reason": "Nothing was injected <script>alert(1)</script>",
        "exit_code": 3,
        "experiment": "slow",
        "hypothesis": "The page stays fast.",
        "run_id": "0badcafe",
        "mesh": "bookinfo",
        "seed": 7,
        "confidence": 0.95,
        "versions": {"envoy": "1.40.0"},
        "started": T0,
        "finished": T0 + 600,
        "phases": (),
        "faults": (),
        "findings": (),
        "proofs": (),
        "steady": (),
        "stopped": None,
        "load": (),
        "healed": True,
        "leftovers": (),
        "overrides": (),
        "warnings": (),
        "source": "slow.chaos.yaml",
        "folder": folder,
    }
    return Result(**(base | changes))


def test_the_page_escapes_what_it_shows_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("spec: {target: http://x/<img src=y>}")
    text = page.render(result(tmp_path), {})
    assert "<script" not in text
    assert "<img" not in text
    assert 'src="http' not in text
    assert 'href="http' not in text


def test_the_page_of_a_run_that_never_began_says_so(tmp_path: Path) -> None:
    text = page.render(result(tmp_path), {})
    assert "Nothing was judged." in text
    assert "There was none." in text


def test_leftovers_stand_at_the_top(tmp_path: Path) -> None:
    text = page.render(result(tmp_path, leftovers=("EnvoyFilter chaos-1.bookinfo",), healed=False), {})
    assert text.index("EnvoyFilter chaos-1.bookinfo") < text.index("What was expected")


def test_the_command_makes_the_same_run_again(tmp_path: Path) -> None:
    text = page.render(result(tmp_path, overrides=(("--set", "spec.load.rate", 20),)), {})
    assert "meshchaos run slow.chaos.yaml --mesh bookinfo --seed 7 --set spec.load.rate=20" in text


def test_a_million_requests_make_a_small_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    made = samples(list(np.sort(rng.random(1_000_000) * 600)))
    phase = PhaseCount(PhaseRecord("fault", T0, T0 + 600, 600), 1_000_000, 0)
    text = page.render(result(tmp_path, phases=(phase,)), {"web": made})
    assert len(text.encode()) < 500_000


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    target = tmp_path / "no such folder" / "report.html"
    with pytest.raises(EvidenceError, match=r"cannot write .*report\.html: No such file or directory"):
        page.write(result(tmp_path), {}, target=target)
