"""Pass and fail where the truth is known: a policy hides the fault or it does not, and only that is changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stage import FILE, Stage, kept_up, stage

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {{name: {name}}}
spec:
  hypothesis: The policy of the client hides what happens at the server.
  load: {{target: "{target}", from: {source}, rate: 150, arrivals: uniform, timeout: 3s}}
  phases: {{warmup: 300ms, baseline: 500ms, fault: 2s, recovery: 300ms}}
  faults:
    - {fault}
  expect:
    - {expect}
"""
FLAKY = {
    "name": "flaky",
    "target": "http://stars:8000/",
    "source": "page",
    "fault": "abort: {to: stars, httpStatus: 503, percentage: 30}",
    "expect": "success: 90%",
}
SLOW = {
    "name": "slow",
    "target": "http://shop.example/",
    "source": "gateway",
    "fault": "delay: {to: stars, fixedDelay: 1s}",
    "expect": "latency: {p90: 600ms}",
}
POLICY = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stars, namespace: shop}
spec:
  hosts: [stars]
  http: [{route: [{destination: {host: stars}}]}]
"""


@pytest.fixture(scope="module")
def up() -> Iterator[Stage]:
    with stage() as made:
        made.add_objects(POLICY)
        for one in (FLAKY, SLOW):
            made.write(EXPERIMENT.format(**one), f"{one['name']}.chaos.yaml")
        with kept_up(made):
            yield made


@pytest.mark.parametrize(
    ("name", "policy", "code", "verdict"),
    [
        ("flaky", {"retries": {"attempts": 5, "retryOn": "5xx"}}, 0, "PASS"),
        ("flaky", {"retries": {"attempts": 0}}, 1, "FAIL"),
        ("slow", {"timeout": "200ms", "retries": {"attempts": 0}}, 0, "PASS"),
        ("slow", {"retries": {"attempts": 0}}, 1, "FAIL"),
    ],
    ids=["retries", "no retries", "timeout", "no timeout"],
)
def test_only_the_policy_decides(up: Stage, name: str, policy: dict[str, object], code: int, verdict: str) -> None:
    up.on_mesh(
        "found = mesh.get(Ref('VirtualService', 'shop', 'stars'))\n"
        f"found['spec']['http'] = [dict({policy!r}, route=found['spec']['http'][0]['route'])]\n"
        "mesh.replace(found)\n"
    )
    up.fails(code, "run", f"{name}.chaos.yaml", "--seed", "11")
    result = up.newest()
    assert result["verdict"] == verdict
    (found,) = result["expectations"]
    assert found["verdict"] == verdict
    low, high = found["interval"]
    assert low <= found["estimate"] <= high
    (fault,) = result["faults"]
    assert fault["proof"]["verdict"] == "PASS"
    if name == "flaky":
        assert 0.15 < fault["injected"]["share"] < 0.45
        if verdict == "FAIL":
            assert abs((1 - found["estimate"]) - fault["injected"]["share"]) < 0.05, "what is injected is what is seen"


def test_a_fault_that_meets_nobody_is_invalid(shop: Stage) -> None:
    """The page calls no stars."""
    shop.edit_config('{calls: [{url: "http://stars:8000/", optional: true}]}', "{}")
    shop.fails(3, "run", FILE)
    result = shop.result()
    assert result["verdict"] == "INVALID"
    assert "no request came to " in result["reason"]
    assert result["expectations"][0]["verdict"] == "PASS", "which is why the expectation alone says nothing"
    assert result["faults"][0]["injected"]["count"] == 0
