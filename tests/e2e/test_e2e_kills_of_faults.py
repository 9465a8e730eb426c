"""kill -9 of a run under every kind of fault: healing puts the mesh's objects back to the byte."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from meshchaos.run.catalog import load_kinds
from tests.e2e.stage import Stage, kept_up, stage
from tests.run.shop import wait_for

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

OWN = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stars, namespace: shop}
spec:
  hosts: [stars]
  http:
    - timeout: 2s
      route:
        - {destination: {host: stars, subset: all}, weight: 100}
        - {destination: {host: stars, subset: some}, weight: 0}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: stars, namespace: shop}
spec:
  host: stars
  trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 50}}}
  subsets: [{name: all, labels: {app: stars}}, {name: some, labels: {app: stars}}]
"""
KEY = {"kty": "oct", "kid": "1", "alg": "HS256", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}
JWKS = json.dumps(json.dumps({"keys": [KEY]}))
TOGETHER = {
    "server": (
        "delay: {to: stars, fixedDelay: 10ms, replicas: 1}",
        "timeout: {to: stars, timeout: 1s}",
        "retries: {to: stars, attempts: 1, retryOn: 5xx}",
        "connectionPool: {to: stars, http: {http1MaxPendingRequests: 100}}",
        "mtls: {workload: stars, mode: STRICT}",
        "authorization: {deny: {to: stars, methods: DELETE}}",
        f'requestAuthentication: {{workload: stars, jwtRules: [{{issuer: "https://x.example", jwks: {JWKS}}}]}}',
        "apply: {objects: [{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: x}, "
        "spec: {hosts: [x.example], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], "
        "endpoints: [{address: 127.0.0.1}]}}]}",
    ),
    "client": (
        "abort: {to: stars, httpStatus: 503, percentage: 5, at: client}",
        "outlierDetection: {to: stars, consecutive5xxErrors: 50, maxEjectionPercent: 100}",
        "scale: {workload: stars, replicas: 3}",
        "certificate: {workload: page, expired: true}",
    ),
    "routes": (
        "trafficShift: {to: stars, weights: {all: 50, some: 50}}",
        "kill: {workload: stars}",
    ),
    "partition": ("partition: {from: page, to: stars}", "controlPlane: {workload: stars, stale: true}"),
}
EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {{name: {name}}}
spec:
  load: {{target: "http://shop.example/", rate: 20, timeout: 3s}}
  phases: {{warmup: 100ms, baseline: 400ms, fault: 60s, recovery: 400ms}}
  faults:
{faults}
  expect:
    - success: 1%
"""
MOVED_BY_WRITES = ("resourceVersion", "generation", "managedFields")


@pytest.fixture(scope="module")
def up() -> Iterator[Stage]:
    with stage() as made:
        made.add_objects(OWN)
        with kept_up(made):
            yield made


def objects(up: Stage) -> dict[str, Any]:
    """What the mesh holds but its Pods, without what every write moves; and how many Pods serve, with their marks."""
    up.on_mesh(
        "import json, pathlib\n"
        "snapshot = mesh.snapshot()\n"
        "ready = {w.name: sorted(str(r.labels) for r in w.replicas if r.ready) for w in snapshot.workloads}\n"
        "marks = [o['metadata'].get('annotations') for o in snapshot.objects if o['kind'] == 'Pod']\n"
        "kept = [o for o in snapshot.objects if o['kind'] != 'Pod']\n"
        "pathlib.Path('state.json').write_text(json.dumps([kept, ready, marks]))\n"
    )
    kept, ready, marks = up.read_list("state.json")
    for one in kept:
        one["metadata"] = {key: value for key, value in one["metadata"].items() if key not in MOVED_BY_WRITES}
        one.pop("status", None)
    return {"objects": kept, "ready": ready, "marks": sorted(map(json.dumps, marks))}


def test_every_kind_of_ours_is_among_them() -> None:
    tried = {fault.partition(":")[0] for faults in TOGETHER.values() for fault in faults}
    assert tried == set(load_kinds().vocabulary.faults)


@pytest.mark.parametrize("name", TOGETHER)
def test_healed_to_the_byte(up: Stage, name: str) -> None:
    before = objects(up)
    text = EXPERIMENT.format(name=name, faults="\n".join(f"    - {fault}" for fault in TOGETHER[name]))
    up.write(text, f"{name}.chaos.yaml")
    with up.running("run", f"{name}.chaos.yaml", "--seed", "5") as run:
        run.until_said("fault for 60 s")
        during = objects(up)
        run.signal(signal.SIGKILL)
        run.end()
    assert during != before
    wait_for(lambda: not up.pids_of("-m locust"), "Locust ended with its runner", 20)
    healed = up.command("heal")
    print(healed.stdout)
    assert healed.returncode == 0, healed.stdout + healed.stderr
    wait_for(lambda: objects(up)["ready"] == before["ready"], "as many replicas serve as before", 20)
    assert objects(up) == before
    assert up.command("heal").stdout == "nothing to heal\n"
