"""The crash contract on a real cluster: killed by SIGKILL behind a write, under every kind of fault, and healed: by
``heal``, and by nobody's hand. Nothing is left in the API, nor in a proxy.

By default a few writes of each run; ``MESHCHAOS_EVERY_CALL=1``: every write, in both ways (an hour).
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from real_cluster import Cluster, until

from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.spec import ClusterSpec

pytestmark = pytest.mark.cluster
EVERY = os.environ.get("MESHCHAOS_EVERY_CALL") == "1"
KEY = {"kty": "oct", "kid": "1", "alg": "HS256", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}
JWKS = json.dumps(json.dumps({"keys": [KEY]}))
TOGETHER = {
    "server": (
        "delay: {to: httpbin, fixedDelay: 10ms}",
        "timeout: {to: httpbin, timeout: 4s}",
        "retries: {to: httpbin, attempts: 1, retryOn: 5xx}",
        "connectionPool: {to: httpbin, http: {http1MaxPendingRequests: 100}}",
        "mtls: {workload: httpbin, mode: PERMISSIVE}",
        "authorization: {deny: {to: httpbin, methods: DELETE}}",
        f'requestAuthentication: {{workload: httpbin, jwtRules: [{{issuer: "https://x.example", jwks: {JWKS}}}]}}',
        "apply: {objects: [{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: x}, "
        "spec: {hosts: [x.example], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], "
        "endpoints: [{address: 127.0.0.1}]}}]}",
    ),
    "client": (
        "abort: {to: httpbin, httpStatus: 503, percentage: 5, at: client}",
        "outlierDetection: {to: httpbin, consecutive5xxErrors: 50, maxEjectionPercent: 100}",
        "scale: {workload: httpbin, replicas: 2}",
    ),
    "routes": (
        "trafficShift: {to: httpbin, weights: {all: 50, some: 50}}",
        "kill: {workload: httpbin}",
    ),
    "partition": ("partition: {from: sleeper, to: httpbin}",),
}
"""Every kind of fault that a cluster takes; those that can be live together, together."""
SHORT = {"warmup": "1s", "baseline": "1s", "fault": "2s", "recovery": "1s"}


@pytest.mark.parametrize("name", TOGETHER)
def test_killed_behind_any_write_and_healed(cluster: Cluster, name: str, tmp_path: Path) -> None:
    before = cluster.state()
    faults = f"[{', '.join(f'{{{one}}}' for one in TOGETHER[name])}]"
    file = cluster.experiment(f"crash-{name}", faults, "success: 1%", **SHORT)
    code, writes = killed(cluster, file, 0, "watchdog", tmp_path / "writes")
    assert code in {0, 1, 3}  # the load is too little for a verdict, and that does not matter here
    assert len(writes) > 10
    assert cluster.state() == before
    ways = ("watchdog", "alone")
    if EVERY:
        points = [(number, way) for number in range(1, len(writes) + 1) for way in ways]
    else:
        step = max(1, len(writes) // 4)
        points = [(number, ways[index % 2]) for index, number in enumerate(range(2, len(writes) + 1, step))]
    touched = 0
    for number, way in points:
        code, calls = killed(cluster, file, number, way, tmp_path / f"{number}-{way}")
        told = f"write {number} of {len(writes)} ({calls[-1]}), {way}"
        print(told)
        if code == -signal.SIGKILL:
            touched += cluster.state() != before
            if way == "alone":
                healed_by_hand(cluster, told)
                assert cluster.state() == before, told
            else:
                until(lambda: cluster.state() == before, f"everything is put back after {told}", 120)
        else:  # renewals go by time, so there may have been fewer
            assert code in {0, 1, 3}, told
            assert cluster.state() == before, told
        assert left_in_proxies(cluster) == [], told
    assert touched > len(points) / 2


def killed(cluster: Cluster, file: Path, number: int, way: str, writes: Path) -> tuple[int, list[str]]:
    """Exit code and writes of a run that is killed behind its ``number``th; 0: never."""
    by = (str(Path(__file__).with_name("killed.py")), str(number), way, str(writes))
    process = cluster.command("run", str(file), by=by)
    try:
        output, _ = process.communicate(timeout=180)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert writes.exists(), output
    return process.returncode, writes.read_text("utf-8").splitlines()


def healed_by_hand(cluster: Cluster, told: str) -> None:
    healer = cluster.command("heal", "--mesh", "real")
    output, _ = healer.communicate(timeout=120)
    assert healer.returncode == 0, f"{told}\n{output}"


def left_in_proxies(cluster: Cluster) -> list[str]:
    """Proxies whose active configuration names something of a run."""
    spec = ClusterSpec("real", cluster.api.context, (cluster.namespace,))
    with KubernetesMesh.open(spec, cluster.folder / "looking", guarded=False) as mesh:
        return [proxy.name for proxy in mesh.proxies() if "chaos-" in json.dumps(proxy.config_dump())]
