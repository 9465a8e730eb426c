"""denied, allowed and mutualTLS on histories whose truth is known: what proxies logged of each probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest

from meshchaos.checks.denial import ALLOWED, DENIED, Denial
from meshchaos.checks.kind import Finding, Verdict
from meshchaos.checks.mutual_tls import MUTUAL_TLS
from meshchaos.errors import FileError, UserError
from meshchaos.experiment.specs import build
from meshchaos.history.asks import EdgeAsk, ProbeAsk
from meshchaos.history.edges import Edge, EdgeLine, EdgeRecord, Peer, StatPoint
from meshchaos.history.probes import Cell, Hits, Probe, Probed, ProbeRecord, is_probe, probe_id
from meshchaos.history.records import History
from meshchaos.history.samples import request_id
from meshchaos.mesh.seam import ProxyLogLine
from tests.checks.histories import T0, context, expectation, phases

RUN = "0000beef"
PEER = "spiffe://cluster.local/ns/shop/sa/page"
RBAC: dict[str, Any] = {"status": 403, "details": "rbac_access_denied_matched_policy[none]"}
JWT: dict[str, Any] = {"status": 401, "details": "jwt_authn_access_denied{Jwt_is_expired}"}
NO_ANSWER: dict[str, Any] = {"status": 403, "details": "ext_authz_error", "flags": ("UAEX",)}
"""The authorizer's; it does not fail open."""
THROUGH: dict[str, Any] = {"status": 200, "details": "via_upstream", "upstream_host": "127.64.0.2:80"}
FAULT: dict[str, Any] = {"status": 503, "details": "fault_filter_abort", "flags": ("FI",)}
NO_APP: dict[str, Any] = {"status": 503, "flags": ("UF",), "upstream_host": "127.64.0.2:80"}
BY_APP = THROUGH | {"status": 403}


def logged(identity: str, at: float, **fields: Any) -> EdgeLine:
    base = ProxyLogLine(at, 0.002, "inbound", identity, "GET", "/", "api", 0, (), "", "", "", "", 1, (), PEER)
    return EdgeLine("api-1.shop", replace(base, **fields))


def lines_at(side: str, lines: Sequence[EdgeLine]) -> tuple[tuple[EdgeLine, ...], tuple[EdgeLine, ...]]:
    """Those sent, those received."""
    if side == "received":
        return (), tuple(lines)
    sent = (EdgeLine("gateway-1.istio-system", replace(one.line, side="outbound", peer="")) for one in lines)
    return tuple(sent), ()


def judged(
    kind: Denial,
    lines: Sequence[dict[str, Any] | None],
    *,
    source: str = "page",
    looks: Sequence[tuple[float, int]] = (),
    failure: Any = "",
    problem: str | None = None,
    hits: tuple[int, int] | None = None,
    side: Literal["received", "sent"] = "received",
) -> Finding:
    """One cell, a probe each 0.2 s through a phase of 20 s; ``lines``: what the server (``sent``: only the gateway)
    logged of each.
    """
    wanted = expectation(kind.kind.key, build(kind.kind, {"to": "api", "from": source}))
    scene = context(wanted, lengths=(("observe", 20),), faults=False, loads=())
    (check,) = kind.checks(wanted, scene)
    probes, received = [], []
    for number, fields in enumerate(lines):
        identity, at = probe_id(RUN, 0, number), T0 + 0.2 * number + 0.1
        status = (fields or {}).get("status", 0)
        probes.append(Probe(0, "observe", identity, at, at + 0.01, status, "" if status else failure))
        if fields is not None:
            received.append(logged(identity, at, **fields))
    name = source if source in ("outside", "gateway") else f"{source}.shop"
    cells = (Cell(name, "api.shop:80", "GET", "/", "http://api:80/"),)
    counts = tuple(Hits("api-1.shop", T0 + at, value) for at, value in zip((0, 20), hits or (), strict=False))
    stats = tuple(StatPoint(T0 + at, "api-1.shop", "listener.x.no_filter_chain_match", value) for at, value in looks)
    server = Peer("api-1.shop", "api", "127.64.0.2")
    record = EdgeRecord(check.edge, "api", "shop", "api.shop", 80, (80,), (), (), (server,), problem=problem)
    history = History(
        phases(observe=20),
        (),
        {},
        (),
        0.95,
        edges={check.edge: Edge(record, *lines_at(side, received), stats)},
        probes={check.ask: Probed(ProbeRecord(check.ask, cells), tuple(probes), counts)},
    )
    return check.judge(history, alpha=0.05)


