"""The crash contract on a real cluster: killed by SIGKILL behind a write, under every kind of fault, and healed: by
``heal``, and by nobody's hand. Nothing is left in the API, nor in a proxy.

By default a few writes of each run; ``MESHCHAOS_EVERY_CALL=1``: every write, in both ways (an hour).
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from real_cluster import Cluster, until

from meshchaos.errors import MeshGone
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.spec import ClusterSpec

pytestmark = pytest.mark.cluster
OWN_IMAGE = os.environ.get("MESHCHAOS_TEST_OWN_IMAGE")
EVERY = os.environ.get("MESHCHAOS_EVERY_CALL") == "1"
KEY = {"kty": "oct", "kid": "1", "alg": "HS256", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}
JWKS = json.dumps(json.dumps({"keys": [KEY]}))
TOGETHER = {
    "server": (
        "delay: {to: httpbin, fixedDelay: 10ms}",
        "timeout: {to: httpbin, timeout: 4s}",
        "retries: {to: httpbin, attempts: 1, retryOn: 5xx}",
        "connectionPool: {to: httpbin, http: {http1MaxPendingRequests: 100}}",
        "mtls: {workload: httpbin, mode: STRICT}",
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
_OURS = re.compile("(?<!mesh)chaos-")
"""As objects of runs are named; the namespaces of these tests end their first word so, too."""
SHORT = {"warmup": "1s", "baseline": "1s", "fault": "2s", "recovery": "1s"}


@pytest.fixture(scope="module")
def cluster(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The same, with an image for the callers that some proofs need."""
    folder = tmp_path_factory.mktemp("crash")
    config = yaml.safe_load((cluster.folder / "meshchaos.yaml").read_text("utf-8"))
    if OWN_IMAGE:
        config["meshes"]["real"]["kubernetes"]["image"] = OWN_IMAGE
    (folder / "meshchaos.yaml").write_text(yaml.safe_dump(config), "utf-8")
    return replace(cluster, folder=folder)


@pytest.mark.parametrize("name", TOGETHER)
def test_killed_behind_any_write_and_healed(cluster: Cluster, name: str, tmp_path: Path) -> None:
    before = cluster.state()
    chosen = [one for one in TOGETHER[name] if OWN_IMAGE or not one.startswith("requestAuthentication")]
    faults = f"[{', '.join(f'{{{one}}}' for one in chosen)}]"
    file = cluster.experiment(f"crash-{name}", faults, "success: 1%", **SHORT)
    code, writes, output = killed(cluster, file, 0, "watchdog", tmp_path / "writes")
    assert code in {0, 1, 3}, output  # the load is too little for a verdict, and that does not matter here
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
        code, calls, output = killed(cluster, file, number, way, tmp_path / f"{number}-{way}")
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
            assert code in {0, 1, 3}, f"{told}\n{output}"
            assert cluster.state() == before, told
        end = time.monotonic() + 30
        while left := left_in_proxies(cluster):
            assert time.monotonic() < end, f"{told}: {left[:3]}"
    assert touched > len(points) / 2


def killed(cluster: Cluster, file: Path, number: int, way: str, writes: Path) -> tuple[int, list[str], str]:
    """Exit code, writes, and what was printed, of a run that is killed behind its ``number``th; 0: never."""
    until(lambda: cluster.ready("httpbin"), "the workload is ready")
    by = (str(Path(__file__).with_name("killed.py")), str(number), way, str(writes))
    process = cluster.command("run", str(file), by=by)
    try:
        output, _ = process.communicate(timeout=180)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert writes.exists(), output
    return process.returncode, writes.read_text("utf-8").splitlines(), output


def healed_by_hand(cluster: Cluster, told: str) -> None:
    healer = cluster.command("heal", "--mesh", "real")
    output, _ = healer.communicate(timeout=120)
    assert healer.returncode == 0, f"{told}\n{output}"


def left_in_proxies(cluster: Cluster) -> list[str]:
    """What proxies' active configuration names of a run, a piece of each. A listener that was replaced is drained for
    45 s, for connections that it still has, and takes no new ones. A proxy that does not answer is named, too: one that
    is just starting, or ending, where a Pod was killed.
    """
    spec = ClusterSpec("real", cluster.api.context, (cluster.namespace,))
    found = []
    with KubernetesMesh.open(spec, cluster.folder / "looking", guarded=False) as mesh:
        for proxy in mesh.proxies():
            try:
                dump = proxy.config_dump()
            except MeshGone as error:
                found.append(str(error))
                continue
            for listener in (one for part in dump["configs"] for one in part.get("dynamic_listeners", ())):
                listener.pop("draining_state", None)
            text = json.dumps(dump)
            pieces = (text[max(0, one.start() - 200) : one.end() + 60] for one in _OURS.finditer(text))
            found += [f"{proxy.name}: {piece}" for piece in pieces]
    return found
