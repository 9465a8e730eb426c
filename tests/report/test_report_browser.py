"""Pages in a real Chromium: nothing is reported on its console, axe-core finds no violation, keys and print work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from meshchaos.checks.kind import Matrix, MatrixCell, MatrixRow, Verdict
from meshchaos.load.reader import read_samples
from meshchaos.report import compare_page, index_page, page
from meshchaos.run.api import judge_again
from tests.report import made

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Maker = Callable[[Path], Path]


def run_page(verdict: Verdict) -> Maker:
    def make(folder: Path) -> Path:
        return page.write(made.result(folder, verdict), made.loads())

    return make


HOSTILE = (
    "</script><script>console.log(1)</script><img src=x onerror=console.log(2)>'\"`--><svg onload=alert(3)>{{7*7}}"
)


def hostile(folder: Path) -> Path:
    """Every text that comes from elsewhere wants to be markup, and is long."""
    name = HOSTILE + "n" * 3000
    base = made.result(folder, Verdict.FAIL)
    (injection,) = made.FAULT.injections
    fault = replace(
        made.FAULT,
        kind=HOSTILE,
        edge=f"{HOSTILE} -> {name}",
        reason=HOSTILE,
        objects=(HOSTILE,),
        problem=HOSTILE,
        bypassed=(HOSTILE,),
        shown=("", HOSTILE),
        injections=(replace(injection, proxy=HOSTILE, lines=(HOSTILE,)),),
    )
    matrix = Matrix((f"{HOSTILE}.shop:9080 GET /{HOSTILE}",), (MatrixRow(name, (MatrixCell(Verdict.FAIL, HOSTILE),)),))
    found = made.finding("latency", Verdict.FAIL, threshold=0.8, unit="s")
    spec = {"name": HOSTILE, "target": f"http://{HOSTILE}/", "from": HOSTILE, "rate": 1}
    (folder / "experiment.yaml").write_text(json.dumps({"spec": {"load": [spec]}}))
    (folder / "<img src=x>.log").write_text("x")
    texts = {"reason": HOSTILE, "hypothesis": name, "experiment": name, "mesh": HOSTILE, "source": HOSTILE}
    result = replace(
        base,
        **texts,
        leftovers=(HOSTILE,),
        warnings=(name,),
        overrides=(("--set", f"spec.{HOSTILE}", HOSTILE),),
        versions={HOSTILE: HOSTILE},
        faults=(fault,),
        findings=(
            replace(found, name=name, reason=HOSTILE, evidence=(HOSTILE,)),
            made.finding("denied", Verdict.FAIL, matrix=matrix),
            made.finding("canary", Verdict.FAIL, sides=made.sides(HOSTILE, name)),
        ),
        load=(replace(base.load[0], load=HOSTILE, healthy=False, reason=HOSTILE),),
    )
    return page.write(result, made.loads())


def compared(folder: Path) -> Path:
    runs = []
    for name, verdict in (("a", Verdict.PASS), ("b", Verdict.FAIL)):
        (folder / name).mkdir()
        runs.append((made.result(folder / name, verdict, mesh=name), made.loads()))
    return compare_page.write(*runs)


def index(folder: Path) -> Path:
    for verdict in Verdict:
        (folder / verdict).mkdir()
        made.result(folder / verdict, verdict, run_id=verdict.value).write()
    return index_page.write(folder)


PAGES: dict[str, Maker] = {
    **{verdict.value: run_page(verdict) for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.INVALID)},
    "compare": compared,
    "index": index,
}


@contextmanager
def opened(browser: Browser, file: Path, scheme: Literal["dark", "light"] = "light") -> Iterator[Page]:
    """Fails for what the page says on its console, and for anything that it asks for beside itself."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1040, "height": 900})
    try:
        tab = context.new_page()
        trouble: list[str] = []
        asked: list[str] = []
        tab.on("console", lambda message: trouble.append(message.text))
        tab.on("pageerror", lambda error: trouble.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(file.as_uri())
        yield tab
        assert trouble == []
        assert asked == [file.as_uri()]
    finally:
        context.close()


def violations(tab: Page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab)
    return [f"{one['id']}: {node['html']}" for one in found.response["violations"] for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(name: str, scheme: Literal["dark", "light"], browser: Browser, tmp_path: Path) -> None:
    with opened(browser, PAGES[name](tmp_path), scheme) as tab:
        for summary in tab.locator("summary").all():
            summary.click()
        assert violations(tab) == []


def test_the_verdict_is_seen_first(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, PAGES["INVALID"](tmp_path)) as tab:
        verdict = tab.get_by_role("region", name="Verdict")
        assert "INVALID" in verdict.inner_text()
        assert "this is why it is INVALID" in verdict.inner_text()
        assert "says nothing about the mesh" in verdict.inner_text()
        box = verdict.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 300


def test_labels_of_limits_do_not_cover_each_other(browser: Browser, tmp_path: Path) -> None:
    """0.8 s and 0.85 s are a hair apart on an axis of decades."""
    with opened(browser, PAGES["FAIL"](tmp_path)) as tab:
        charts = tab.locator("svg:has(.limit-label)").all()
        assert len(charts) == 2
        for chart in charts:
            boxes = chart.locator(".limit-label").evaluate_all(
                "all => all.map(one => one.getBBox()).map(b => [b.y, b.height])"
            )
            upper, lower = sorted(boxes)
            assert upper[0] + upper[1] <= lower[0] + 1


def test_nothing_that_comes_from_elsewhere_is_markup(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, hostile(tmp_path)) as tab:
        assert tab.locator("script, img, svg[onload]").count() == 0
        assert "{{7*7}}" in tab.get_by_role("region", name="Verdict").inner_text()
        assert tab.evaluate("document.documentElement.scrollWidth") <= 1040
        box = tab.get_by_role("region", name="Verdict").bounding_box()
        assert box is not None
        assert box["y"] < 300, "the verdict is first however long a name is"


def test_details_open_by_keys(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, PAGES["FAIL"](tmp_path)) as tab:
        evidence = tab.get_by_text("two of them were slow").first
        assert not evidence.is_visible()
        for _ in range(20):
            tab.keyboard.press("Tab")
            if tab.evaluate("document.activeElement.tagName") == "SUMMARY":
                break
        tab.keyboard.press("Enter")
        assert evidence.is_visible()


def test_everything_is_printed(browser: Browser, tmp_path: Path) -> None:
    """Paper has no triangles to click: evidence, tables and YAML are on it."""
    with opened(browser, PAGES["FAIL"](tmp_path)) as tab:
        tab.emulate_media(media="print")
        assert not tab.get_by_text("The numbers behind the charts").locator("..").locator("table").is_visible()
        for text in ("two of them were slow", "a line of its log", "kind: EnvoyFilter"):
            box = tab.get_by_text(text).first.bounding_box()
            assert box is not None, text
            assert box["height"] > 0


def test_it_fits_a_narrow_screen(browser: Browser, tmp_path: Path) -> None:
    """Wide tables scroll by themselves, the page does not."""
    with opened(browser, PAGES["FAIL"](tmp_path)) as tab:
        tab.set_viewport_size({"width": 400, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= 400


def test_the_example_is_judged_and_shown_as_it_was(browser: Browser, tmp_path: Path) -> None:
    """What an older version left is read by this one."""
    folder = shutil.copytree(Path(__file__).parents[2] / "reports" / "example", tmp_path / "example")
    before = json.loads((folder / "result.json").read_text("utf-8"))
    again = judge_again(folder)
    assert again.verdict == before["verdict"] == "FAIL"
    with opened(browser, page.write(again, read_samples(folder))) as tab:
        assert tab.get_by_text("What was changed, and put back").is_visible()
        assert violations(tab) == []
