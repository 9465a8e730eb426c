"""A real Prometheus scrapes the local mesh, and expectations are judged by what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.run.prometheus_server import MISSING, is_there, prometheus, scraped
from tests.run.shop import CONFIG, Shop, wait_for

pytestmark = [pytest.mark.envoy, pytest.mark.e2e, pytest.mark.skipif(not is_there(), reason=MISSING)]

EXPERIMENT = """
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: no-stars}
spec:
  load: {target: "http://shop.example/", rate: 60, arrivals: uniform, timeout: 5s}
  phases: {warmup: 1s, baseline: 3s, fault: 5s, recovery: 2s}
  faults:
    - abort: {to: stars, httpStatus: 503}
  expect:
    - success: 90%
    - prometheus: {name: they fail, query: &failures 'sum by (pod) (rate(istio_requests_total{
        reporter="destination", destination_service="stars.shop.svc.cluster.local", response_code="503",
        source_workload="page", connection_security_policy="mutual_tls"}[$phase]))', atLeast: 40,
        atMost: 80, settle: 1s}
    - prometheus: {name: few fail, query: *failures, atMost: 5, settle: 1s}
    - prometheus: {name: none of those, query: 'istio_requests_total{response_code="418"}', atMost: 5, settle: 0s}
    - prometheus: {name: no query, query: 'rate(istio_requests_total', atMost: 5, settle: 0s}
    - alert: {name: StarsGone, labels: {destination_service_name: stars}, within: 5s, settle: 1s}
    - alert: {name: PageGone, never: true, settle: 1s}
    - alert: {name: StarsGone, never: true, settle: 1s}
    - alert: {name: Nobodys, never: true, settle: 1s}
"""


def test_expectations_by_a_real_prometheus(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    assert shop.command("mesh", "up").returncode == 0
    try:
        with prometheus(tmp_path) as port:
            (tmp_path / "meshchaos.yaml").write_text(f'{CONFIG}    prometheus: {{url: "http://127.0.0.1:{port}"}}\n')
            shop.write(EXPERIMENT)
            wait_for(lambda: scraped(port), "all proxies are scraped")
            assert "/stats/prometheus (page-" in shop.command("mesh", "status").stdout
            done = shop.command("run", "no-stars.chaos.yaml", "--json", "all.json")
    finally:
        shop.command("mesh", "down")
    result = shop.result()
    verdicts = {one["name"]: (one["verdict"], one["reason"]) for one in result["expectations"]}
    assert {name: verdict for name, (verdict, _) in verdicts.items()} == {
        "success": "PASS",
        "they fail": "PASS",
        "few fail": "FAIL",
        "none of those": "INVALID",
        "no query": "INVALID",
        "alert StarsGone destination_service_name=stars": "PASS",
        "alert PageGone never": "PASS",
        "alert StarsGone never": "FAIL",
        "alert Nobodys never": "INVALID",
    }, (verdicts, done.stdout + done.stderr)
    assert "found no series" in verdicts["none of those"][1]
    assert "parse error" in verdicts["no query"][1]
    assert "no alerting rule Nobodys" in verdicts["alert Nobodys never"][1]
    assert done.returncode == 1
    (folder,) = (path.parent for path in (tmp_path / "reports").glob("*/result.json"))
    again = shop.command("report", str(folder))
    assert again.returncode == 1, again.stderr
    assert shop.result()["expectations"] == result["expectations"], "judged anew, with no Prometheus and no mesh"
