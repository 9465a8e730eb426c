"""One measured figure, and the mesh that most benchmarks run on."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from meshchaos.mesh.local.client import LocalMesh
from meshchaos.mesh.local.objects import manifests
from meshchaos.mesh.local.spec import MeshSpec, StubSpec
from meshchaos.mesh.objects import Manifest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Figure:
    """``value`` and ``goal`` in ``unit``; lower is better; no goal: a reference to compare with."""

    what: str
    value: float
    unit: str
    goal: float | None = None
    n: int = 1
    remark: str = ""

    def row(self) -> tuple[str, str, str, str, int, str]:
        """As the table shows it."""
        goal = "" if self.goal is None else f"<= {self.goal:g} {self.unit}"
        ratio = "" if self.goal is None else f"{self.value / self.goal:.2f}"
        return self.what, f"{self.value:.3g} {self.unit}", goal, ratio, self.n, self.remark

    def to_json(self) -> dict[str, Any]:
        """As bench.json holds it."""
        return asdict(self)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def spread(values: Sequence[float], digits: int = 3) -> str:
    """``1.2 to 3.4``."""
    return f"{min(values):.{digits}g} to {max(values):.{digits}g}"


def bookinfo() -> tuple[Manifest, ...]:
    """The demo's objects."""
    return tuple(manifests.load([ROOT / "experiments" / "bookinfo"]))


def page_calls() -> dict[str, StubSpec]:
    """The demo's stubs without their latencies."""
    stars = ({"url": "http://ratings:9080/ratings/0", "timeout": None, "optional": True, "method": "GET"},)
    page = tuple(
        {"url": url, "timeout": None, "optional": False, "method": "GET"}
        for url in ("http://details:9080/details/0", "http://reviews:9080/reviews/0")
    )
    return {"productpage-v1": StubSpec(page), "reviews-v2": StubSpec(stars), "reviews-v3": StubSpec(stars)}


@contextmanager
def running(objects: tuple[Manifest, ...], workloads: dict[str, StubSpec]) -> Iterator[LocalMesh]:
    """A local mesh of its own, ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="meshchaos-bench-") as logs:
        spec = MeshSpec("bench", str(ROOT / "meshchaos.yaml"), str(ROOT), logs, objects, workloads)
        mesh = LocalMesh.start(spec)
        try:
            yield mesh
        finally:
            mesh.close()
