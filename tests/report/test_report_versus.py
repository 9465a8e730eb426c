"""The canary beside its baseline: once a pair, with bounds, and what never ended where it is known to lie."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

from meshchaos.checks.kind import SideQuantile, Verdict
from meshchaos.report.versus import versus_of
from tests.report import made


def test_expectations_about_one_pair_are_one_table() -> None:
    pair = made.sides()
    findings = [made.finding("canary", Verdict.PASS, name=name, sides=pair) for name in ("errorRatio", "share")]
    findings.append(made.finding("canary", Verdict.PASS, sides=made.sides("v1", "v3"), during=("baseline", "fault")))
    first, second = versus_of([*findings, made.finding("success", Verdict.PASS)])
    assert (first.title, second.title) == ("v2 against v1, fault", "v3 against v1, baseline and fault")
    assert first.quantiles == ("p50", "p99")
    assert first.rows == (
        ("v1", "900", "90 %", "1", "0.11 % (0-0.6 %)", "10 ms", "100 ms"),
        ("v2", "100", "10 %", "3", "3 % (0.6-8.5 %)", "12 ms", "no end seen"),
    )


def test_bounds_are_drawn_around_each_and_to_the_edge_where_there_is_none() -> None:
    (pair,) = versus_of([made.finding("canary", Verdict.PASS, sides=made.sides("a & b", "v2"))])
    tree = ET.fromstring(pair.svg)
    assert "p99 of v2: no end seen" in str(tree.get("aria-label"))
    assert "p50 of a & b: 10 ms" in str(tree.get("aria-label"))
    marks = [node.get("class") for node in tree.iter() if "mark" in str(node.get("class"))]
    assert marks == ["mark base", "mark canary", "mark base"]
    base, canary, slow, endless = [node.get("d", "") for node in tree.iter() if "bounds" in str(node.get("class"))]
    assert endless.endswith("H890.0")
    assert not any(one.endswith("H890.0") for one in (base, canary, slow))


def test_where_nothing_ended_nothing_is_drawn() -> None:
    nothing = (SideQuantile(0.5, None, None, None),)
    sides = tuple(replace(side, latencies=nothing) for side in made.sides())
    (pair,) = versus_of([made.finding("canary", Verdict.FAIL, sides=sides)])
    assert pair.svg == ""
    assert pair.rows[0][-1] == "no end seen"
