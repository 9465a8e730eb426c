"""Expectations about an edge, on lines that were made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from histories import T0, context, expectation, load

from meshchaos.checks.canary import CANARY, CanarySpec
from meshchaos.checks.circuit_breaker import CIRCUIT_BREAKER, CircuitBreakerSpec, peaks_of
from meshchaos.checks.ejection import EJECTION, EjectionSpec
from meshchaos.checks.joining import calls_of
from meshchaos.checks.kind import CheckKind, Finding
from meshchaos.checks.latency import LATENCY, LatencySpec
from meshchaos.checks.retries import RETRIES, RetriesSpec
from meshchaos.checks.success import SUCCESS, SuccessSpec
from meshchaos.checks.timeout import TIMEOUT, TimeoutSpec
from meshchaos.errors import FileError
from meshchaos.history.asks import EdgeAsk
from meshchaos.history.edges import Edge, EdgeLine, EdgeRecord, Loss, Peer, StatPoint
from meshchaos.history.records import FaultRecord, History, PhaseRecord, PhaseStep
from meshchaos.mesh.seam import ProxyLogLine

PHASES = (
    PhaseRecord("baseline", T0, T0 + 10, 10),
    PhaseRecord("fault", T0 + 10, T0 + 70, 60),
    PhaseRecord("recovery", T0 + 70, T0 + 130, 60),
)
FAULT = FaultRecord("chaos-1-0", 0, "abort", "server", "e", "r", 1.0, (), T0 + 10, T0 + 10, T0 + 70, T0 + 70)
SERVERS = tuple(Peer(f"stars-{n}.shop", f"stars-v{n}", f"10.0.0.{n}", {"version": f"v{n}"}) for n in (1, 2))


def line(at: float, status: int = 200, *, host: int = 1, proxy: str = "page.shop", **fields: Any) -> EdgeLine:
    """``at`` seconds into the fault phase."""
    base = ProxyLogLine(
        start=T0 + 10 + at,
        duration=0.02,
        side="outbound",
        request_id=f"id-{at}",
        method="GET",
        path="/",
        authority="stars",
        status=status,
        flags=(),
        details="",
        route="",
        cluster="",
        upstream_host=f"10.0.0.{host}:80",
        attempts=1,
        hosts_attempted=(),
        peer="",
    )
    return EdgeLine(proxy, replace(base, **fields))


def judged(
    kind: CheckKind,
    spec: Any,
    sent: Sequence[EdgeLine],
    received: Sequence[EdgeLine] = (),
    *,
    problem: str | None = None,
    stats: Sequence[StatPoint] = (),
    losses: Sequence[Loss] = (),
    steps: tuple[PhaseStep, ...] = (),
) -> list[Finding]:
    checks = kind.checks(expectation(kind.kind.key, spec), context())
    asks = {ask for check in checks for ask in check.asks}  # type: ignore[attr-defined]
    record = EdgeRecord(
        EdgeAsk("stars"), "stars", "shop", "stars.shop", 80, (80,), (), (), SERVERS, problem=problem,
        losses=tuple(losses),
        subsets={"v1": {"version": "v1"}, "v2": {"version": "v2"}},
    )  # fmt: skip
    edges = {ask: Edge(replace(record, ask=ask), tuple(sent), tuple(received), tuple(stats)) for ask in asks}
    phases = tuple(replace(phase, steps=steps if phase.name == "fault" else ()) for phase in PHASES)
    history = History(phases, (FAULT,), {}, (), 0.95, edges=edges)
    return [check.judge(history, alpha=0.05) for check in checks]


def verdicts(found: Sequence[Finding]) -> list[str]:
    return [one.verdict.value for one in found]


RETRY = RetriesSpec(to="stars", from_=("page",), recovered=0.9, amplification=1.5)


def test_retries_that_save_and_those_that_do_not() -> None:
    saved = [line(n / 10, attempts=2 if n % 4 == 0 else 1) for n in range(400)]
    assert verdicts(judged(RETRIES, RETRY, saved)) == ["PASS", "PASS"]
    lost = [line(n / 10, 503 if n % 4 == 0 else 200) for n in range(400)]
    recovered, amplification = judged(RETRIES, RETRY, lost)
    assert (recovered.verdict, recovered.estimate, recovered.n) == ("FAIL", 0.0, 100)
    assert "100 of them were not tried again" in recovered.evidence[0]
    assert amplification.verdict == "PASS"
    storm = [line(n / 10, attempts=3) for n in range(400)]
    assert verdicts(judged(RETRIES, RETRY, storm)) == ["PASS", "FAIL"]


def test_retries_in_clusters_pass_no_amplification_and_fail_by_blocks_of_seconds() -> None:
    spec = RetriesSpec(to="stars", from_=("page",), amplification=1.5)
    burst = [line(n / 10, attempts=3 if 100 <= n < 130 else 1) for n in range(400)]
    (found,) = judged(RETRIES, spec, burst)
    assert found.verdict == "INCONCLUSIVE"
    assert "clusters" in found.reason
    storms = [line(n / 10, attempts=1 if n % 100 < 20 else 3) for n in range(400)]
    (found,) = judged(RETRIES, spec, storms)
    assert found.verdict == "FAIL"


def test_more_attempts_than_any_route_allows_leave_the_amplification_open() -> None:
    spec = RetriesSpec(to="stars", from_=("page",), amplification=2)
    for attempts, verdict in ((3, "PASS"), (4, "INVALID")):  # Istio's default: two retries
        (found,) = judged(RETRIES, spec, [line(n / 10, attempts=attempts if n == 7 else 1) for n in range(400)])
        assert found.verdict == verdict
    assert "a request took 4 attempts, more than any route allows (3)" in found.reason


def test_no_failed_attempt_tests_no_retry_and_no_request_nothing() -> None:
    assert verdicts(judged(RETRIES, RETRY, [line(n) for n in range(50)])) == ["INVALID", "PASS"]
    assert verdicts(judged(RETRIES, RETRY, [line(n) for n in range(3)])) == ["INVALID", "INCONCLUSIVE"]
    assert verdicts(judged(RETRIES, RETRY, [])) == ["INVALID", "INVALID"]
    assert verdicts(judged(RETRIES, RETRY, [line(-5.0, 503)])) == ["INVALID", "INVALID"], "before the fault"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (RETRIES, RETRY),
        (TIMEOUT, TimeoutSpec(to="stars", after=0.5)),
        (CIRCUIT_BREAKER, CircuitBreakerSpec(to="stars", in_flight=2)),
        (EJECTION, EjectionSpec(to="stars", within=5.0)),
        (CANARY, CanarySpec(to="stars", baseline="v1", canary="v2", error_ratio=1.5)),
    ],
)
def test_lines_that_are_not_whole_are_invalid_whatever_they_say(kind: CheckKind, spec: Any) -> None:
    sent = [line(n / 10, attempts=2) for n in range(400)]
    for found in judged(kind, spec, sent, sent, problem="the access log of page.shop lost lines"):
        assert found.verdict == "INVALID"
        assert found.reason.endswith("do not tell: the access log of page.shop lost lines")


STEPS = tuple(PhaseStep(f"abort {10 * (n + 1)} %", T0 + 10 + 15 * n, T0 + 25 + 15 * n) for n in range(4))


def test_each_step_of_a_ramp_is_judged_and_the_first_that_fails_is_named() -> None:
    """In the third step nothing is saved any more; in the first nothing fails."""

    def lines(step: int, attempts: int, status: int) -> list[EdgeLine]:
        bad = {"attempts": attempts, "status": status}
        return [line(15 * step + n / 10, **(bad if n % 2 else {})) for n in range(140)]

    sent = [*lines(0, 1, 200), *lines(1, 2, 200), *lines(2, 2, 503), *lines(3, 2, 503)]
    recovered, amplification = judged(RETRIES, RETRY, sent, steps=STEPS)
    assert recovered.verdict == "FAIL"
    assert recovered.reason.startswith("first of 2 at abort 30 %: 0 % of 70 requests")
    assert recovered.n == 210
    assert any(one.startswith("nothing was tested at abort 10 %: none of 140 requests") for one in recovered.evidence)
    assert amplification.verdict == "INCONCLUSIVE", "half of them twice, so close to 1.5"
    (good, _) = judged(RETRIES, RETRY, [*lines(0, 1, 200), *lines(1, 2, 200)], steps=STEPS)
    assert good.verdict == "PASS"
    assert good.reason.startswith("the step holds; during this run, at abort 20 %: 100 % of 70")
    (nothing, _) = judged(RETRIES, RETRY, lines(0, 1, 200), steps=STEPS)
    assert nothing.verdict == "INVALID"
    breaker = CircuitBreakerSpec(to="stars", in_flight=2)
    shed = [line(40 + n / 10, 503, flags=("UO",), duration=0.001) for n in range(20)]
    assert verdicts(judged(CIRCUIT_BREAKER, breaker, ordered(lines(0, 1, 200), shed), steps=STEPS)) == ["PASS"]


def test_what_a_client_took_with_it_when_it_was_killed_passes_nothing() -> None:
    good = [line(n / 10, attempts=2 if n % 4 == 0 else 1) for n in range(590)]
    in_time = [Loss("page.shop", T0 + 30, T0 + 31)]
    for lost, verdict in (
        (in_time, "INCONCLUSIVE"),
        ([Loss("page.shop", T0 + 70.01, T0 + 71)], "INCONCLUSIVE"),  # 20 ms: it may have begun in the fault phase
        ([Loss("page.shop", T0 + 75, T0 + 76)], "PASS"),
        ([Loss("page.shop", T0 + 5, T0 + 6)], "PASS"),
        ([Loss("idle.shop", T0 + 30, T0 + 31)], "PASS"),
    ):
        found = judged(RETRIES, RETRY, good, losses=lost)
        assert verdicts(found) == [verdict, verdict], lost
        success = judged(SUCCESS, SuccessSpec(0.9, to="stars"), good, losses=lost)
        assert verdicts(success) == [verdict], lost
    assert "page.shop ended in mid-run" in judged(RETRIES, RETRY, good, losses=in_time)[0].reason
    (bad, _) = judged(RETRIES, RETRY, [line(n / 10, 503) for n in range(590)], losses=in_time)
    assert bad.verdict == "FAIL"
    assert "page.shop ended in mid-run" in bad.evidence[-1]


def cut(at: float, after: float = 0.5, details: str = "response_timeout") -> EdgeLine:
    return line(at, 504, flags=("UT",), details=details, duration=after)


def test_a_timeout_cuts_in_time() -> None:
    spec = TimeoutSpec(to="stars", after=0.5)
    quick = [line(n) for n in range(30)]
    assert verdicts(judged(TIMEOUT, spec, quick)) == ["INVALID"]
    assert verdicts(judged(TIMEOUT, spec, quick + [cut(n) for n in range(9)])) == ["PASS"]
    assert verdicts(judged(TIMEOUT, spec, quick + [cut(n) for n in range(4)])) == ["INCONCLUSIVE"]
    assert verdicts(judged(TIMEOUT, spec, [cut(n) for n in range(9)] + [line(9, duration=0.6)])) == ["FAIL"]
    assert verdicts(judged(TIMEOUT, spec, [cut(n, 0.3) for n in range(9)])) == ["FAIL"], "too early"
    server = [line(n, 504, duration=0.5) for n in range(9)]
    assert verdicts(judged(TIMEOUT, spec, server)) == ["INCONCLUSIVE"], "a 504 of the server's own is no cut"
    tries = [cut(n, 1.1, "upstream_per_try_timeout") for n in range(9)]
    twice = [replace(one, line=replace(one.line, attempts=2)) for one in tries]
    assert verdicts(judged(TIMEOUT, replace(spec, per_try=True), twice)) == ["PASS"]
    assert verdicts(judged(TIMEOUT, replace(spec, per_try=True), tries)) == ["FAIL"]


def test_a_grpc_timeout_is_cut_by_whichever_proxy_is_first() -> None:
    spec = TimeoutSpec(to="stars", after=0.5)
    sent = [line(n, grpc=4, duration=0.52) for n in range(9)]
    received = [line(n, details="max_duration_timeout", proxy="stars.shop") for n in range(9)]
    assert verdicts(judged(TIMEOUT, spec, sent, received)) == ["PASS"]
    (found,) = judged(TIMEOUT, spec, sent, received)
    assert found.evidence[0].startswith("0 with the flag UT and details response_timeout, 9 at that deadline by the")
    assert verdicts(judged(TIMEOUT, spec, sent)) == ["FAIL"], "the application itself may answer DEADLINE_EXCEEDED"
    late = [replace(one, line=replace(one.line, duration=0.6)) for one in sent]
    assert verdicts(judged(TIMEOUT, spec, late, received)) == ["FAIL"]


def tried(at: float, *durations: float, status: int = 200, let: bool = False) -> tuple[EdgeLine, list[EdgeLine]]:
    """A request whose attempts but the last were cut by the client after those durations (``let``: answered by the
    server itself, with a 503), and its servers' lines.
    """
    taken, arrived = 0.0, []
    for duration in durations:
        flags, answer = ((), 503) if let else (("DC",), 0)
        fields = {"flags": flags, "status": answer, "duration": duration, "side": "inbound", "request_id": f"t{at}"}
        arrived.append(line(at + taken, proxy="stars-2.shop", **fields))
        taken += duration + 0.02
    arrived.append(line(at + taken, status, proxy="stars-1.shop", side="inbound", request_id=f"t{at}", duration=0.01))
    sent = line(at, status, attempts=len(arrived), duration=taken + 0.012, request_id=f"t{at}")
    return sent, arrived


def lines_of(*requests: tuple[EdgeLine, list[EdgeLine]]) -> tuple[list[EdgeLine], list[EdgeLine]]:
    return [sent for sent, _ in requests], ordered(*(arrived for _, arrived in requests))


def test_attempts_that_were_cut_and_tried_again_are_seen_at_the_servers() -> None:
    spec = TimeoutSpec(to="stars", after=0.2, per_try=True)
    (found,) = judged(TIMEOUT, spec, *lines_of(*(tried(n, 0.2, 0.199) for n in range(3))))
    assert found.verdict == "PASS", found.reason
    assert "6 of 6 attempts still open after 200 ms were cut by the proxy" in found.reason
    sent, received = lines_of(*(tried(n, 0.2) for n in range(3)))
    (found,) = judged(TIMEOUT, spec, sent, received)
    assert (found.verdict, found.n) == ("INCONCLUSIVE", 3)
    (found,) = judged(TIMEOUT, spec, sent, [one for one in received if one.proxy == "stars-1.shop"])
    assert found.verdict == "INCONCLUSIVE"
    assert "of 3 more attempts that were tried again no server's proxy tells" in found.reason
    late = lines_of(*(tried(n, 0.2, 0.199) for n in range(3)), tried(9, 0.3))
    (found,) = judged(TIMEOUT, spec, *late)
    assert found.verdict == "FAIL"
    assert "1 of 7 attempts still open after 200 ms lasted longer than 250 ms, up to 300 ms" in found.reason
    let = lines_of(*(tried(n, 0.2, 0.199) for n in range(3)), *(tried(9 + n, 0.24, let=True) for n in range(2)))
    (found,) = judged(TIMEOUT, spec, *let)
    assert found.verdict == "FAIL"
    assert "2 of 8 attempts still open after 200 ms were not cut by the proxy: they got an answer" in found.reason


def test_attempts_that_were_cut_too_soon_cannot_hide_in_their_sum() -> None:
    spec = TimeoutSpec(to="stars", after=0.2, per_try=True)
    sent, received = lines_of(*(tried(n, 0.1, 0.1, 0.1) for n in range(9)))
    last = [one.line for one in sent]
    gave_up = [
        EdgeLine("page.shop", replace(line, status=504, flags=("UT",), details="upstream_per_try_timeout"))
        for line in last
    ]
    for name, lines in (("saved", sent), ("given up", gave_up)):
        (found,) = judged(TIMEOUT, spec, lines, received)
        assert found.verdict == "FAIL", name
        assert "9 requests whose attempts were cut ended too soon for each to have had 200 ms: 4 attempts took" in (
            found.reason
        )
    answered, received = lines_of(*(tried(n, 0.1, 0.1, 0.1, let=True) for n in range(9)))
    assert verdicts(judged(TIMEOUT, spec, answered, received)) == ["INCONCLUSIVE"], "none of them was cut"


def test_a_server_that_was_held_up_makes_no_cut_a_late_one() -> None:
    spec = TimeoutSpec(to="stars", after=0.2, per_try=True)
    sent, received = lines_of(*(tried(n, 0.2, 0.2) for n in range(5)))
    held = [replace(one, line=replace(one.line, duration=3.0)) if "DC" in one.line.flags and one.line.start < T0 + 11
            else one for one in received]  # fmt: skip
    (found,) = judged(TIMEOUT, spec, sent, held)
    assert found.verdict == "PASS", found.reason
    assert "8 of 8 attempts still open" in found.reason


def test_a_breaker_limits_each_proxy_by_itself() -> None:
    spec = CircuitBreakerSpec(to="stars", in_flight=2)
    two = [line(n, duration=1.5, proxy=proxy) for n in range(20) for proxy in ("a.shop", "b.shop")]
    assert peaks_of(two, T0) == {("a.shop", ""): 2, ("b.shop", ""): 2}
    shed = [line(n + 0.5, 503, flags=("UO",), duration=0.001) for n in range(20)]
    assert verdicts(judged(CIRCUIT_BREAKER, spec, sorted(two + shed, key=lambda o: o.line.start))) == ["PASS"]
    assert verdicts(judged(CIRCUIT_BREAKER, spec, two)) == ["INVALID"], "nothing had to be shed"
    assert verdicts(judged(CIRCUIT_BREAKER, replace(spec, opens=False), two)) == ["PASS"]
    assert verdicts(judged(CIRCUIT_BREAKER, replace(spec, opens=False), shed)) == ["FAIL"]
    many = [line(n / 10, duration=1.5) for n in range(200)]
    assert verdicts(judged(CIRCUIT_BREAKER, spec, many)) == ["FAIL"]
    waited = [line(n, 503, flags=("UO",), duration=0.9) for n in range(20)]
    assert verdicts(judged(CIRCUIT_BREAKER, spec, waited)) == ["FAIL"]


def test_a_breaker_limits_each_cluster_by_itself_and_counts_what_was_sent_there() -> None:
    spec = CircuitBreakerSpec(to="stars", in_flight=2, opens=False)
    subsets = [f"outbound|80|{subset}|stars.shop" for subset in ("", "v1", "v2")]
    each = [line(n, duration=1.5, cluster=cluster) for n in range(20) for cluster in subsets]
    assert set(peaks_of(each, T0).values()) == {2}
    (found,) = judged(CIRCUIT_BREAKER, spec, each)
    assert found.verdict == "PASS"
    assert "page.shop to subset v1: at most 2 in flight" in found.evidence
    for flag, status, attempts in (("FI", 503, 0), ("UH", 503, 0), ("NR", 404, 0), ("UH", 503, 1)):
        nowhere = [line(n, status, flags=(flag,), attempts=attempts, duration=1.5) for n in range(20) for _ in range(9)]
        assert verdicts(judged(CIRCUIT_BREAKER, spec, ordered(each, nowhere))) == ["PASS"], flag
    crowd = [line(n, duration=1.5, cluster=subsets[1]) for n in range(20) for _ in range(3)]
    (found,) = judged(CIRCUIT_BREAKER, spec, ordered(each, crowd))
    assert found.verdict == "FAIL"
    assert "page.shop to subset v1 had 8 requests in flight at once, at most 2 asked" in found.reason


def test_requests_that_were_tried_again_break_no_limit_for_sure() -> None:
    spec = CircuitBreakerSpec(to="stars", in_flight=2, opens=False)
    again = [line(n, duration=1.5, attempts=2) for n in range(20) for _ in range(3)]
    (found,) = judged(CIRCUIT_BREAKER, spec, again)
    assert found.verdict == "INCONCLUSIVE"
    assert "had up to 6 requests in flight at once, at most 2 asked, but only 0 without those" in found.reason


def arrivals(until: float, bad: float = 0.0) -> tuple[list[EdgeLine], list[EdgeLine]]:
    """Ten requests a second to each of two replicas; the second fails from ``bad`` on and is left out from ``until``
    to the end of the fault.
    """
    sent, received = [], []
    for n in range(1200):
        at = n / 10
        for host in (1, 2):
            if host == 2 and until <= at < 60:
                continue
            status = 503 if host == 2 and bad <= at < 60 else 200
            sent.append(line(at, status, host=host, request_id=f"{host}-{n}"))
            received.append(line(at, status, proxy=f"stars-{host}.shop", request_id=f"{host}-{n}"))
    return sent, received


def ejections(value: int) -> list[StatPoint]:
    name = "cluster.outbound|80||stars.shop;.outlier_detection.ejections_enforced_total"
    return [StatPoint(T0 + 5, "page.shop", name, 0), StatPoint(T0 + 20, "page.shop", name, value)]


def test_a_bad_replica_is_ejected_in_time_and_comes_back() -> None:
    spec = EjectionSpec(to="stars", within=5.0, returns=10.0)
    assert verdicts(judged(EJECTION, spec, *arrivals(3.0), stats=ejections(1))) == ["PASS"]
    ramp = judged(EJECTION, spec, *arrivals(3.0), stats=ejections(1), steps=STEPS)
    assert verdicts(ramp) == ["PASS"], "it stays out through the later steps"
    late = judged(EJECTION, spec, *arrivals(9.0), stats=ejections(1))
    assert verdicts(late) == ["FAIL"]
    assert "for 8.9 s after its first failure, at most 5 s asked" in late[0].reason
    never = judged(EJECTION, spec, *arrivals(60.0), stats=ejections(0))
    assert verdicts(never) == ["FAIL"]
    assert "never ejected it" in never[0].reason
    (hidden,) = judged(EJECTION, spec, *arrivals(3.0))
    assert hidden.verdict == "INVALID"
    assert "proxyStatsMatcher" in hidden.reason
    sent, received = arrivals(3.0)
    gone = T0 + 70
    away = [one for one in received if not (one.proxy == "stars-2.shop" and one.line.start >= gone)]
    (found,) = judged(EJECTION, spec, sent, away, stats=ejections(1))
    assert found.verdict == "PASS", "a killed proxy wrote nothing, but the client had answers from there"
    sent = [one for one in sent if not (one.line.upstream_host == "10.0.0.2:80" and one.line.start >= gone)]
    assert verdicts(judged(EJECTION, spec, sent, away, stats=ejections(1))) == ["FAIL"], "it never returns"
    patient = replace(spec, returns=90.0)
    assert verdicts(judged(EJECTION, patient, sent, away, stats=ejections(1))) == ["INCONCLUSIVE"]
    assert verdicts(judged(EJECTION, spec, *arrivals(60.0, bad=99.0), stats=ejections(1))) == ["INVALID"]


def test_a_trace_through_several_clients_is_joined_call_by_call() -> None:
    """``page`` asks the bad replica and then ``front`` the good one, both with the x-request-id of their trace."""
    sent, received = [], []
    for n in range(600):
        at, trace = n / 10, f"trace-{n}"
        host, status = (2, 503) if at < 3.0 else (1, 200)
        sent.append(line(at, status, proxy="page.shop", host=host, request_id=trace, duration=0.03))
        received.append(line(at + 0.001, status, proxy=f"stars-{host}.shop", request_id=trace, duration=0.002))
        sent.append(line(at + 0.05, proxy="front.shop", host=1, request_id=trace, duration=0.03))
        received.append(line(at + 0.051, proxy="stars-1.shop", request_id=trace, duration=0.002))
    (found,) = judged(EJECTION, EjectionSpec(to="stars", within=5.0), sent, received, stats=ejections(1))
    assert found.verdict == "PASS", found.reason
    assert "page.shop left stars-2.shop out 2.9 s after its first failure" in found.reason


def test_two_calls_at_once_are_told_apart_by_the_identity_that_the_server_saw() -> None:
    clients = tuple(Peer(f"{name}.shop", name, "10.1.0.1", identity=f"spiffe://x/{name}") for name in ("front", "page"))
    record = EdgeRecord(EdgeAsk("stars"), "stars", "shop", "stars.shop", 80, (80,), (), clients, SERVERS)
    sent = [line(1.0, proxy=peer.name, request_id="t") for peer in clients]
    received = [line(1.001, proxy=f"stars-{n}.shop", request_id="t", peer=f"spiffe://x/{name}")
                for n, name in ((1, "page"), (2, "front"))]  # fmt: skip
    front, page = calls_of(Edge(record, tuple(sent), tuple(received)))
    assert [one.proxy for one in front.arrived] == ["stars-2.shop"]
    assert [one.proxy for one in page.arrived] == ["stars-1.shop"]
    plain = [replace(one, line=replace(one.line, peer="")) for one in received]
    assert sum(len(call.arrived) for call in calls_of(Edge(record, tuple(sent), tuple(plain)))) == 2


def arms(canary_bad: int, *, n: int = 3000, slow: float = 0.02) -> tuple[list[EdgeLine], list[EdgeLine]]:
    sent, received = [], []
    for k in range(n):
        at = k * 59 / n
        host = 2 if k % 10 == 0 else 1
        bad = host == 2 and canary_bad and (k // 10) % (n // 10 // canary_bad) == 0
        duration = slow if host == 2 else 0.02
        sent.append(line(at, 200, host=1, request_id=str(k)))  # a retry at the other one hid it
        received.append(line(at, 500 if bad else 200, proxy=f"stars-{host}.shop", request_id=str(k), duration=duration))
    return sent, received


def test_a_canary_is_compared_by_attempt() -> None:
    spec = CanarySpec(
        to="stars", baseline="v1", canary="v2", error_ratio=1.5, error_budget=0.02, share=0.1, negligible=0.015,
        latency_ratio={"p90": 1.3},
    )  # fmt: skip
    assert verdicts(judged(CANARY, spec, *arms(0))) == ["PASS", "PASS", "PASS", "PASS"]
    sick = judged(CANARY, spec, *arms(30))
    assert verdicts(sick)[:2] == ["FAIL", "FAIL"]
    assert {(one.sides[0].name, one.sides[1].name) for one in sick} == {("v1", "v2")}
    old, new = sick[0].sides
    assert (old.attempts, old.failed, new.attempts, new.failed) == (2700, 0, 300, 30)
    assert new.interval == pytest.approx((0.0685, 0.1397), abs=5e-4)  # Clopper-Pearson, 95 %
    assert [one.quantile for one in new.latencies] == [0.5, 0.9, 0.95, 0.99]
    assert [one.estimate for one in new.latencies] == [0.02, 0.02, None, None]
    assert verdicts(judged(CANARY, spec, *arms(0, slow=0.05))) == ["PASS", "PASS", "FAIL", "PASS"]
    wide = replace(spec, share=0.5)
    assert verdicts(judged(CANARY, wide, *arms(0)))[-1] == "FAIL"
    (nobody,) = judged(CANARY, CanarySpec(to="stars", baseline="v1", canary="v9", share=0.1), *arms(0))
    assert nobody.verdict == "INVALID"
    assert "no subset or workload 'v9'; it has stars-v1, stars-v2, v1, v2" in nobody.reason
    refused = [line(n / 10, 503, host=2, flags=("UF",), request_id=f"r{n}") for n in range(300)]
    sent, received = arms(0)
    assert verdicts(judged(CANARY, spec, sorted(sent + refused, key=lambda o: o.line.start), received))[1] == "FAIL"


def test_what_cannot_be_seen_is_refused_beforehand() -> None:
    with pytest.raises(FileError, match="gives up after 2 s, before the proxy's timeout of 3 s"):
        TIMEOUT.checks(
            expectation("timeout", TimeoutSpec(to="stars", after=3.0)), context(loads=(replace(load(), timeout=2.0),))
        )
    with pytest.raises(FileError, match="judged on an edge"):
        RETRIES.checks(replace(expectation("retries", RETRY), load="main"), context())
    with pytest.raises(ValueError, match="say what is expected of the retries"):
        RetriesSpec(to="stars").check()


BROKE = {"status": 200, "flags": ("UPE",), "details": "upstream_reset_after_response_started{protocol_error}"}


def ordered(*some: list[EdgeLine]) -> list[EdgeLine]:
    return sorted((one for lines in some for one in lines), key=lambda one: one.line.start)


@pytest.mark.parametrize("flag", ["UC", "UPE", "UT", "DC"])
def test_a_response_that_broke_after_its_status_is_no_good_one(flag: str) -> None:
    half = {**BROKE, "flags": (flag,)}
    assert verdicts(judged(RETRIES, RETRY, [line(n / 10, attempts=2, **half) for n in range(400)]))[0] == "FAIL"
    seen = SUCCESS.checks(expectation("success", SuccessSpec(0.9, to="stars")), context())[0]
    lines = tuple(line(n / 10, **half) for n in range(400))
    assert seen.edge is not None
    record = EdgeRecord(seen.edge, "stars", "shop", "stars.shop", 80, (80,), (), (), SERVERS)
    history = History(PHASES, (FAULT,), {}, (), 0.95, edges={seen.edge: Edge(record, lines, ())})
    found = seen.judge(history, alpha=0.05)
    assert (found.verdict, found.estimate, found.n) == ("FAIL", 0.0, 400)
    sent, received = arms(0)
    halved = [replace(o, line=replace(o.line, **half)) if o.proxy == "stars-2.shop" else o for o in received]
    spec = CanarySpec(to="stars", baseline="v1", canary="v2", error_budget=0.02)
    assert verdicts(judged(CANARY, spec, sent, halved)) == ["FAIL"]


@pytest.mark.parametrize("late", [{}, {"status": 504, "details": "via_upstream"}])
def test_a_timeout_that_some_requests_escape_within_the_tolerance_is_none(late: dict[str, Any]) -> None:
    spec = TimeoutSpec(to="stars", after=0.5)
    escaped = [line(20 + n / 10, duration=0.53, **late) for n in range(100)]
    (found,) = judged(TIMEOUT, spec, [cut(n) for n in range(9)] + escaped)
    assert found.verdict == "FAIL"
    assert "100 of 109 requests still open after 500 ms were not cut by the proxy" in found.reason
    (found,) = judged(TIMEOUT, spec, [cut(n) for n in range(9)] + escaped[:1])
    assert found.verdict == "PASS", "a late answer"
    assert "9 of 10 requests still open after 500 ms were cut by the proxy" in found.reason
    left = [line(20 + n / 10, 0, duration=0.53, flags=("DC",)) for n in range(100)]
    assert verdicts(judged(TIMEOUT, spec, [cut(n) for n in range(9)] + left)) == ["PASS"], "its client left"


def test_a_canary_that_freezes_logs_nothing_and_is_found() -> None:
    spec = CanarySpec(to="stars", baseline="v1", canary="v2", error_ratio=1.5, error_budget=0.02, negligible=0.015)
    sent, received = arms(0)
    given_up = [line(n / 10, 504, host=2, flags=("UT",), request_id=f"u{n}", duration=1.0) for n in range(300)]
    assert verdicts(judged(CANARY, spec, ordered(sent, given_up), received)) == ["FAIL", "FAIL"]
    shed = [line(n / 10, 503, host=2, flags=("UO",), request_id=f"u{n}") for n in range(300)]
    assert verdicts(judged(CANARY, spec, ordered(sent, shed), received)) == ["PASS", "PASS"], "sent nowhere"


def test_attempts_that_arrived_nowhere_may_be_the_canarys() -> None:
    spec = CanarySpec(to="stars", baseline="v1", canary="v2", error_budget=0.02)
    sent, received = arms(0)
    again = [line(n / 10, host=1, attempts=2, request_id=f"r{n}") for n in range(300)]
    saved = [line(n / 10, proxy="stars-1.shop", request_id=f"r{n}") for n in range(300)]
    (found,) = judged(CANARY, spec, ordered(sent, again), ordered(received, saved))
    assert found.verdict == "INCONCLUSIVE"
    assert "300 attempts arrived nowhere and went on elsewhere" in found.reason
    first = [line(n / 10, 500, proxy="stars-1.shop", request_id=f"r{n}") for n in range(300)]
    assert verdicts(judged(CANARY, spec, ordered(sent, again), ordered(received, saved, first))) == ["PASS"], "known"


def test_a_client_that_was_gone_for_half_of_the_phase_passes_nothing() -> None:
    spec = SuccessSpec(0.9, to="stars")
    (gone,) = judged(SUCCESS, spec, [line(n / 10) for n in range(250)])
    assert gone.verdict == "INVALID"
    assert gone.reason.startswith(
        "no request took every client -> stars for 35.1 s of 60 s, from 24.9 s on; of the others: "
    )
    (paused,) = judged(SUCCESS, spec, [line(n / 10) for n in range(600) if not 100 < n < 350])
    assert paused.verdict == "PASS"
    (failing,) = judged(SUCCESS, spec, [line(n / 10, 503) for n in range(250)])
    assert failing.verdict == "FAIL", "what failed did fail"
    burst = [line(40 + n / 10) for n in range(200)]
    (late,) = judged(LATENCY, LatencySpec({"p95": 0.5}, to="stars"), burst)
    assert late.verdict == "INVALID"
