"""A real Prometheus scrapes the local mesh, and expectations are judged by what it says."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.run.shop import CONFIG, Shop, wait_for

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.e2e,
    pytest.mark.skipif(
        shutil.which("prometheus") is None,
        reason="there is no prometheus on this machine (Debian: apt-get install prometheus)",
    ),
]

SCRAPES = """
global: {scrape_interval: 500ms, evaluation_interval: 500ms}
rule_files: [rules.yml]
scrape_configs:
  - job_name: mesh
    metrics_path: /stats/prometheus
    file_sd_configs: [{files: [reports/mesh-shop/prometheus-targets.json]}]
"""

RULES = """
groups:
  - name: shop
    rules:
      - alert: StarsGone
        expr: sum by (destination_service_name)
          (rate(istio_requests_total{reporter="source",destination_service_name="stars",response_code="503"}[3s])) > 5
      - alert: PageGone
        expr: sum(rate(istio_requests_total{destination_service_name="page",response_code=~"5.."}[3s])) > 5
"""

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


@contextmanager
def prometheus(folder: Path) -> Iterator[int]:
    """One that scrapes the shop's mesh; its port."""
    (folder / "scrapes.yml").write_text(SCRAPES, "utf-8")
    (folder / "rules.yml").write_text(RULES, "utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                *("prometheus", "--config.file=scrapes.yml", "--storage.tsdb.path=data"),
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        yield port
    finally:
        process.kill()
        process.wait(30)


def scraped(port: int) -> bool:
    """Whether it has metrics of every proxy: the page's, the stars' and the gateway's."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/v1/query?query=count(up==1)")
        return b'"3"' in connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()


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
