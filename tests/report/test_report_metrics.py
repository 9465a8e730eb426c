"""A run as Prometheus metrics: what a scrape finds while it goes on."""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from meshchaos.checks.kind import Verdict
from meshchaos.errors import UserError
from meshchaos.report.metrics import Metrics, served
from meshchaos.run import events
from tests.report import made
from tests.report.test_report_terminal import PROGRESS

STARTED = events.RunStarted(1.0, 'slow "ones"\\', "0badcafe", "shop", 7, "", "", {}, (), 0.95)
DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana-dashboard.json"


def value(text: str, name: str, **labels: str) -> float | None:
    wanted = [f'{key}="{text}"' for key, text in labels.items()]
    for line in text.splitlines():
        if line.startswith(f"{name}{{") and all(one in line for one in wanted):
            return float(line.rsplit(" ", 1)[1])
    return None


def test_a_fault_is_live_from_seen_live_to_seen_gone() -> None:
    metrics = Metrics()
    fault = {"fault": "delay", "edge": "page -> ratings:9080"}
    metrics(STARTED)
    metrics(events.FaultChanged(2.0, "applied", made.FAULT))
    assert value(metrics.text(), "meshchaos_fault_live", **fault) is None
    metrics(events.FaultChanged(3.0, "live", made.FAULT))
    assert value(metrics.text(), "meshchaos_fault_live", **fault) == 1
    metrics(events.FaultChanged(4.0, "removed", made.FAULT))
    assert value(metrics.text(), "meshchaos_fault_live", **fault) == 1
    metrics(events.FaultChanged(5.0, "gone", made.FAULT))
    metrics(events.Evidence(5.0, made.FAULT))
    assert value(metrics.text(), "meshchaos_fault_live", **fault) == 0
    assert value(metrics.text(), "meshchaos_fault_injected_requests", **fault) == 48
    metrics(STARTED)
    assert value(metrics.text(), "meshchaos_fault_live") is None, "another run's faults are its own"


def test_what_is_not_known_is_not_there() -> None:
    metrics = Metrics()
    metrics(STARTED)
    metrics(PROGRESS)
    assert value(metrics.text(), "meshchaos_load_latency_p99_seconds") == 2.03
    metrics(replace(PROGRESS, p99=None, success=None))
    assert value(metrics.text(), "meshchaos_load_latency_p99_seconds") is None
    assert value(metrics.text(), "meshchaos_load_requests_per_second") == 98.7


def whole(metrics: Metrics) -> None:
    metrics(STARTED)
    metrics(events.PhaseStarted(1.0, "fault", 8.0))
    metrics(events.FaultChanged(3.0, "live", made.FAULT))
    metrics(events.Evidence(5.0, made.FAULT))
    metrics(PROGRESS)
    metrics(events.Judged(9.0, made.finding("success", Verdict.FAIL)))
    metrics(events.RunFinished(9.0, "FAIL", "because", {}))


def test_it_is_scraped_and_prometheus_reads_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with served(str(port)) as metrics:
        whole(metrics)
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)
        assert httpx.get(f"http://127.0.0.1:{port}/else", trust_env=False).status_code == 404
        with pytest.raises(UserError, match="in use"), served(str(port)):
            pass
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert value(answer.text, "meshchaos_run_verdict", verdict="FAIL") == 1
    assert value(answer.text, "meshchaos_run_verdict", verdict="PASS") == 0
    assert value(answer.text, "meshchaos_expectation_passed", expectation="success of it") == 0
    assert r'experiment="slow \"ones\"\\"' in answer.text
    if promtool := shutil.which("promtool"):
        command = [promtool, "check", "metrics"]
        done = subprocess.run(command, check=False, input=answer.text, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
    with pytest.raises(UserError, match=r"HOST:PORT"), served("here"):
        pass


def test_the_dashboard_asks_for_what_is_served() -> None:
    board = json.loads(DASHBOARD.read_text("utf-8"))
    metrics = Metrics()
    whole(metrics)
    asked = set(re.findall(r"meshchaos_\w+", DASHBOARD.read_text("utf-8")))
    assert len(asked) >= 8
    for name in asked:
        found = value(metrics.text(), name)
        assert found is not None, name
        assert not math.isnan(found)
    (band,) = board["annotations"]["list"]
    assert band["expr"].startswith("meshchaos_fault_live")
