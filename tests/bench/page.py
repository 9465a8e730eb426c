"""What a report of a million requests costs: to write, to carry about, to open in a browser."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from meshchaos.checks.kind import Verdict
from meshchaos.load.reader import read_samples
from meshchaos.report import page
from meshchaos.run.result import PhaseCount
from tests.bench import verdicts
from tests.bench.figure import Figure, spread
from tests.report import made

RUNS = 5
PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"


def measure() -> Iterator[Figure]:
    """The made-up run of ``verdicts``, everything that a page can show in it; opened in the system's Chromium."""
    with tempfile.TemporaryDirectory(prefix="meshchaos-bench-") as name:
        folder = Path(name)
        verdicts.write_samples(folder / "samples-main.bin")
        samples = read_samples(folder)
        history = verdicts.history_of(samples["main"])
        phases = tuple(PhaseCount(phase, 0, 0) for phase in history.phases)
        result = replace(made.result(folder, Verdict.FAIL), phases=phases, faults=history.faults)
        times = []
        for _ in range(RUNS):
            started = time.perf_counter()
            path = page.write(result, samples)
            times.append(time.perf_counter() - started)
        yield Figure(f"a report of {verdicts.N:,} samples", statistics.median(times), "s", None, RUNS, spread(times))
        yield Figure("its size", path.stat().st_size / 1e6, "MB", 2, 1, "one file, nothing beside it")
        opened = _opened(path)
        if opened:
            yield Figure("opened and painted in Chromium", statistics.median(opened), "s", 1, RUNS, spread(opened))


def _opened(path: Path) -> list[float]:
    """Seconds from the navigation's start to the second frame after the page was loaded, in a new context each."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return []
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for _ in range(RUNS):
            context = chromium.new_context()
            tab = context.new_page()
            tab.goto(path.as_uri())
            times.append(float(tab.evaluate(PAINTED)) / 1000)
            context.close()
        chromium.close()
    return times
