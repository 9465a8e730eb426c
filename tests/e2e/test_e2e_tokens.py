"""Tokens and authorizers as whole runs of the command: a right policy passes in every phase, also while something else
is down; one that opens or closes only then is found. Only probes: there is no load.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.stage import Stage, kept_up, said, stage
from tests.run.shop import CONFIG

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

ISSUER = "https://issuer.example"
AUTHORIZER = """\
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 8000}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: {name}, image: x, ports: [{{containerPort: 8000}}]}}]}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: {app}}}}}
  action: CUSTOM
  provider: {{name: {name}}}
  rules: [{{to: [{{operation: {{paths: [{path}]}}}}]}}]
"""
POLICIES = f"""\
apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data:
  mesh: |
    extensionProviders:
      - name: lenient
        envoyExtAuthzHttp: {{service: lenient.shop.svc.cluster.local, port: 8000, failOpen: true}}
      - name: severe
        envoyExtAuthzHttp: {{service: severe.shop.svc.cluster.local, port: 8000}}
---
{AUTHORIZER.format(name="lenient", app="stars", path="/books")}---
{AUTHORIZER.format(name="severe", app="page", path="/stock")}---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: page, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: page}}}}
  jwtRules: [{{issuer: "{ISSUER}", jwksUri: "{ISSUER}/keys", audiences: [shop]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: page, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: page}}}}
  rules:
    - from: [{{source: {{requestPrincipals: ["{ISSUER}/*"]}}}}]
    - from: [{{source: {{principals: [cluster.local/ns/shop/sa/stars]}}}}]
      to: [{{operation: {{paths: [/stock]}}}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: admin, namespace: istio-system}}
spec:
  selector: {{matchLabels: {{istio: ingressgateway}}}}
  action: DENY
  rules: [{{to: [{{operation: {{paths: [/admin]}}}}]}}]
"""
EXPERIMENT = f"""\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {{name: tokens}}
spec:
  hypothesis: A token is asked for, whatever is down.
  phases: {{warmup: 1s, baseline: 3s, fault: 3s, recovery: 3s}}
  faults:
    - abort: {{to: stars, httpStatus: 503}}
  expect:
    - denied:
        from: gateway
        to: page
        token:
          - none
          - garbage
          - {{issuer: "{ISSUER}", claims: {{aud: shop}}, expired: true}}
          - {{issuer: "https://stranger.example", claims: {{aud: shop}}}}
          - {{issuer: "{ISSUER}", claims: {{aud: elsewhere}}}}
          - {{issuer: "https://stranger.example", claims: {{aud: shop, iss: "{ISSUER}"}}}}
    - allowed: {{from: gateway, to: page, token: {{issuer: "{ISSUER}", claims: {{aud: shop}}}}}}
    - denied: {{from: gateway, to: page, paths: /admin, token: {{issuer: "{ISSUER}", claims: {{aud: shop}}}}}}
    - denied: {{from: page, to: stars, paths: /books}}
    - allowed: {{from: stars, to: page, paths: /stock}}
"""
FILE = "tokens.chaos.yaml"
AUTHORIZERS_DOWN = "tokens-authorizers.chaos.yaml"


@pytest.fixture(scope="module")
def up() -> Iterator[Stage]:
    with stage() as made:
        refuses = "        lenient: {stub: {errors: {share: 100%, status: 403}}}\n"
        made.edit_config(CONFIG, f'{CONFIG}{refuses}      issuers: ["{ISSUER}", "https://stranger.example"]\n')
        made.add_objects(POLICIES)
        made.write(EXPERIMENT, FILE)
        down = "    - abort: {to: lenient, httpStatus: 503}\n    - abort: {to: severe, httpStatus: 503}\n"
        made.write(EXPERIMENT.replace("    - abort: {to: stars, httpStatus: 503}\n", down), AUTHORIZERS_DOWN)
        with kept_up(made):
            yield made


def test_only_the_right_token_passes_in_every_phase(up: Stage) -> None:
    up.fails(0, "run", FILE, "--seed", "5")
    result = up.newest()
    assert [one["verdict"] for one in result["expectations"]] == ["PASS"] * 5
    denied = result["expectations"][0]
    assert denied["during"] == ["baseline", "fault", "recovery"]
    (row,) = denied["matrix"]["rows"]
    assert [cell["verdict"] for cell in row["cells"]] == ["PASS"] * 6
    assert denied["evidence"][0].startswith("the applications' own counts agree: page-")
    (folder,) = (up.folder / "reports").glob("tokens-*")
    rows = [json.loads(line) for line in (folder / "probes.jsonl").read_text("utf-8").splitlines()]
    assert {(row[2].rpartition("-")[0].split("-")[0]) for row in rows if row[0] == "hits"} == {"page", "stars"}
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_text("utf-8", errors="replace")
            assert "eyJ" not in text, path  # how every JSON object begins in base64
            assert "PRIVATE KEY" not in text, path


def test_a_policy_that_is_taken_away_under_the_fault_is_found(up: Stage) -> None:
    with up.running("run", FILE, "--set", "spec.phases.fault=6s") as run:
        run.until_said("fault for 6 s")
        up.on_mesh(
            "ref = Ref('AuthorizationPolicy', 'shop', 'page')\n"
            "found = mesh.get(ref)\n"
            "mesh.delete(ref, found['metadata']['uid'])\n"
            "del found['metadata']['uid'], found['metadata']['resourceVersion']\n"
            "open('page.json', 'w').write(__import__('json').dumps(found))\n"
        )
        try:
            assert run.end() == 1, said(run)
        finally:
            up.on_mesh("mesh.create(__import__('json').load(open('page.json')))\n")
    denied, allowed, admin, books, stock = up.newest()["expectations"]
    assert [one["verdict"] for one in (denied, allowed, admin, books, stock)] == ["FAIL", *["PASS"] * 4]
    assert "without a token under the fault: the application answered 200" in denied["reason"]
    verdicts = [cell["verdict"] for cell in denied["matrix"]["rows"][0]["cells"]]
    assert verdicts == ["FAIL", *["PASS"] * 5], "wrong tokens are still refused, by RequestAuthentication"


def test_an_authorizer_that_is_down_opens_what_fails_open_and_closes_the_rest(up: Stage) -> None:
    up.fails(1, "run", AUTHORIZERS_DOWN, "--seed", "5")
    denied, allowed, admin, books, stock = up.newest()["expectations"]
    assert [one["verdict"] for one in (denied, allowed, admin, books, stock)] == [*["PASS"] * 3, "FAIL", "FAIL"]
    assert "under the fault: the application answered 200" in books["reason"]
    assert "under the fault: 403 ext_authz_error" in stock["reason"]
    for one in (books, stock):
        assert not [line for line in one["evidence"] if "in the baseline" in line or "in recovery" in line]
