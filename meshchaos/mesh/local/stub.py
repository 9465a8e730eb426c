"""A stub workload: one replica as a process of its own, ``python -m meshchaos.mesh.local.stub``.

Reads its spec as JSON from argv, or from standard input when there is none, and prints one JSON line
``{"ready": true, "workload", "replica", "listen", "pid"}`` when it listens. For each request it waits
``latency``, then makes its ``calls`` one after another, and answers 200 with JSON: workload, replica, hits,
the headers received, what it called. A call fails by a status outside 200..399, a timeout or no answer.
When one fails that is not optional, the rest is not called and the answer is 502 with the reason. A failed
*optional* call leaves the answer whole: still 200, and ``degraded`` lists what is missing. HTTP/2 and gRPC are answered
alike on the same port (``stub_http2``).

A request whose client has gone is worked to its end all the same, as a thread would in most programs.

Spec::

    workload, replica   names, go into the body
    listen              "host:port" (port 0: any; the ready line tells it)
    admin               path of a Unix socket, mode 0600, or null. GET /__meshchaos/stats,
                        PUT /__meshchaos/forward-headers with a JSON list of names to forward from now on
    calls               [{url, timeout: s or null, optional: bool, method}]; a url grpc://host:port/package.Service/Method
                        is called with an empty message
    latency             seconds
    errors              {share: 0..1, status} or null, drawn from ``seed`` and the replica's name
    concurrency         requests at work at once, the others wait in line ("saturated"); null: no limit
    proxy               "host:port" of the sidecar's HTTP proxy (then request lines hold absolute URIs), or null
    hosts               {"name:port": "host:port"} for a client without a sidecar
    forward_headers     request headers to forward, besides those for tracing, baggage and end-user
    seed                any string or number
    body                any JSON, put into the answer's ``body``; null: none
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

from meshchaos.mesh.local.http1 import Message
from meshchaos.mesh.local.strain import TICK
from meshchaos.mesh.local.stub_client import Call, CallFailed, Client, split_address
from meshchaos.mesh.local.stub_http2 import Front
from meshchaos.mesh.local.stub_server import Connection, Respond

FORWARDED: Final = frozenset(
    (
        "x-request-id",
        "traceparent",
        "tracestate",
        "b3",
        "x-b3-traceid",
        "x-b3-spanid",
        "x-b3-parentspanid",
        "x-b3-sampled",
        "x-b3-flags",
        "baggage",
        "end-user",
    )
)
"""W3C Trace Context, Zipkin's B3 in both forms, W3C Baggage, Bookinfo's ``end-user``, Envoy's request id."""

SECRET_HEADERS: Final = frozenset(("authorization", "proxy-authorization", "cookie"))
STALL: Final = 0.05
"""A tick this many seconds late is a stall: the process got no CPU, and its latency is its own fault."""


