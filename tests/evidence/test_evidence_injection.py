"""The proof of injection from a proxy's log and counters, on a fake proxy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest

from meshchaos.errors import EvidenceError
from meshchaos.evidence.injection import InjectionProver, concerned, words
from meshchaos.history.records import FaultRecord, Injection
from meshchaos.mesh.seam import Proxy, ProxyLogLine, Replica

COUNTER = "http.inbound_0.0.0.0_9080;.fault.delays_injected"
LINE = ProxyLogLine(
    start=100.0,
    duration=2.0001,
    side="inbound",
    request_id="id-1",
    method="GET",
    path="/ratings/0",
    authority="ratings:9080",
    status=200,
    flags=("DI",),
    details="via_upstream",
    route="default",
    cluster="inbound|9080||",
    upstream_host="127.0.0.1:9080",
    attempts=1,
    hosts_attempted=(),
    peer="spiffe://cluster.local/ns/bookinfo/sa/bookinfo-reviews",
    headers={"end-user": "tester"},
)
RECORD = FaultRecord(
    id="chaos-1-1",
    index=0,
    kind="delay",
    at="server",
    edge="e",
    reason="r",
    share=0.5,
    objects=(),
    live_at=100.0,
    removed_at=110.0,
)


@dataclass(frozen=True)
class Proof:
    replicas: tuple[str, ...] = ("ratings-0.bookinfo",)
    side: Literal["inbound", "outbound"] = "inbound"
    flag: str = "DI"
    counter: str = r"^http\.inbound_.*\.delays_injected$"
    share: float = 0.5
    routes: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ("inbound|9080||",)
    peer: str | None = None
    match: Mapping[str, str] = field(default_factory=dict)


class FakeProxy:
    """``later``: what is done at each look at the requests in flight."""

    quiet = 0.06

    def __init__(self, name: str = "ratings-0") -> None:
        self.replica = Replica(name, "ratings", "bookinfo", "127.64.0.2", {}, "x", True)
        self.log: list[ProxyLogLine] = []
        self.counters: dict[str, int] = {COUNTER: 7}
        self.active = 0
        self.total: int | None = None
        self.later: list[Callable[[], None]] = []

    @property
    def name(self) -> str:
        return f"{self.replica.name}.{self.replica.namespace}"

    def config_dump(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def stats(self, pattern: str) -> dict[str, int]:
        if "downstream_rq_active" in pattern:
            if self.later:
                self.later.pop(0)()
            found = {"http.inbound_0.0.0.0_9080;.downstream_rq_active": self.active}
            if self.total is not None:
                found["http.inbound_0.0.0.0_9080;.downstream_rq_total"] = self.total
            return found
        return dict(self.counters)

    def log_mark(self) -> int:
        return len(self.log)

    def access_log(self, since: int = 0) -> tuple[list[ProxyLogLine], int]:
        return self.log[since:], len(self.log)


@dataclass
class FakeProxies:
    all: list[FakeProxy]

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]:
        return list(self.all)


def prove(proxy: FakeProxy, do: Callable[[], None], proof: Proof | None = None, **more: Any) -> tuple[Injection, ...]:
    prover = InjectionProver(FakeProxies([proxy]), proof or Proof(), **more)
    do()
    return prover.finish(RECORD).injections


def test_share_and_counter_of_one_proxy() -> None:
    proxy = FakeProxy()
    proxy.log.append(LINE)  # before the proof began: another run's

    def traffic() -> None:
        proxy.log += [replace(LINE, start=101.0), replace(LINE, start=102.0, flags=())]
        proxy.counters[COUNTER] = 8

    (injection,) = prove(proxy, traffic)
    assert (injection.injected, injection.of) == (1, 2)
    assert (injection.counter, injection.counter_before, injection.counter_after) == (COUNTER, 7, 8)
    assert injection.lines == (
        "00:01:41.000 GET /ratings/0 -> 200; DI after 2000.1 ms; details via_upstream; route default; "
        "from spiffe://cluster.local/ns/bookinfo/sa/bookinfo-reviews; x-request-id id-1",
    )


def test_only_requests_started_while_it_was_live_count() -> None:
    proxy = FakeProxy()
    times = [99.999, 100.0, 105.0, 110.0, 110.001]
    (injection,) = prove(proxy, lambda: proxy.log.extend(replace(LINE, start=t) for t in times))
    assert (injection.injected, injection.of) == (3, 3)


def test_a_delayed_request_that_is_still_in_flight_is_waited_for() -> None:
    proxy = FakeProxy()
    proxy.active = 1

    def arrives() -> None:
        proxy.active = 0
        proxy.log.append(replace(LINE, start=109.9))

    proxy.later = [lambda: None, lambda: None, arrives]
    (injection,) = prove(proxy, lambda: None)
    assert (injection.injected, injection.of) == (1, 1)


def test_too_many_in_flight_at_the_deadline_are_an_error() -> None:
    proxy = FakeProxy()
    proxy.active = 3
    with pytest.raises(EvidenceError, match=r"ratings-0\.bookinfo still has 3 requests in flight 0.1s after"):
        prove(proxy, lambda: proxy.log.append(LINE), timeout=0.1)


def test_a_stream_that_never_ends_does_not_spoil_many_requests() -> None:
    proxy = FakeProxy()
    proxy.active = 1
    (injection,) = prove(proxy, lambda: proxy.log.extend([LINE] * 1000), timeout=0.1)
    assert injection.of == 1000


def received(proxy: FakeProxy, requests: int, lines: int) -> Callable[[], None]:
    def traffic() -> None:
        assert proxy.total is not None
        proxy.total += requests
        proxy.log += [LINE] * lines

    return traffic


def test_a_log_that_lost_lines_proves_nothing() -> None:
    """Half of the requests are marked whichever half of the lines is gone; but who says so?"""
    proxy = FakeProxy()
    proxy.total = 5000
    (injection,) = prove(proxy, received(proxy, 1000, 1000))
    assert injection.of == 1000
    with pytest.raises(EvidenceError, match=r"ratings-0\.bookinfo lost lines: 500 for 1,000 requests"):
        prove(proxy, received(proxy, 1000, 500))
    (injection,) = prove(proxy, received(proxy, 1000, 1003))
    assert injection.of == 1003, "some were under way when the proof began"


def test_a_proxy_that_began_anew_proves_nothing() -> None:
    proxy = FakeProxy()
    proxy.total = 5000
    with pytest.raises(EvidenceError, match="started anew"):
        prove(proxy, received(proxy, -4000, 1000))


def test_lines_collected_on_the_way_are_counted_once() -> None:
    proxy = FakeProxy()
    prover = InjectionProver(FakeProxies([proxy]), Proof())
    proxy.log.append(LINE)
    prover.collect()
    proxy.log.append(LINE)
    (injection,) = prover.finish(RECORD).injections
    assert injection.of == 2


def test_a_missing_proxy_and_a_fault_that_never_was_live() -> None:
    with pytest.raises(EvidenceError, match=r"no proxy to ask.*: ratings-0\.bookinfo"):
        InjectionProver(FakeProxies([FakeProxy("other")]), Proof())
    prover = InjectionProver(FakeProxies([FakeProxy()]), Proof())
    with pytest.raises(EvidenceError, match="never was live"):
        prover.finish(replace(RECORD, live_at=None))


def test_counters_that_are_not_exposed_or_began_anew_are_not_made_up() -> None:
    proxy = FakeProxy()
    proxy.counters = {}
    (injection,) = prove(proxy, lambda: None)
    assert (injection.counter, injection.counter_before, injection.counter_after) == ("", None, None)
    proxy.counters = {COUNTER: 7}
    (injection,) = prove(proxy, lambda: proxy.counters.update({COUNTER: 2}))
    assert (injection.counter_before, injection.counter_after) == (None, None)


@pytest.mark.parametrize(
    ("proof", "line", "fits"),
    [
        (Proof(), LINE, True),
        (Proof(), replace(LINE, side="outbound"), False),
        (Proof(), replace(LINE, cluster="inbound|8080||"), False),
        (Proof(routes=("chaos-1",), clusters=()), replace(LINE, route="chaos-1"), True),
        (Proof(routes=("chaos-1",), clusters=()), LINE, False),
        (Proof(peer="spiffe://.*/sa/bookinfo-reviews"), LINE, True),
        (Proof(peer="spiffe://.*/sa/bookinfo-reviews"), replace(LINE, peer=LINE.peer + "-v2"), False),
        (Proof(peer="spiffe://.*/sa/bookinfo-reviews"), replace(LINE, peer=""), False),
        (Proof(match={":path": r"/ratings/\d", ":method": "GET"}), LINE, True),
        (Proof(match={":path": "/ratings"}), LINE, False),
        (Proof(match={":method": "POST"}), LINE, False),
        (Proof(match={"end-user": "tester"}), LINE, True),
        (Proof(match={"end-user": "tester"}), replace(LINE, headers={}), False),
        (Proof(), replace(LINE, details="rbac_access_denied_matched_policy[none]"), False),
    ],
)
def test_which_requests_the_fault_is_about(proof: Proof, line: ProxyLogLine, fits: bool) -> None:
    assert concerned(proof)(line) is fits


def test_words_leave_out_what_is_not_there() -> None:
    bare = replace(LINE, flags=(), details="", route="", peer="", request_id="")
    assert words(bare) == "00:01:40.000 GET /ratings/0 -> 200; - after 2000.1 ms"
