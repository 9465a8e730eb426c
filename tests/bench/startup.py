"""What the command costs before it does anything, and what the plug-in costs those who do not use it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figure import Figure, spread

RUNS = 11


def measure() -> Iterator[Figure]:
    """``meshchaos --help``, a bare Python beside it; pytest with and without the plug-in."""
    python: list[float] = []
    shown: list[float] = []
    for _ in range(RUNS):
        python.append(_wall([sys.executable, "-c", "pass"]))
        shown.append(_wall([sys.executable, "-m", "meshchaos", "--help"]))
    yield Figure("python -c pass", statistics.median(python), "s", n=RUNS, remark=spread(python))
    yield Figure("meshchaos --help", statistics.median(shown), "s", 0.25, RUNS, spread(shown))
    costs = _plugin_costs()
    yield Figure(
        "plug-in loaded and not used", statistics.median(costs) * 1000, "ms", 10, RUNS, "importing, registering"
    )


def _plugin_costs() -> list[float]:
    """Seconds that pytest spends on importing and registering the plug-in, from within pytest."""
    script = (
        "import time, importlib, pytest\n"
        "t = time.perf_counter()\n"
        "plugin = importlib.import_module('pytest_meshchaos.plugin')\n"
        "config = pytest.PytestPluginManager()\n"
        "config.register(plugin, 'meshchaos')\n"
        "print(time.perf_counter() - t)\n"
    )
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RUNS):
            done = subprocess.run(
                [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True
            )
            costs.append(float(done.stdout))
    return costs


def _wall(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
    return time.perf_counter() - started
