"""Expectations about an edge, each on a mesh where it truly holds and on one where it is truly broken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from stage import Stage, said, stage

pytestmark = pytest.mark.e2e

HEAD = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {{name: {name}}}
spec:
  load: {{target: "http://shop.example/", rate: {rate}, arrivals: uniform, timeout: 3s}}
  phases: {{warmup: 500ms, baseline: 500ms, fault: {fault}, recovery: {recovery}}}
  faults: [{faults}]
  expect: [{expect}]
"""

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: stars, namespace: shop}}
spec:
  hosts: [stars]
  http: [{{route: [{{destination: {{host: stars}}}}], {policy}}}]
"""
RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: stars, namespace: shop}}
spec: {{host: stars, trafficPolicy: {{{policy}}}}}
"""
SAVED = "retries: {from: page, to: stars, recovered: 90%, amplification: 2}"
CUT = "timeout: {from: page, to: stars, after: 200ms, tolerance: 100ms}"
SHED = "circuitBreaker: {from: page, to: stars, inFlight: 3, admitted: {success: 90%, latency: {p90: 1s}}}"
OUT = "ejection: {from: page, to: stars, within: 2500ms, returns: 4s}"

COMPARED = (
    "canary: {to: stars, from: page, baseline: stars, canary: stars-v2, errorRatio: 2, negligible: 10%, "
    "errorBudget: 12%}"
)
SECOND = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: stars-v2, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: stars, version: v2}}
  template:
    metadata: {labels: {app: stars, version: v2}}
    spec: {serviceAccountName: stars, containers: [{name: stars, image: stars, ports: [{containerPort: 8000}]}]}
"""

SEEN = (
    "success: {from: page, to: stars, atLeast: 90%}}, {latency: {to: stars, from: page, p80: 500ms}}, "
    "{recovery: {within: 300ms}"
)
CANARY = {"rate": 80, "fault": "3s"}

CASES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "retries hold": (
        ROUTE.format(policy="retries: {attempts: 5, retryOn: 5xx}"),
        "abort: {to: stars, httpStatus: 503, percentage: 25}",
        SAVED,
        {"rate": 100, "fault": "2500ms"},
    ),
    "retries broken": (
        ROUTE.format(policy="retries: {attempts: 0}"),
        "abort: {to: stars, httpStatus: 503, percentage: 25}",
        SAVED,
        {"rate": 100, "fault": "2500ms"},
    ),
    "timeout hold": (
        ROUTE.format(policy="timeout: 200ms"),
        "delay: {to: stars, fixedDelay: 1s, percentage: 50}",
        CUT,
        {},
    ),
    "timeout broken": (
        ROUTE.format(policy="timeout: 2s"),
        "delay: {to: stars, fixedDelay: 1s, percentage: 50}",
        CUT,
        {},
    ),
    "circuitBreaker hold": (
        RULE.format(policy="connectionPool: {http: {http2MaxRequests: 3, http1MaxPendingRequests: 1}}"),
        "delay: {to: stars, fixedDelay: 100ms}",
        SHED,
        {"rate": 80, "fault": "3s"},
    ),
    "circuitBreaker broken": (
        RULE.format(policy="connectionPool: {http: {http2MaxRequests: 300}}"),
        "delay: {to: stars, fixedDelay: 100ms}",
        SHED,
        {"rate": 80, "fault": "3s"},
    ),
    "success hold": (
        ROUTE.format(policy="retries: {attempts: 5, retryOn: 5xx}"),
        "abort: {to: stars, httpStatus: 503, percentage: 10}",
        SEEN,
        {"rate": 60, "recovery": "1500ms"},
    ),
    "success broken": (
        ROUTE.format(policy="retries: {attempts: 0}"),
        "abort: {to: stars, httpStatus: 503, percentage: 50}",
        SEEN,
        {"rate": 60, "recovery": "1500ms"},
    ),
    "canary hold": (SECOND, "delay: {to: stars, workload: stars-v2, fixedDelay: 1ms}", COMPARED, CANARY),
    "canary broken": (SECOND, "abort: {to: stars, workload: stars-v2, httpStatus: 500}", COMPARED, CANARY),
    "ejection hold": (
        RULE.format(
            policy="outlierDetection: {consecutive5xxErrors: 3, interval: 500ms, baseEjectionTime: 3s, "
            "maxEjectionPercent: 100}"
        ),
        "abort: {to: stars, httpStatus: 503, replicas: 1}",
        OUT,
        {"fault": "3s", "recovery": "4500ms"},
    ),
    "ejection broken": (
        RULE.format(
            policy="outlierDetection: {consecutive5xxErrors: 3, interval: 500ms, baseEjectionTime: 3s, "
            "maxEjectionPercent: 10}"
        ),
        "abort: {to: stars, httpStatus: 503, replicas: 1}",
        OUT,
        {"fault": "3s", "recovery": "4500ms"},
    ),
}


@pytest.fixture
def shop() -> Iterator[Stage]:
    with stage() as made:
        yield made


@pytest.mark.parametrize("case", CASES)
def test_an_edge_is_judged_right(shop: Stage, case: str) -> None:
    objects, faults, expect, more = CASES[case]
    shop.add_objects(objects)
    name = case.replace(" ", "-").lower()
    values = {"rate": 60, "fault": "2s", "recovery": "500ms", **more}
    shop.write(HEAD.format(name=name, faults=f"{{{faults}}}", expect=f"{{{expect}}}", **values), "edge.chaos.yaml")
    with shop.running("run", "edge.chaos.yaml") as run:
        code = run.end()
    result = shop.newest()
    told = [f"{one['verdict']} {one['name']}: {one['reason']}" for one in result["expectations"]]
    print("\n".join([*told, *(line for one in result["expectations"] for line in one["evidence"])]))
    if case.endswith("hold"):
        assert (result["verdict"], code) == ("PASS", 0), said(run)
    else:
        assert (result["verdict"], code) == ("FAIL", 1), said(run)
    (folder,) = (path for path in (shop.folder / "reports").iterdir() if path.is_dir())
    again = shop.command("report", str(folder))
    assert again.returncode == code, again.stdout + again.stderr


def test_an_edge_that_is_broken_before_the_fault_is_known_then(shop: Stage) -> None:
    shop.add_objects(ROUTE.format(policy="fault: {abort: {httpStatus: 503, percentage: {value: 100}}}"))
    faults, expect = "{delay: {to: stars, fixedDelay: 10ms}}", "{success: {from: page, to: stars, atLeast: 90%}}"
    shop.write(
        HEAD.format(name="broken", faults=faults, expect=expect, rate=60, fault="2s", recovery="500ms"),
        "edge.chaos.yaml",
    )
    with shop.running("run", "edge.chaos.yaml") as run:
        code = run.end()
    result = shop.newest()
    assert (result["verdict"], code) == ("INVALID", 3), said(run)
    assert result["reason"].startswith("steady state: success page -> stars: before any fault: 0 % of"), result[
        "reason"
    ]
    assert result["reason"].endswith("no fault was applied")
    assert [one["appliedAt"] for one in result["faults"]] in ([], [None])
