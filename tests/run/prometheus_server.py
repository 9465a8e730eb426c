"""A real Prometheus that scrapes the shop's mesh."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MISSING = "there is no prometheus on this machine (Debian: apt-get install prometheus)"

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


def is_there() -> bool:
    return shutil.which("prometheus") is not None


@contextmanager
def prometheus(folder: Path) -> Iterator[int]:
    """One that scrapes the mesh whose working folder this is; its port."""
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


def scraped(port: int, proxies: int = 3) -> bool:
    """Whether it has metrics of so many proxies."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/v1/query?query=count(up==1)")
        return f'"{proxies}"'.encode() in connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
