"""How long a mesh takes to come up, and the memory it holds."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from meshchaos.mesh.local.objects import manifests
from meshchaos.mesh.objects import Manifest
from tests.bench.figure import Figure, bookinfo, page_calls, running, spread

RUNS = 5
MANY = 50


def measure() -> Iterator[Figure]:
    """bookinfo (8 sidecars and a gateway), 50 sidecars of 10 services; the demo's memory as PSS."""
    seconds, memory = [], []
    for _ in range(RUNS):
        started = time.perf_counter()
        with running(bookinfo(), page_calls()):
            seconds.append(time.perf_counter() - started)
            memory.append(_pss(_children(os.getpid())) / 2**20)
    yield Figure("bookinfo up (8 sidecars, gateway)", statistics.median(seconds), "s", 5, RUNS, spread(seconds))
    yield Figure("bookinfo's memory (PSS)", statistics.median(memory), "MiB", 1024, RUNS, spread(memory, 4))
    many = []
    for _ in range(3):
        started = time.perf_counter()
        with running(_many(), {}):
            many.append(time.perf_counter() - started)
    yield Figure(f"{MANY} sidecars up", statistics.median(many), "s", 10, 3, spread(many))


def _many(services: int = 10) -> tuple[Manifest, ...]:
    objects: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "many", "labels": {"istio-injection": "enabled"}},
        }
    ]
    for number in range(services):
        name, labels = f"s{number}", {"app": f"s{number}"}
        place = {"name": name, "namespace": "many"}
        objects.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place})
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": place,
                "spec": {"selector": labels, "ports": [{"name": "http", "port": 8080}]},
            }
        )
        template = {
            "metadata": {"labels": labels},
            "spec": {
                "serviceAccountName": name,
                "containers": [{"name": "app", "image": "app", "ports": [{"containerPort": 8080}]}],
            },
        }
        spec = {"replicas": MANY // services, "selector": {"matchLabels": labels}, "template": template}
        objects.append({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": place, "spec": spec})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "many.json")
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        return tuple(manifests.load([file]))


def _children(pid: int) -> list[int]:
    """All descendants of a process, by /proc."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(path.name))
    found, queue = [], [pid]
    while queue:
        below = parents.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _pss(pids: list[int]) -> int:
    """Bytes, each shared page divided among those who share it."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0) * 1024
    return total