@pytest.mark.parametrize(
    ("kind", "lines", "verdict", "words"),
    [
        (DENIED, [RBAC] * 5, Verdict.PASS, "all 5 probes of 1 call were refused, and none reached the application"),
        (DENIED, [JWT] * 6, Verdict.PASS, "all 6 probes"),
        (DENIED, [NO_ANSWER] * 6, Verdict.PASS, "all 6 probes"),
        (DENIED, [RBAC] * 4, Verdict.INCONCLUSIVE, "only 4 probes counted, and it takes 5"),
        (DENIED, [], Verdict.INCONCLUSIVE, "only 0 probes counted"),
        (DENIED, [RBAC] * 50 + [THROUGH], Verdict.FAIL, "the application answered 200 (1 of 51 probes"),
        (DENIED, [BY_APP] * 9, Verdict.FAIL, "only the application itself refused it"),
        (DENIED, [RBAC] * 9 + [FAULT], Verdict.INCONCLUSIVE, "1 probe passed the policies"),
        (DENIED, [RBAC] * 9 + [NO_APP], Verdict.INCONCLUSIVE, "1 probe passed the policies"),
        (DENIED, [None] * 9, Verdict.INCONCLUSIVE, "not counted: 9"),
        (ALLOWED, [THROUGH] * 5, Verdict.PASS, "let through by the mesh"),
        (ALLOWED, [BY_APP] * 5, Verdict.PASS, "let through by the mesh"),
        (ALLOWED, [THROUGH] * 50 + [RBAC], Verdict.FAIL, "403 rbac_access_denied_matched_policy[none]"),
        (ALLOWED, [THROUGH] * 50 + [NO_ANSWER], Verdict.FAIL, "403 ext_authz_error"),
        (ALLOWED, [THROUGH] * 5 + [FAULT] * 40, Verdict.PASS, "all 5 probes"),
        (ALLOWED, [THROUGH] * 4 + [NO_APP] * 9, Verdict.INCONCLUSIVE, "only 4 probes counted"),
    ],
)
def test_the_servers_word_decides(
    kind: Denial, lines: Sequence[dict[str, Any] | None], verdict: Verdict, words: str
) -> None:
    found = judged(kind, lines)
    assert found.verdict is verdict
    assert words in found.reason
    if lines:
        assert found.matrix is not None
        assert found.matrix.rows[0].cells[0].verdict is verdict


def test_a_closed_connection_is_a_denial_only_where_the_listener_counted_it() -> None:
    silent: list[dict[str, Any] | None] = [None] * 10
    moved = judged(DENIED, silent, source="outside", failure="reset", looks=[(0, 3), (5, 13)])
    assert moved.verdict is Verdict.PASS
    still = judged(DENIED, silent, source="outside", failure="reset", looks=[(0, 3), (5, 3)])
    assert still.verdict is Verdict.INCONCLUSIVE
    assert "no server's proxy counts a refusal" in still.reason
    assert judged(ALLOWED, silent, source="outside", failure="reset", looks=[(0, 3), (5, 13)]).verdict is Verdict.FAIL
    lost = judged(DENIED, silent, source="outside", failure="connect", looks=[(0, 3), (5, 13)])
    assert lost.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("kind", "verdict"), [(DENIED, Verdict.PASS), (ALLOWED, Verdict.FAIL)])
@pytest.mark.parametrize("answer", [RBAC, JWT])
def test_what_a_gateway_refuses_is_refused(kind: Denial, verdict: Verdict, answer: dict[str, Any]) -> None:
    found = judged(kind, [answer] * 6, source="gateway", side="sent")
    assert found.verdict is verdict
    if kind is ALLOWED:
        assert f"{answer['status']} {answer['details']}, at gateway-1.istio-system" in found.reason


def test_what_is_not_all_known_never_passes() -> None:
    assert judged(DENIED, [RBAC] * 9, problem="a log lost lines").verdict is Verdict.INVALID
    found = judged(DENIED, [RBAC] * 9)
    assert found.verdict is Verdict.PASS
    assert found.evidence == ("no application behind it has a count of its own to ask: the proxies' logs alone say so",)


