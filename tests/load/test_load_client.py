"""The generator's pool of connections, against a listener of the test's own."""

from __future__ import annotations

import socket
import time
from collections import Counter

import gevent
import pytest

from meshchaos.load.generator import client
from meshchaos.load.generator.client import Exchange, Pool


def test_when_one_addresss_ports_run_low_another_is_connected_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PORTS_PER_SOURCE", 3)
    ended: list[object] = []
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        server.settimeout(10)
        pool = Pool(server.getsockname(), clock=time.monotonic)
        exchanges = [
            Exchange(b"GET / HTTP/1.1\r\n\r\n", head=False, deadline=time.monotonic() + 1, tag=n, done=done(ended))
            for n in range(8)
        ]
        for exchange in exchanges:
            pool.begin(exchange)
        accepted = [server.accept() for _ in exchanges]
        sources = Counter(peer[0] for _, peer in accepted)
        assert set(sources) == {"127.0.0.1", "127.0.0.2", "127.0.0.3"}
        assert max(sources.values()) == 3
        gevent.sleep(0)
        with gevent.Timeout(10):
            while len(ended) < len(exchanges):
                gevent.sleep(0.01)
        assert pool.source() is None, "those that ended gave their ports back"
        for connection, _ in accepted:
            connection.close()


def test_beyond_the_loopback_the_kernel_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PORTS_PER_SOURCE", 1)
    pool = Pool(("198.18.0.1", 80), clock=time.monotonic)
    pool._running.extend([Exchange(b"", head=False, deadline=0.0, tag=None, done=done([]))] * 5)
    assert pool.source() is None


def done(ended: list[object]) -> client.Done:
    return lambda exchange, outcome, answer, error: ended.append(exchange.tag)
