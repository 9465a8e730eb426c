"""A run as Prometheus metrics while it runs: which faults are live, the phase, what the loads see, the verdict.

``--metrics 9464`` serves them for a Prometheus to scrape, in the text format 0.0.4
(prometheus.io/docs/instrumenting/exposition_formats). ``docs/grafana-dashboard.json`` shows them, faults as bands.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from meshchaos.errors import UserError
from meshchaos.run import events

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
VERDICTS = ("PASS", "FAIL", "INCONCLUSIVE", "INVALID", "ERROR")
_HELP = {
    "meshchaos_run_active": "1 while the run goes on.",
    "meshchaos_phase_active": "1 while the phase goes on.",
    "meshchaos_fault_live": "1 from the moment the fault was seen live in the proxies until it was seen gone.",
    "meshchaos_fault_injected_requests": "Requests that carried the fault, by the proxies that injected it.",
    "meshchaos_load_requests_per_second": "Rate of the loads over the last seconds.",
    "meshchaos_load_good_ratio": "Share of good answers over the last seconds, 0 to 1.",
    "meshchaos_load_latency_p99_seconds": "99th percentile over the last seconds.",
    "meshchaos_load_latency_p99_limit_seconds": "The strictest limit that is asked for it.",
    "meshchaos_expectation_passed": "1 where it holds, 0 where it does not or could not be said.",
    "meshchaos_run_verdict": "1 for the verdict of the run that ended last, 0 for the others.",
}
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Listens to a run's events. One run after another: a new one forgets the load and the faults of the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, Labels], float] = {}
        self._run: dict[str, str] = {}

    def __call__(self, event: events.Event) -> None:
        with self._lock:
            self._take(event)

    def text(self) -> str:
        """Everything, in the exposition format."""
        with self._lock:
            found = sorted(self._values.items())
        lines = []
        for name, told in _HELP.items():
            of_it = [(labels, value) for (one, labels), value in found if one == name]
            if of_it:
                lines += [f"# HELP {name} {told}", f"# TYPE {name} gauge"]
                lines += [f"{name}{{{_written(labels)}}} {value:.9g}" for labels, value in of_it]
        return "\n".join(lines) + "\n"

    def _take(self, event: events.Event) -> None:
        match event:
            case events.RunStarted():
                self._values.clear()
                self._run = {"experiment": event.experiment, "mesh": event.mesh, "run": event.run_id}
                self._set("run_active", 1)
            case events.PhaseStarted():
                self._set("phase_active", 1, phase=event.name)
            case events.PhaseFinished():
                self._set("phase_active", 0, phase=event.record.name)
            case events.Progress():
                self._load(event)
            case events.FaultChanged() if event.step in {"live", "gone", "vanished"}:
                fault = {"fault": event.record.kind, "edge": event.record.edge, "id": event.record.id}
                self._set("fault_live", 1 if event.step == "live" else 0, **fault)
            case events.Evidence():
                record = event.record
                injected = sum(one.injected for one in record.injections)
                self._set("fault_injected_requests", injected, fault=record.kind, edge=record.edge, id=record.id)
            case events.Judged() if event.about == "expectation":
                finding = event.finding
                self._set("expectation_passed", finding.verdict.value == "PASS", expectation=finding.name)
            case events.RunFinished():
                self._set("run_active", 0)
                for verdict in VERDICTS:
                    self._set("run_verdict", verdict == event.verdict, verdict=verdict)

    def _load(self, event: events.Progress) -> None:
        measured: Mapping[str, float | None] = {
            "load_requests_per_second": event.rate if event.loads else None,
            "load_good_ratio": event.success,
            "load_latency_p99_seconds": event.p99,
            "load_latency_p99_limit_seconds": event.p99_limit,
        }
        for name, value in measured.items():
            self._set(name, value)

    def _set(self, name: str, value: float | None, **labels: str) -> None:
        """A value that is not known is not there."""
        key = (f"meshchaos_{name}", tuple((self._run | labels).items()))
        self._values.pop(key, None)
        if value is not None:
            self._values[key] = float(value)


@contextmanager
def served(address: str) -> Iterator[Metrics]:
    """Metrics at ``http://address/metrics`` until left. ``address``: ``port`` (of the loopback) or ``host:port``.
    Raises UserError for one that cannot be had.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UserError(f"--metrics {address}: write a port, or HOST:PORT (0.0.0.0:9464 for other machines to reach)")
    metrics = Metrics()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.partition("?")[0] in {"/", "/metrics"}
            body = metrics.text().encode() if known else b"metrics are at /metrics\n"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", CONTENT_TYPE if known else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """The terminal is the run's."""

    try:
        server = ThreadingHTTPServer((host or "127.0.0.1", int(port)), Answer)
    except OSError as error:
        raise UserError(f"--metrics {address}: {error.strerror}") from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield metrics
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _written(labels: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
