"""Error rates by simulation of the production code: every table of docs/statistics.md with fewer repetitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshchaos.checks.decide import decide
from meshchaos.checks.kind import Verdict
from meshchaos.checks.statistics import planner
from tests.simulation import clusters, rates
from tests.simulation.__main__ import BEGIN, END, table
from tests.simulation.row import ALPHA, THETA, Row, Section
from tests.simulation.suite import RUNS, SECTIONS, SEED

CHEAP = {"Full phases", "Early stops", "Drift", "Several expectations"}
FEWER = 1000
"""Of the tables that take longer."""


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_every_row_keeps_what_it_promises(section):
    rows = section.run(SEED, RUNS if section.title in CHEAP else FEWER)
    assert rows
    assert [line for row in rows for line in row.broken()] == []


def test_early_stops_come_when_they_were_predicted():
    rng = np.random.default_rng(SEED)
    _, failed, mean_n = rates.with_looks(rng, 1000, 0.015, how="e-process")
    assert failed.mean() > 0.99
    assert mean_n == pytest.approx(planner.needed_early(THETA, 0.015, ALPHA), rel=0.1)


@pytest.mark.parametrize(("length", "share"), [(1, 0.9), (2, 0.5), (5, 0.2), (10, 0.3)])
def test_no_phase_with_a_burst_in_it_passes(length, share):
    rng = np.random.default_rng(SEED)
    found = clusters.bursts(rng, 400, mean=THETA, seconds=60, rate=200, length=length, share=share)
    verdicts = [(decide(tally, clusters.RULE).verdict, burst) for tally, burst in found]
    assert sum(burst for _, burst in verdicts) > 50
    assert (Verdict.PASS, True) not in verdicts
    assert (Verdict.PASS, False) in verdicts, "a phase without any is a clean one"


def row(**outcome):
    return Row("what", "truth", **({"passed": 0.0, "failed": 0.0, "runs": 4000} | outcome))


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (row(passed=0.062, wrong=("passed",)), "passed in 0.062, 0.05 promised"),
        (row(failed=0.01, never=("failed",)), "failed in 0.0100, never promised"),
        (row(failed=0.9, power=("failed", 0.95)), "failed in 0.900 only, 0.95 promised"),
        (row(mean_n=1101.0, oracle=1000), "1,101 requests, more than 1.1 times 1,000"),
    ],
)
def test_a_promise_that_is_not_kept_is_seen(one, words):
    assert one.broken() == [f"what, truth: {words}"]


def test_a_promise_that_is_kept_is_not():
    kept = row(passed=0.055, failed=0.94, wrong=("passed",), power=("failed", 0.945), mean_n=1100.0, oracle=1000)
    assert kept.broken() == [], "within three standard errors"


def test_the_page_has_the_tables_of_this_suite():
    page = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text("utf-8")
    tables = page.partition(BEGIN)[2].partition(END)[0]
    assert f"Seed {SEED}, {RUNS:,} repetitions" in tables
    for section in SECTIONS:
        assert f"### {section.title}\n\n{section.text}" in tables
    cheap = SECTIONS[0]
    assert "\n".join(table(cheap, cheap.run(SEED, RUNS))) in tables, "it was not written since: make simulate"


def test_a_section_has_a_stream_of_its_own():
    drawn = [Section(title, "", lambda rng, runs: [float(rng.random())]).run(1, 1) for title in ("a", "b", "a")]
    assert drawn[0] == drawn[2] != drawn[1]
