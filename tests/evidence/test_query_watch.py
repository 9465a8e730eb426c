"""Asking a Prometheus over real HTTP: what is sent, and what is no answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from meshchaos.errors import EvidenceError, UserError
from meshchaos.evidence.prometheus import Prometheus
from meshchaos.evidence.query_watch import QueryWatch
from meshchaos.experiment.config import PrometheusConfig
from meshchaos.experiment.model import Secret
from meshchaos.history.asks import QueryAsk
from meshchaos.history.queries import AlertRule, Answer, Point, Series
from meshchaos.history.records import PhaseRecord

VECTOR = {"resultType": "vector", "result": [{"metric": {"pod": "a"}, "value": [10.5, "0.25"]}]}
MATRIX = {"resultType": "matrix", "result": [{"metric": {"pod": "a"}, "values": [[9, "1"], [10, "NaN"]]}]}


@dataclass
class Served:
    """What the server answers next, and what it was asked."""

    url: str = ""
    answers: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, list[str]], str]] = field(default_factory=list)
    ahead: float = 0.0

    def config(self, **fields: Any) -> PrometheusConfig:
        return PrometheusConfig(self.url, **fields)


@pytest.fixture
def served() -> Iterator[Served]:
    found = Served()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            found.asked.append((parts.path, parse_qs(parts.query), self.headers.get("authorization", "")))
            status, data = found.answers.pop(0) if found.answers else (200, VECTOR)
            body = data.encode() if isinstance(data, str) else json.dumps({"status": "success", "data": data}).encode()
            self.send_response_only(status)
            self.send_header("date", formatdate(time.time() + found.ahead, usegmt=True))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/prom/"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(served: Served) -> Iterator[Prometheus]:
    made = Prometheus(served.config())
    yield made
    made.close()


class TestClient:
    def test_a_query(self, served: Served, client: Prometheus) -> None:
        assert client.instant("up", 10.5) == (Series({"pod": "a"}, (Point(10.5, "0.25"),)),)
        assert served.asked == [("/prom/api/v1/query", {"query": ["up"], "time": ["10.500"]}, "")]

    def test_other_forms(self, served: Served, client: Prometheus) -> None:
        served.answers = [(200, {"resultType": "scalar", "result": [3, "7"]}), (200, MATRIX)]
        assert client.instant("7", 3) == (Series({}, (Point(3, "7"),)),)
        assert client.instant("x[1m]", 10) == (Series({"pod": "a"}, (Point(9, "1"), Point(10, "NaN"))),)

    def test_rules(self, served: Served, client: Prometheus) -> None:
        rules = [{"name": "Slow", "health": "err", "lastError": "bad"}, {"name": "Other", "health": "ok"}]
        served.answers = [(200, {"groups": [{"name": "g", "rules": rules}]})]
        assert client.alert_rules("Slow") == (AlertRule("g", "err", "bad"),)

    def test_the_token_goes_along_and_is_told_to_nobody(self, served: Served, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("s3cret\n")
        headers = {"Authorization": Secret("file", str(tmp_path / "token"), "Bearer ")}
        client = Prometheus(served.config(headers=headers))
        client.instant("up", 1)
        assert served.asked[0][2] == "Bearer s3cret"
        served.answers = [(401, "Unauthorized")]
        with pytest.raises(EvidenceError) as caught:
            client.instant("up", 1)
        assert "s3cret" not in str(caught.value)
        client.close()

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            ((400, '{"status": "error", "error": "parse error: unexpected end"}'), "Prometheus says: parse error"),
            ((404, "<html>not here</html>"), "answers 404, and not as a Prometheus: <html>not here"),
            ((200, "[]"), "not as a Prometheus"),
            ((200, {"resultType": "string", "result": [1, "a"]}), "gives a string"),
        ],
    )
    def test_what_is_no_answer(self, served: Served, client: Prometheus, answer: Any, words: str) -> None:
        served.answers = [answer]
        with pytest.raises(EvidenceError, match=words):
            client.instant("up", 1)

    def test_one_that_is_not_ready_is_asked_again(self, served: Served, client: Prometheus) -> None:
        served.answers = [(503, "starting"), (200, VECTOR)]
        assert client.instant("up", 1)
        assert len(served.asked) == 2

    def test_a_clock_that_is_off(self, served: Served, client: Prometheus) -> None:
        served.ahead = 60
        with pytest.raises(EvidenceError, match=r"clock of .* is \+\d\d s off ours"):
            client.instant("up", 1)

    def test_nobody_there(self, served: Served) -> None:
        client = Prometheus(PrometheusConfig("http://127.0.0.1:1"))
        with pytest.raises(EvidenceError, match=r"http://127\.0\.0\.1:1 does not answer"):
            client.instant("up", 1)
        client.close()

    def test_what_is_not_there_to_trust(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"prometheus.caFile: .*ca.pem cannot be read"):
            Prometheus(PrometheusConfig("https://p", ca_file=tmp_path / "ca.pem"))
        with pytest.raises(UserError, match="MESHCHAOS_NO_SUCH_TOKEN is not set"):
            Prometheus(PrometheusConfig("https://p", {"Authorization": Secret("env", "MESHCHAOS_NO_SUCH_TOKEN")}))


class TestWatch:
    PHASES = (PhaseRecord("baseline", 100, 110, 10), PhaseRecord("fault", 111, 141, 30, "early-verdict"))

    def watch(self, client: Prometheus, *asks: QueryAsk, phases: tuple[PhaseRecord, ...] = PHASES) -> QueryWatch:
        self.answers: list[Answer] = []
        self.warned: list[str] = []
        return QueryWatch(
            client, asks, lambda: phases, lambda: 0.0, answered=self.answers.append, warn=self.warned.append
        )

    def test_the_moments(self, served: Served, client: Prometheus) -> None:
        asks = [QueryAsk("x[$phase]", "fault", 7.0, at) for at in ("start", "end", "settled")]  # type: ignore[arg-type]
        watch = self.watch(client, *asks)
        assert watch.due() == 148
        watch.finish()
        sent = [(query["query"][0], query["time"][0]) for _, query, _ in served.asked]
        assert sent == [("x[1ms]", "111.000"), ("x[30000ms]", "141.000"), ("x[37000ms]", "148.000")]
        assert [answer.at for answer in self.answers] == [111, 141, 148]

    def test_phases_that_are_no_evidence_are_not_asked_about(self, served: Served, client: Prometheus) -> None:
        broken = (self.PHASES[0], PhaseRecord("fault", 111, 120, 30, "invalid"))
        watch = self.watch(client, QueryAsk("x", "fault"), QueryAsk("x", "recovery"), phases=broken)
        assert watch.due() == 0
        watch.finish()
        assert (self.answers, served.asked) == ([], [])

    def test_an_error_is_the_answers_problem(self, served: Served, client: Prometheus) -> None:
        served.answers = [(400, '{"status": "error", "error": "parse error"}'), (200, VECTOR), (404, "")]
        self.watch(client, QueryAsk("x(", "fault"), QueryAsk("ALERTS", "fault", alert="Slow")).finish()
        assert "parse error" in (self.answers[0].problem or "")
        assert self.answers[1].problem, "whether there is such a rule was not to be had"

    def test_one_that_does_not_answer_is_told_at_the_start(self, served: Served, client: Prometheus) -> None:
        self.watch(client).start()
        assert self.warned == []
        served.answers = [(404, "")]
        self.watch(client).start()
        assert "will be INVALID" in self.warned[0]
