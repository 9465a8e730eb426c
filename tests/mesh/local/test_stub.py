"""Stubs as they run: a process each, real sockets."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

Start = Callable[..., "Running"]


class Running:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        command = [sys.executable, "-m", "meshchaos.mesh.local.stub"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(spec))
        self.process.stdin.close()
        line = self.process.stdout.readline()
        assert line, "the stub did not start"
        self.ready = json.loads(line)
        self.address: str = self.ready["listen"]
        self.client = httpx.Client(base_url=f"http://{self.address}", trust_env=False, verify=False)

    def get(self, path: str = "/", **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def stats(self) -> dict[str, Any]:
        return self.admin("GET", "/__meshchaos/stats").json()  # type: ignore[no-any-return]

    def admin(self, method: str, path: str, **options: Any) -> httpx.Response:
        with httpx.Client(verify=False, transport=httpx.HTTPTransport(uds=self.spec["admin"], verify=False)) as client:
            return client.request(method, f"http://stub{path}", **options)

    def raw(self, data: bytes) -> bytes:
        """Sends bytes and a FIN, reads to the end."""
        host, port = self.address.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def close(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Running] = []

    def begin(workload: str = "leaf", **spec: Any) -> Running:
        admin = str(tmp_path / f"{len(running)}.sock")
        given = {"workload": workload, "replica": f"{workload}-0", "listen": "127.0.0.1:0", "admin": admin}
        running.append(Running({**given, **spec}))
        return running[-1]

    yield begin
    for stub in running:
        stub.close()


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        yield f"{host}:{port}"


def test_a_leaf_says_who_it_is_and_what_it_got(start: Start) -> None:
    leaf = start(body={"stars": 5})
    assert leaf.ready["ready"] is True
    assert leaf.ready["pid"] == leaf.process.pid
    answer = leaf.get(headers={"end-user": "jo", "authorization": "Bearer x"})
    body = answer.json()
    assert answer.status_code == 200
    assert (body["workload"], body["replica"], body["hits"], body["body"]) == ("leaf", "leaf-0", 1, {"stars": 5})
    assert body["headers"]["end-user"] == "jo"
    assert body["headers"]["authorization"] == "(redacted)"
    assert leaf.get().json()["hits"] == 2


def test_a_page_calls_one_after_another_and_forwards(start: Start) -> None:
    leaf = start("leaf")
    page = start(
        "page",
        calls=["http://leaf:9080/a?b=c", {"url": "http://leaf:9080/d", "method": "POST"}],
        hosts={"leaf:9080": leaf.address},
        forward_headers=["X-Tester"],
    )
    sent = {
        "x-request-id": "1",
        "traceparent": "2",
        "baggage": "3",
        "x-b3-traceid": "4",
        "x-tester": "5",
        "x-other": "6",
    }
    body = page.get(headers=sent).json()
    first, second = body["called"]
    assert (first["url"], first["status"], second["status"]) == ("http://leaf:9080/a?b=c", 200, 200)
    assert first["ms"] > 0
    assert (first["body"]["hits"], second["body"]["hits"]) == (1, 2)
    got = first["body"]["headers"]
    assert {name: got[name] for name in sent if name in got} == {k: v for k, v in sent.items() if k != "x-other"}
    assert got["host"] == "leaf:9080"
    assert body["degraded"] == []
    assert page.admin("PUT", "/__meshchaos/forward-headers", json=["X-Other"]).status_code == 200
    got = page.get(headers=sent).json()["called"][0]["body"]["headers"]
    assert "x-other" in got
    assert "x-tester" not in got


def test_through_a_proxy_the_request_line_holds_the_url(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        page = start(calls=["http://leaf:9080/a", "http://leaf/b"], proxy=f"127.0.0.1:{proxy.getsockname()[1]}")
        lines = []

        def serve() -> None:
            connection, _ = proxy.accept()
            with connection:
                for _ in range(2):
                    head = b""
                    while not head.endswith(b"\r\n\r\n"):
                        head += connection.recv(65536)
                    lines.append(head.split(b"\r\n")[:2])
                    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        body = page.get().json()
        thread.join()
    assert lines == [
        [b"GET http://leaf:9080/a HTTP/1.1", b"host: leaf:9080"],
        [b"GET http://leaf/b HTTP/1.1", b"host: leaf"],
    ]
    assert [call["body"] for call in body["called"]] == ["ok", "ok"]


def test_a_call_that_fails_is_a_502_with_the_reason_and_ends_it(start: Start) -> None:
    bad = start("bad", errors={"share": 1.0, "status": 503})
    page = start("page", calls=["http://bad:1/x", "http://bad:1/y"], hosts={"bad:1": bad.address})
    answer = page.get()
    body = answer.json()
    assert answer.status_code == 502
    assert body["error"] == "GET http://bad:1/x: status 503"
    assert len(body["called"]) == 1
    assert bad.stats()["errors"] == 1
    assert page.stats()["call_failures"] == 1


def test_an_optional_call_that_fails_leaves_the_page_whole(start: Start, silent: str) -> None:
    bad = start("bad", errors={"share": 1.0, "status": 500})
    middle = start("middle", calls=[{"url": "http://bad:1/", "optional": True}], hosts={"bad:1": bad.address})
    page = start(
        "page",
        calls=[
            {"url": "http://silent:1/", "optional": True, "timeout": 0.2},
            {"url": "http://127.0.0.1:1/", "optional": True},
            {"url": "http://elsewhere.example/", "optional": True},
            "http://middle:1/",
        ],
        hosts={"middle:1": middle.address, "silent:1": silent},
    )
    answer = page.get()
    body = answer.json()
    assert answer.status_code == 200
    assert body["degraded"] == [
        "http://silent:1/",
        "http://127.0.0.1:1/",
        "http://elsewhere.example/",
        "http://bad:1/",
    ]
    slow, refused, unknown, _ = body["called"]
    assert slow["error"] == "no answer within 0.2 s"
    assert "refused" in refused["error"].lower()
    assert unknown["error"] == "no such host in this mesh: elsewhere.example:80"


def test_a_kept_connection_that_was_closed_is_made_anew(start: Start) -> None:
    leaf = start("leaf")
    page = start("page", calls=["http://leaf:1/"], hosts={"leaf:1": leaf.address})
    assert page.get().status_code == 200
    leaf.close()
    assert page.get().status_code == 502
    again = start("leaf", listen=leaf.address)
    assert page.get().json()["called"][0]["body"]["hits"] == 1
    assert again.stats()["hits"] == 1


def test_errors_are_drawn_from_the_seed(start: Start) -> None:
    def statuses(seed: int) -> list[int]:
        stub = start(errors={"share": 0.5, "status": 500}, seed=seed)
        return [stub.get().status_code for _ in range(30)]

    first = statuses(1)
    assert set(first) == {200, 500}
    assert statuses(1) == first
    assert statuses(2) != first


def test_more_than_its_places_wait_in_line(start: Start) -> None:
    stub = start(latency=0.4, concurrency=2)
    host, port = stub.address.split(":")
    connections = [socket.create_connection((host, int(port)), timeout=10) for _ in range(6)]
    begun = time.monotonic()
    for connection in connections:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    for connection in connections:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        connection.close()
    assert time.monotonic() - begun >= 1.1
    stats = stub.stats()
    assert (stats["hits"], stats["saturated"], stats["max_in_flight"], stats["in_flight"]) == (6, 4, 2, 0)


def test_pipelined_head_chunked_and_closed_as_asked(start: Start) -> None:
    stub = start(latency=0.02)
    answers = stub.raw(
        b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\n"
        b"HEAD /2 HTTP/1.1\r\nhost: x\r\n\r\n"
        b"POST /3 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    )
    heads = answers.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert len(heads) == 3
    assert [b'"workload"' in head for head in heads] == [True, False, True]
    assert b'"hits": 3' in heads[2]
    assert b"connection: close" in heads[2]


def test_a_body_held_back_until_continue(start: Start) -> None:
    stub = start()
    host, port = stub.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"ok")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_what_is_no_http_is_told_and_counted(start: Start) -> None:
    stub = start()
    answer = stub.raw(b"GET / HTTP/1.1\r\nhost: x\r\n\r\nrubbish\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"HTTP/1.1 400 Bad Request" in answer
    assert stub.stats()["bad_requests"] == 1


def test_the_admin_socket_is_private_and_goes_with_it(start: Start) -> None:
    stub = start()
    path = Path(stub.spec["admin"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stub.admin("GET", "/other").status_code == 404
    assert stub.get("/__meshchaos/stats").json()["workload"] == "leaf"  # on its port it is a path like any
    stub.process.terminate()
    assert stub.process.wait(10) == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ('{"listen": "127.0.0.1:PORT"}', "in use"),
        ('{"listen": "nowhere"}', "not host:port"),
        ('{"listen": "127.0.0.1:0", "calls": ["https://x/"]}', "not an http:// URL"),
        ("{", "JSONDecodeError"),
        ("{}", "listen"),
    ],
)
def test_a_spec_that_cannot_run_is_one_line(spec: str, words: str, silent: str) -> None:
    spec = spec.replace("PORT", silent.split(":")[1])
    command = [sys.executable, "-m", "meshchaos.mesh.local.stub", spec]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_stub_calls_another_in_grpc(start: Start, silent: str) -> None:
    quotes = start("quotes")
    page = start("page", calls=[f"grpc://{quotes.address}/shop.Quotes/Get"])
    for _ in range(3):
        answer = page.get("/", headers={"x-request-id": "one"})
        assert answer.status_code == 200
        assert answer.json()["called"][0]["status"] == 200
    assert quotes.stats()["hits"] == 3
    sick = start("sick", errors={"share": 1.0, "status": 503})
    page = start("page", calls=[f"grpc://{sick.address}/shop.Quotes/Get"])
    answer = page.get("/")
    assert answer.status_code == 502
    assert answer.json()["error"].endswith("grpc-status UNAVAILABLE: this stub's own share of errors")
    page = start("page", calls=[{"url": f"grpc://{silent}/shop.Quotes/Get", "timeout": 0.2}])
    assert page.get("/").json()["error"].endswith("no answer within 0.2 s")
    page = start("page", calls=["grpc://127.0.0.1:1/shop.Quotes/Get"])
    assert "cannot connect" in page.get("/").json()["error"]


def test_a_page_that_is_asked_in_http_2_is_the_same_page(start: Start) -> None:
    import h2.connection
    import h2.events

    page = start(body={"tier": "web"}, errors=None)
    host, port = page.address.split(":")
    client = h2.connection.H2Connection()
    client.initiate_connection()
    head = [(":method", "GET"), (":scheme", "http"), (":path", "/x"), (":authority", "page")]
    client.send_headers(1, head, end_stream=True)
    client.send_headers(3, [(":method", "HEAD"), *head[1:]], end_stream=True)
    got, ended = b"", 0
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        data = client.data_to_send()
        connection.sendall(data[:10])  # the first bytes alone do not tell which HTTP it is
        assert page.stats()["bad_requests"] == 0
        connection.sendall(data[10:])
        while ended < 2:
            for event in client.receive_data(connection.recv(65536)):
                got += event.data if isinstance(event, h2.events.DataReceived) else b""
                ended += isinstance(event, h2.events.StreamEnded)
    assert json.loads(got)["body"] == {"tier": "web"}
    assert page.stats()["hits"] == 2


def test_what_is_no_http_2_is_told_and_counted(start: Start) -> None:
    page = start()
    page.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 64)
    assert page.stats()["bad_requests"] == 1
    assert page.get("/").status_code == 200
