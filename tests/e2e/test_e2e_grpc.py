"""gRPC through real Envoys: loads that call, stubs that answer, retries and timeouts by gRPC's own statuses; each on a
mesh where the belief holds and on one where only the policy is broken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.stage import Stage, kept_up, stage

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

QUOTES = """\
apiVersion: v1
kind: Service
metadata: {name: quotes, namespace: shop}
spec: {selector: {app: quotes}, ports: [{name: grpc-quotes, port: 9000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: quotes, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: quotes}}
  template:
    metadata: {labels: {app: quotes}}
    spec: {containers: [{name: quotes, image: quotes, ports: [{containerPort: 9000}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: quotes, namespace: shop}
spec:
  hosts: [quotes]
  http: [{route: [{destination: {host: quotes}}]}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: quotes, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [quotes.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: quotes-outside, namespace: shop}
spec:
  hosts: [quotes.example]
  gateways: [quotes]
  http: [{route: [{destination: {host: quotes, port: {number: 9000}}}]}]
"""
EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {{name: {name}}}
spec:
  load: {{target: "grpc://quotes:9000/shop.Quotes/Get", from: page, rate: 100, arrivals: uniform, timeout: 3s}}
  phases: {{warmup: 500ms, baseline: 500ms, fault: 2s, recovery: 500ms}}
  faults: [{fault}]
  expect: [{expect}]
"""
SAVED = (
    "success: 95%}, {retries: {from: page, to: quotes, recovered: 90%}}, "
    "{success: {from: page, to: quotes, atLeast: 95%}"
)
CUT = "timeout: {from: page, to: quotes, after: 200ms, tolerance: 100ms}"
ABORT = "abort: {to: quotes, grpcStatus: UNAVAILABLE, percentage: 30}"
DELAY = "delay: {to: quotes, fixedDelay: 1s, percentage: 50}"


@pytest.fixture(scope="module")
def up() -> Iterator[Stage]:
    with stage() as made:
        made.add_objects(QUOTES)
        optional = '{url: "http://stars:8000/", optional: true}'
        made.edit_config(optional, f'{optional}, "grpc://quotes:9000/shop.Quotes/Get"')
        made.write(EXPERIMENT.format(name="saved", fault=f"{{{ABORT}}}", expect=f"{{{SAVED}}}"), "saved.chaos.yaml")
        made.write(EXPERIMENT.format(name="cut", fault=f"{{{DELAY}}}", expect=f"{{{CUT}}}"), "cut.chaos.yaml")
        with kept_up(made):
            yield made


def policy(up: Stage, fields: dict[str, Any]) -> None:
    up.on_mesh(
        "found = mesh.get(Ref('VirtualService', 'shop', 'quotes'))\n"
        f"found['spec']['http'] = [dict({fields!r}, route=found['spec']['http'][0]['route'])]\n"
        "mesh.replace(found)\n"
    )


@pytest.mark.parametrize(
    ("name", "fields", "code", "verdict"),
    [
        ("saved", {"retries": {"attempts": 5, "retryOn": "unavailable,cancelled"}}, 0, "PASS"),
        ("saved", {"retries": {"attempts": 5, "retryOn": "resource-exhausted"}}, 1, "FAIL"),
        ("cut", {"timeout": "200ms"}, 0, "PASS"),
        ("cut", {"timeout": "2s"}, 1, "FAIL"),
    ],
    ids=["retried", "not that status", "timeout", "too long"],
)
def test_only_the_policy_decides(up: Stage, name: str, fields: dict[str, Any], code: int, verdict: str) -> None:
    policy(up, fields)
    up.judges(code, "run", f"{name}.chaos.yaml", "--seed", "11")
    result = up.newest()
    assert {one["verdict"] for one in result["expectations"]} == {verdict}
    (fault,) = result["faults"]
    assert fault["proof"]["verdict"] == "PASS"
    if name == "saved":
        assert 0.15 < fault["injected"]["share"] < 0.45


def test_through_the_gateway_and_from_outside(up: Stage) -> None:
    policy(up, {})
    up.write(
        EXPERIMENT.format(name="ways", fault="", expect="{success: 99%}")
        .replace("quotes:9000/shop.Quotes/Get", "quotes.example/grpc.health.v1.Health/Check")
        .replace("from: page", "from: gateway, message: {service: quotes}")
        .replace("baseline: 500ms, fault: 2s, recovery: 500ms", "observe: 4s")
        .replace("  faults: []\n", ""),
        "ways.chaos.yaml",
    )
    up.fails(0, "run", "ways.chaos.yaml")
    assert up.newest()["expectations"][0]["n"] > 350
    outside = ("--set", "spec.load.from=outside", "--set", "spec.load.target=grpc://quotes:9000/shop.Quotes/Get")
    up.fails(0, "run", "ways.chaos.yaml", *outside, "--set", "spec.load.message={}")


def test_a_stub_that_calls_in_grpc_is_a_client_of_the_edge(up: Stage) -> None:
    policy(up, {"retries": {"attempts": 0}})
    edge = "from: page, to: quotes"
    either = f"success: {{{edge}, atLeast: 90%, goodStatus: [UNAVAILABLE, OK], name: either}}"
    expect = f"{{success: {{{edge}, atLeast: 95%}}}}, {{{either}}}"
    text = EXPERIMENT.format(name="chain", fault=f"{{{ABORT}}}", expect=expect)
    text = text.replace("grpc://quotes:9000/shop.Quotes/Get", "http://shop.example/").replace(
        "from: page, rate", "rate"
    )
    up.write(text, "chain.chaos.yaml")
    up.judges(1, "run", "chain.chaos.yaml", "--seed", "11")
    found = {one["name"]: one for one in up.newest()["expectations"]}
    assert found["success page -> quotes"]["verdict"] == "FAIL"
    assert 0.5 < found["success page -> quotes"]["estimate"] < 0.9
    assert found["either"]["verdict"] == "PASS"
    assert found["either"]["estimate"] == 1.0
