"""How much of an experiment on a mesh that is up already is not traffic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from meshchaos.run.api import make_suite
from meshchaos.run.catalog import open_catalog
from tests.bench.figure import ROOT, Figure

SECONDS = 60.0
SETS = ("spec.phases={warmup: 2s, baseline: 13s, fault: 30s, recovery: 15s}",)


def measure() -> Iterator[Figure]:
    """The demo's slow-ratings, stretched to 60 s of phases; the mesh is opened before the clock starts."""
    catalog = open_catalog(config=ROOT / "meshchaos.yaml")
    (experiment,) = catalog.read([ROOT / "experiments" / "slow-ratings.chaos.yaml"], SETS)
    with TemporaryDirectory(prefix="meshchaos-bench-") as folder:
        with make_suite(catalog, [experiment], output=Path(folder), seed=1) as suite:
            suite.mesh(suite.mesh_name(experiment), Path(folder, "mesh"))
            started = time.perf_counter()
            result = suite.run_one(experiment)
            spent = time.perf_counter() - started
        traffic = sum(phase.record.end - phase.record.start for phase in result.phases)
    yield Figure(
        "of a 60 s experiment not traffic",
        100 * (spent - traffic) / spent,
        "%",
        5,
        1,
        f"{spent:.1f} s for {traffic:.1f} s of phases, {result.verdict.value}",
    )