@pytest.mark.parametrize(
    ("kind", "lines", "hits", "verdict", "words"),
    [
        (DENIED, [RBAC] * 9, (4, 4), Verdict.PASS, "refused"),
        (DENIED, [RBAC] * 9, (4, 5), Verdict.INVALID, "counted 1 requests, and its proxy passed on 0"),
        (DENIED, [RBAC] * 9, (4, 0), Verdict.PASS, "refused"),  # it was started anew
        (DENIED, [RBAC] * 9 + [THROUGH], (4, 4), Verdict.FAIL, "the application answered 200"),
        (ALLOWED, [THROUGH] * 9, (4, 13), Verdict.PASS, "let through"),
        (ALLOWED, [THROUGH] * 9, (4, 14), Verdict.INVALID, "counted 10 requests, and its proxy passed on 9"),
        (ALLOWED, [THROUGH] * 9, (4, 4), Verdict.INVALID, "counted 0 requests, and its proxy has 9 answers of it"),
        (ALLOWED, [THROUGH] * 9 + [NO_APP], (4, 13), Verdict.PASS, "let through"),
        (ALLOWED, [THROUGH] * 9 + [RBAC], (4, 4), Verdict.FAIL, "rbac_access_denied"),
    ],
)
def test_the_applications_own_count_is_asked_too(
    kind: Denial, lines: Sequence[dict[str, Any]], hits: tuple[int, int], verdict: Verdict, words: str
) -> None:
    found = judged(kind, lines, hits=hits)
    assert found.verdict is verdict
    assert words in found.reason
    if verdict is Verdict.PASS and hits[1] >= hits[0]:
        assert found.evidence == ("the applications' own counts agree: api-1.shop",)


@pytest.mark.parametrize(
    ("peers", "accepted", "looks", "verdict", "words"),
    [
        ([PEER] * 3, False, True, Verdict.PASS, "plaintext was refused"),
        ([PEER, ""], False, True, Verdict.FAIL, "in plaintext, without any identity"),
        ([PEER, PEER + "x"], False, True, Verdict.FAIL, f"as {PEER}x"),
        ([PEER], True, True, Verdict.FAIL, "plaintext was taken"),
        ([], False, True, Verdict.INVALID, "no request arrived"),
        ([PEER], False, False, Verdict.INVALID, "proxyStatsMatcher"),
    ],
)
def test_mutual_tls(peers: list[str], accepted: bool, looks: bool, verdict: Verdict, words: str) -> None:
    wanted = expectation("mutualTLS", build(MUTUAL_TLS.kind, {"to": "api", "from": "page"}))
    (check,) = MUTUAL_TLS.checks(wanted, context(wanted, lengths=(("observe", 20),), faults=False, loads=()))
    received = [logged(request_id(RUN, 0, at), T0 + 1, **THROUGH, peer=peer) for at, peer in enumerate(peers)]
    probes = [Probe(0, "observe", probe_id(RUN, 0, at), T0 + 2, T0 + 2.1, 0, "reset") for at in range(5)]
    if accepted:  # refused by a policy, and yet taken: without an identity
        received.append(logged(probes[0].id, T0 + 2, **RBAC, peer=""))
    points = (StatPoint(T0, "api-1.shop", "listener.x.no_filter_chain_match", 0),)
    points = (*points, replace(points[0], at=T0 + 9, value=5)) if looks else ()
    server = Peer("api-1.shop", "api", "127.64.0.2")
    record = EdgeRecord(check.arrivals, "api", "shop", "api.shop", 80, (80,), (), (), (server,))
    assert check.named is not None
    named = replace(record, ask=check.named, identities=(PEER,))
    cells = (Cell("outside", "api.shop:80", "GET", "/", "http://api:80/"),)
    history = History(
        phases(observe=20),
        (),
        {},
        (),
        0.95,
        edges={check.arrivals: Edge(record, (), tuple(received), points), check.named: Edge(named, (), ())},
        probes={check.ask: Probed(ProbeRecord(check.ask, cells), tuple(probes))},
    )
    found = check.judge(history, alpha=0.05)
    assert found.verdict is verdict
    assert words in found.reason


