"""``make cluster-bench``: how long a fault takes on a real cluster, as felt by who sends 200 requests a second.

Each run of the command has a fault phase of 20 s; beside it a prober of its own, on the same clock, asks the gateway.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.spec import ClusterSpec
from tests.bench.figure import Figure, spread
from tests.cluster.real_cluster import Cluster, opened

RUNS = int(os.environ.get("MESHCHAOS_BENCH_RUNS", "10"))
RATE = 200
FAULT = 20.0
KINDS = {
    "VirtualService": "abort: {to: httpbin, httpStatus: 418, at: client}",
    "EnvoyFilter": "abort: {to: httpbin, httpStatus: 418, at: server}",
}
"""A status that nobody else answers."""


class Prober(threading.Thread):
    """200 requests a second, one after another on one connection; what it was answered and when (epoch seconds)."""

    def __init__(self, address: str, host: str) -> None:
        super().__init__(daemon=True)
        self.answers: list[tuple[float, int]] = []
        self._address = address
        self._host = host
        self._ending = threading.Event()

    def run(self) -> None:
        host, _, port = self._address.partition(":")
        connection = http.client.HTTPConnection(host, int(port or 80), timeout=5)
        due = time.monotonic()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1 / RATE, time.monotonic() - 1)
            try:
                connection.request("GET", "/status/200", headers={"Host": self._host})
                answer = connection.getresponse()
                answer.read()
                self.answers.append((time.time(), answer.status))
            except (OSError, http.client.HTTPException):
                connection.close()
                self.answers.append((time.time(), 0))

    def end(self) -> None:
        self._ending.set()
        self.join(10)


@dataclass(frozen=True, slots=True)
class Run:
    """Of one run, in seconds: from the API's answer to felt and to confirmed, from the end of the baseline to felt, and
    what the fault phase took beyond its 20 s; the most memory of the client, MiB.
    """

    felt: float
    live: float
    first: float
    beyond: float
    memory: float


def measure(cluster: Cluster, address: str) -> Iterator[Figure]:
    for kind, fault in KINDS.items():
        runs = [_run(cluster, address, f"bench-{kind.lower()}-{number}", fault) for number in range(RUNS)]
        felt, live = [run.felt * 1000 for run in runs], [run.live * 1000 for run in runs]
        yield Figure(f"{kind}: API's answer -> felt", median(felt), "ms", None, RUNS, spread(felt))
        ratio = [run.live / run.felt for run in runs]
        yield Figure(f"{kind}: API's answer -> confirmed live", median(live), "ms", None, RUNS, spread(live))
        yield Figure(f"{kind}: confirmed over felt", median(ratio), "x", 1.2, RUNS, spread(ratio))
        first, beyond = [run.first for run in runs], [run.beyond for run in runs]
        yield Figure(f"{kind}: decision -> first fault felt", median(first), "s", 0.6, RUNS, spread(first))
        yield Figure(f"{kind}: a fault phase of 20 s takes more", median(beyond), "s", 1.0, RUNS, spread(beyond))
        memory = [run.memory for run in runs]
        yield Figure(f"{kind}: memory of the client without Locust", median(memory), "MiB", 150, RUNS, spread(memory))


def _run(cluster: Cluster, address: str, name: str, fault: str) -> Run:
    phases = {"warmup": "1s", "baseline": "2s", "fault": f"{FAULT:g}s", "recovery": "2s"}
    file, told = cluster.experiment(name, fault, "success: 1%", **phases), cluster.folder / f"{name}.json"
    prober = Prober(address, f"{cluster.namespace}.example")
    prober.start()
    memory = 0.0
    try:
        with (cluster.folder / f"{name}.log").open("w") as log:
            process = cluster.command("run", str(file), "--json", str(told), to=log)
            deadline = time.monotonic() + 180
            while process.poll() is None and time.monotonic() < deadline:
                memory = max(memory, _peak(process.pid))
                time.sleep(0.1)
            process.kill()
            process.wait()
    finally:
        prober.end()
    (result,) = json.loads(told.read_text("utf-8"))["runs"]
    (found,) = result["faults"]
    applied, live = _seconds(found["appliedAt"]), _seconds(found["liveAt"])
    ends = {phase["name"]: (_seconds(phase["start"]), _seconds(phase["end"])) for phase in result["phases"]}
    baseline, recovery = ends["baseline"][1], ends["recovery"][0]
    felt = next(at for at, status in prober.answers if status == 418 and at >= baseline)
    return Run(felt - applied, live - applied, felt - baseline, recovery - baseline - FAULT, memory)


def _peak(pid: int) -> float:
    """MiB; 0 where the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def _seconds(text: Any) -> float:
    return datetime.fromisoformat(text).timestamp()


def main() -> int:
    context = os.environ.get("MESHCHAOS_TEST_CONTEXT")
    if not context:
        print("MESHCHAOS_TEST_CONTEXT: a context of the kubeconfig", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="meshchaos-bench-") as folder, opened(context, Path(folder)) as cluster:
        figures = list(measure(cluster, _gateway(cluster)))
    header = ("what", "measured", "goal", "of the goal", "n", "remark")
    print(tabulate([figure.row() for figure in figures], headers=header, colalign=("left", "right", "right", "right")))
    return 0


def _gateway(cluster: Cluster) -> str:
    """Where this machine reaches it."""
    given = os.environ.get("MESHCHAOS_TEST_GATEWAY")
    spec = ClusterSpec("real", cluster.api.context, (cluster.namespace,), gateway_address=given)
    with KubernetesMesh.open(spec, cluster.folder / "looking", guarded=False) as mesh:
        return mesh.entry("gateway", f"http://{cluster.namespace}.example/", cluster.namespace).address


if __name__ == "__main__":
    sys.exit(main())