class Stub:
    """What the replica does with a request, and its counters."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.workload = str(spec.get("workload", "stub"))
        self.replica = str(spec.get("replica", self.workload))
        self._calls = tuple(Call.of(call) for call in spec.get("calls") or ())
        self._latency = float(spec.get("latency") or 0.0)
        errors = spec.get("errors") or {}
        self._error_share = float(errors.get("share", 0.0))
        self._error_status = int(errors.get("status", 500))
        self._random = Random(f"{spec.get('seed', 0)}/{self.replica}")
        concurrency = spec.get("concurrency")
        self._places = int(concurrency) if concurrency is not None else sys.maxsize
        self._body = spec.get("body")
        self._forward = FORWARDED | {name.lower() for name in spec.get("forward_headers") or ()}
        host, _ = split_address(str(spec["listen"]))
        self._client = Client(spec.get("proxy"), spec.get("hosts") or {}, source=host)
        self._line: deque[tuple[Message, Respond]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.stats = {
            "hits": 0,
            "in_flight": 0,
            "max_in_flight": 0,
            "saturated": 0,
            "errors": 0,
            "call_failures": 0,
            "bad_requests": 0,
            "ticks": 0,
            "stalls": 0,
        }

    def handle(self, request: Message, respond: Respond) -> None:
        self.stats["hits"] += 1
        if self.stats["in_flight"] >= self._places:
            self.stats["saturated"] += 1
            self._line.append((request, respond))
            return
        self._admit(request, respond)

    def refused(self) -> None:
        self.stats["bad_requests"] += 1

    def admin(self, request: Message, respond: Respond) -> None:
        """Answers on the admin socket."""
        if request.method == "GET" and request.target == "/__meshchaos/stats":
            stats = {"workload": self.workload, "replica": self.replica, **self.stats, "queued": len(self._line)}
            now = {"pid": os.getpid(), "at": time.monotonic(), "cpu": time.process_time()}
            respond(200, json.dumps({**stats, **now}).encode())
        elif request.method == "PUT" and request.target == "/__meshchaos/forward-headers":
            try:
                names = {str(name).lower() for name in json.loads(request.body)}
            except (ValueError, TypeError):
                respond(400, b'{"error": "want a JSON list of header names"}')
                return
            self._forward = FORWARDED | names
            respond(200, b"{}")
        else:
            respond(404, b'{"error": "no such page"}')

    async def watch(self) -> None:
        """Counts ticks that came late, so that a reader can tell a starved stub from a slow mesh."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self.stats["ticks"] += 1
            self.stats["stalls"] += loop.time() - due > STALL

    def _admit(self, request: Message, respond: Respond) -> None:
        stats = self.stats
        stats["in_flight"] += 1
        stats["max_in_flight"] = max(stats["max_in_flight"], stats["in_flight"])
        if self._latency:
            asyncio.get_running_loop().call_later(self._latency, self._work, request, respond)
        else:
            self._work(request, respond)

    def _work(self, request: Message, respond: Respond) -> None:
        if self._error_share and self._random.random() < self._error_share:
            self.stats["errors"] += 1
            self._finish(request, respond, self._error_status, [], "this stub's own share of errors")
        elif self._calls:
            task = asyncio.get_running_loop().create_task(self._call(request, respond))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._finish(request, respond, 200, [])

    async def _call(self, request: Message, respond: Respond) -> None:
        forward = self._forward
        headers = {name: value for name, value in request.headers.items() if name in forward}
        called: list[dict[str, Any]] = []
        for call in self._calls:
            begun = time.perf_counter()
            report: dict[str, Any] = {"url": call.url}
            reason = ""
            try:
                answer = await self._client.send(call, headers)
            except CallFailed as error:
                report |= {"status": None, "error": str(error)}
                reason = str(error)
            else:
                report |= {"status": answer.status, "body": _decoded(answer)}
                if not 200 <= answer.status <= 399:
                    reason = report["error"] = f"status {answer.status}"
            report["ms"] = round((time.perf_counter() - begun) * 1000, 2)
            called.append(report)
            if reason:
                self.stats["call_failures"] += 1
                if not call.optional:
                    self._finish(request, respond, 502, called, f"{call.method} {call.url}: {reason}")
                    return
        self._finish(request, respond, 200, called)

    def _finish(
        self, request: Message, respond: Respond, status: int, called: list[dict[str, Any]], error: str = ""
    ) -> None:
        answer: dict[str, Any] = {"workload": self.workload, "replica": self.replica, "hits": self.stats["hits"]}
        if error:
            answer["error"] = error
        if self._body is not None:
            answer["body"] = self._body
        answer["headers"] = {
            name: "(redacted)" if name in SECRET_HEADERS else value for name, value in request.headers.items()
        }
        if called:
            answer["called"] = called
            answer["degraded"] = [report["url"] for report in called if "error" in report] + [
                url
                for report in called
                if isinstance(report.get("body"), dict)
                for url in report["body"].get("degraded", ())
            ]
        self.stats["in_flight"] -= 1
        respond(status, json.dumps(answer).encode())
        if self._line:
            asyncio.get_running_loop().call_soon(self._take_next)

    def _take_next(self) -> None:
        if self._line and self.stats["in_flight"] < self._places:
            self._admit(*self._line.popleft())


def _decoded(answer: Message) -> Any:
    if answer.headers.get("content-type", "").startswith("application/json"):
        with contextlib.suppress(ValueError):
            return json.loads(answer.body)
    return answer.body[:65536].decode("utf-8", "replace")


async def serve(spec: dict[str, Any]) -> None:
    """Runs the stub until SIGTERM. Raises OSError when it cannot listen."""
    loop = asyncio.get_running_loop()
    stub = Stub(spec)
    host, port = split_address(str(spec["listen"]))
    server = await loop.create_server(lambda: Front(stub.handle, stub.refused), host, port, backlog=1024)
    admin = str(spec.get("admin") or "")
    servers: list[asyncio.AbstractServer] = [server]  # one that nobody holds is collected, and closed by that
    if admin:
        Path(admin).unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            servers.append(await loop.create_unix_server(lambda: Connection(stub.admin, stub.refused), admin))
        finally:
            os.umask(mask)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    watch = loop.create_task(stub.watch())
    bound = server.sockets[0].getsockname()
    ready = {"ready": True, "workload": stub.workload, "replica": stub.replica, "listen": f"{bound[0]}:{bound[1]}"}
    print(json.dumps({**ready, "pid": os.getpid()}), flush=True)
    gc.freeze()  # what is here stays; collections then look at requests only
    await ended.wait()
    watch.cancel()
    for one in servers:
        one.close()
    if admin:
        Path(admin).unlink(missing_ok=True)


def main() -> int:
    text = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] != "-" else sys.stdin.read()
    try:
        spec = json.loads(text)
    except ValueError as error:
        print(f"stub: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return run(spec)


def run(spec: dict[str, Any]) -> int:
    """Runs the stub in this process until SIGTERM; its exit status. What is wrong with the spec goes to stderr."""
    try:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a fault may pile up thousands of connections
        runner = asyncio.Runner(loop_factory=loop_factory())
        with runner:
            runner.run(serve(spec))
    except (OSError, ValueError, KeyError) as error:
        print(f"stub: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, about three times the requests of the standard loop; None where it is not installed."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


if __name__ == "__main__":
    sys.exit(main())