def test_a_wrong_arrival_that_another_expectations_probe_caused_is_said_to_be_so() -> None:
    wanted = expectation("mutualTLS", build(MUTUAL_TLS.kind, {"to": "api"}))
    (check,) = MUTUAL_TLS.checks(wanted, context(wanted, lengths=(("observe", 20),), faults=False, loads=()))
    server = Peer("api-1.shop", "api", "127.64.0.2")
    record = EdgeRecord(check.arrivals, "api", "shop", "api.shop", 80, (80,), (), (), (server,))
    cells = (Cell("outside", "api.shop:80", "GET", "/", "http://api:80/"),)

    def reason(who: str) -> str:
        edge = Edge(record, (), (logged(who, T0 + 1, **THROUGH, peer=""),))
        probed = {check.ask: Probed(ProbeRecord(check.ask, cells), ())}
        history = History(phases(observe=20), (), {}, (), 0.95, edges={check.arrivals: edge}, probes=probed)
        found = check.judge(history, alpha=0.05)
        assert found.verdict is Verdict.FAIL
        return found.reason

    assert reason(probe_id(RUN, 7, 1)).endswith("GET /, on account of a probe that another expectation makes")
    assert reason(request_id(RUN, 0, 1)).endswith("without any identity: GET /")


def test_plaintext_taken_at_one_service_outweighs_too_few_probes_of_another() -> None:
    wanted = expectation("mutualTLS", build(MUTUAL_TLS.kind, {"all": True}))
    (check,) = MUTUAL_TLS.checks(wanted, context(wanted, lengths=(("observe", 20),), faults=False, loads=()))
    probes = [Probe(cell, "observe", probe_id(RUN, cell, cell), T0 + 2, T0 + 2.1, 0, "reset") for cell in (0, 1)]
    lines = (logged(request_id(RUN, 0, 0), T0 + 1, **THROUGH), logged(probes[1].id, T0 + 2, **RBAC, peer=""))
    points = (StatPoint(T0, "web-1.shop", "listener.x.no_filter_chain_match", 0),)
    servers = tuple(Peer(f"{name}-1.shop", name, f"127.64.0.{at}") for at, name in enumerate(("web", "api"), 2))
    record = EdgeRecord(check.arrivals, "", "", "", 0, (), (), (), servers)
    cells = tuple(Cell("outside", f"{name}.shop:80", "GET", "/", f"http://{name}:80/") for name in ("web", "api"))
    history = History(
        phases(observe=20),
        (),
        {},
        (),
        0.95,
        edges={check.arrivals: Edge(record, (), lines, points)},
        probes={check.ask: Probed(ProbeRecord(check.ask, cells), tuple(probes))},
    )
    found = check.judge(history, alpha=0.05)
    assert found.verdict is Verdict.FAIL
    assert "plaintext was taken: outside -> api.shop:80" in found.reason


def test_left_out_phases_are_all_phases_and_names_tell_calls_apart() -> None:
    one = expectation("denied", build(DENIED.kind, {"to": "api", "notFrom": "page", "paths": "/x", "token": "garbage"}))
    (check,) = DENIED.checks(one, context(one))
    assert check.during == ("baseline", "fault", "recovery")
    assert check.name == "denied all but page -> api /x with garbage as token"
    assert [type(ask) for ask in check.asks] == [EdgeAsk, ProbeAsk]


def test_a_call_with_effects_is_asked_for() -> None:
    one = expectation("allowed", build(ALLOWED.kind, {"to": "api", "from": "page", "methods": "DELETE"}))
    with pytest.raises(FileError, match="sideEffects: true"):
        ALLOWED.checks(one, context(one))
    for fields, words in (
        ({"to": "api"}, "either `from` or `notFrom`"),
        ({"to": "api", "from": "a", "token": "eyJhbGciOi"}, "a token is not written down"),
        ({"to": "api", "from": "a", "token": {"issuer": "x", "claim": 1}}, "without claim"),
    ):
        with pytest.raises(UserError, match=words):
            build(DENIED.kind, fields)


def test_ids_of_probes_are_told_from_those_of_loads() -> None:
    assert is_probe(probe_id(RUN, 199, 10**9))
    assert not is_probe(request_id(RUN, 3, 10**6))
    assert not is_probe("")
