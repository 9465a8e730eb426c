"""Faults that are no delay and no abort, in whole runs on real Envoys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stage import Stage, kept_up, stage

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {{name: {name}}}
spec:
  hypothesis: The page bears it.
  load: {{target: "http://shop.example/", rate: 50, arrivals: uniform, timeout: 3s}}
  phases: {{warmup: 200ms, baseline: 500ms, fault: {phase}, recovery: 500ms}}
  faults:
{faults}
  expect:
    - success: {success}
"""


@pytest.fixture(scope="module")
def up() -> Iterator[Stage]:
    with stage() as made, kept_up(made):
        yield made


def run(up: Stage, code: int, name: str, *faults: str, phase: str = "2s", success: str = "80%") -> list[dict]:  # type: ignore[type-arg]
    listed = "\n".join(f"    - {fault}" for fault in faults)
    text = EXPERIMENT.format(name=name, phase=phase, success=success, faults=listed)
    up.write(text, f"{name}.chaos.yaml")
    up.fails(code, "run", f"{name}.chaos.yaml", "--seed", "5")
    result = up.newest()
    assert result["healed"] is True
    faults_of: list[dict] = result["faults"]  # type: ignore[type-arg]
    return faults_of


@pytest.mark.parametrize("what", ["pod", "app", "proxy"])
def test_a_replica_is_killed_and_the_run_waits_until_it_is_back(up: Stage, what: str) -> None:
    (kill,) = run(up, 0, f"kill-{what}", f"kill: {{workload: stars, what: {what}}}")
    assert (kill["proof"]["by"], kill["proof"]["verdict"]) == ("killed", "PASS")
    assert "1 replica of stars killed, each seen to end; 2 were ready before, and 1 when" in kill["proof"]["reason"]
    assert kill["goneAt"] > kill["removedAt"]
    assert kill["objects"] == []


def test_kills_come_again(up: Stage) -> None:
    (kill,) = run(up, 0, "again", "kill: {workload: stars, every: 2s}", phase="5s")
    assert kill["proof"]["reason"].startswith("3 replicas of stars killed")
    assert len({line for line in kill["proof"]["evidence"] if line.startswith("killed: ")}) == 3


def test_a_gateway_is_killed_and_comes_back_where_its_clients_know_it(up: Stage) -> None:
    """Down for 3 of 5 s: what comes and goes with the fault is no cluster of failures."""
    name = "kill: {workload: istio-ingressgateway.istio-system}"
    (kill,) = run(up, 0, "gateway", name, phase="5s", success="10%")
    assert "1 were ready before, and 0 when" in kill["proof"]["reason"]


def test_a_page_without_its_stars(up: Stage) -> None:
    (cut,) = run(up, 0, "partition", "partition: {from: page, to: stars}")
    assert (cut["proof"]["by"], cut["proof"]["verdict"]) == ("partition", "PASS")
    assert "failed to connect" in cut["proof"]["reason"]
    assert "none arrived" in cut["proof"]["reason"]
    assert {one.partition(" ")[0] for one in cut["objects"]} == {"ServiceEntry", "VirtualService"}


def test_the_control_plane_fails_two_workloads(up: Stage) -> None:
    expired, stale = run(up, 0, "control", "certificate: {workload: stars}", "controlPlane: {workload: page}")
    assert (expired["proof"]["by"], expired["proof"]["verdict"]) == ("config", "PASS")
    assert "got status 200 before and status 503 during it" in expired["proof"]["reason"]
    assert (stale["proof"]["by"], stale["proof"]["verdict"]) == ("stale", "PASS")


def test_policies_changed_together(up: Stage) -> None:
    found = run(
        up,
        0,
        "policies",
        "timeout: {to: stars, timeout: 1s}",
        "retries: {to: stars, attempts: 1, retryOn: 5xx}",
        "connectionPool: {to: stars, http: {http1MaxPendingRequests: 100}}",
        "mtls: {workload: stars, mode: STRICT}",
        "authorization: {deny: {to: stars, methods: DELETE}}",
        "requestAuthentication: {workload: stars, jwtRules: {issuer: 'http://127.0.0.1:9/'}}",
    )
    assert [fault["proof"]["verdict"] for fault in found] == ["PASS"] * 6
    assert {fault["proof"]["by"] for fault in found} == {"config"}


def test_what_cannot_be_is_said_before_anything_is_done(up: Stage) -> None:
    for fault, words in (
        ("kill: {workload: stars, replicas: 3}", "replicas: 3 of stars were asked for, and 2 are ready"),
        ("kill: {workload: star}", "did you mean 'stars'"),
        ("kill: {workload: stars, what: node}", "what"),
        ("mtls: {workload: stars, mode: PERMISSIVE}", "the mode is PERMISSIVE already"),
        ("certificate: {workload: stars, expired: false}", "expired"),
        ("controlPlane: {workload: star}", "did you mean 'stars'"),
        ("partition: {from: pgae, to: stars}", "did you mean 'page'?"),
        ("partition: {from: page, to: stars, how: drop}", "how"),
        ("requestAuthentication: {workload: stars, jwtRules: {isuer: me}}", "did you mean 'issuer'?"),
        ("trafficShift: {to: stars, weights: {v9: 100}}", "v9"),
        ("connectionPool: {to: stars, http: {maxFoo: 1}}", "connectionPool.http.maxFoo: unknown field"),
        ("retries: {to: stars, attempts: 2, retryOn: never}", "never"),
    ):
        name = "wrong"
        text = EXPERIMENT.format(name=name, phase="2s", success="80%", faults=f"    - {fault}")
        up.write(text, f"{name}.chaos.yaml")
        line = up.one_line(2, "run", f"{name}.chaos.yaml")
        assert "wrong.chaos.yaml:9" in line, line
        assert words in line, line
