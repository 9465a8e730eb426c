"""Probes on real Envoys: a mesh whose policy is right passes its matrix, and each single weakening of it is caught."""

from __future__ import annotations

import copy
import http.client
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshchaos.checks.denial import ALLOWED, DENIED
from meshchaos.checks.kind import Check, CheckKind, Finding, Verdict
from meshchaos.checks.mutual_tls import MUTUAL_TLS
from meshchaos.errors import UserError
from meshchaos.experiment.specs import build
from meshchaos.history.asks import ProbeAsk
from meshchaos.mesh.local.client import LocalMesh
from meshchaos.mesh.objects import Manifest
from meshchaos.probes.file import FILE
from meshchaos.run.probes import open_doors, probes_for
from tests.checks.histories import context, expectation
from tests.mesh.local.small_mesh import NAMESPACE, small
from tests.probes.matrix import given, judged

MATRIX: tuple[tuple[Any, dict[str, Any]], ...] = (
    (DENIED, {"to": "web", "from": "outside"}),
    (DENIED, {"to": "api", "from": "outside", "methods": ["GET", "POST"], "paths": ["/", "/admin?x=1"]}),
    (ALLOWED, {"to": "api", "from": "web"}),
    (ALLOWED, {"to": "web", "from": ["api", "web"], "token": "garbage"}),
    (MUTUAL_TLS, {"to": "api", "from": "web"}),
    (MUTUAL_TLS, {"all": True}),
)


def policy(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def peer_authentication(name: str, namespace: str, spec: dict[str, Any]) -> Manifest:
    return policy("PeerAuthentication", name, namespace, spec)


def of_app(app: str, **more: Any) -> dict[str, Any]:
    return {"selector": {"matchLabels": {"app": app}}, **more}


STRICT = peer_authentication("default", "istio-system", {"mtls": {"mode": "STRICT"}})


def weakened() -> Iterator[tuple[str, list[Manifest]]]:
    """Each policy set that is weaker than ``STRICT`` in one thing: taken out, or another mode at some scope."""
    yield "no policy", []
    for mode in ("PERMISSIVE", "DISABLE"):
        wide = copy.deepcopy(STRICT)
        wide["spec"]["mtls"]["mode"] = mode
        yield f"mesh {mode}", [wide]
        yield f"namespace {mode}", [STRICT, peer_authentication("default", NAMESPACE, {"mtls": {"mode": mode}})]
        for app in ("web", "api"):
            yield f"{app} {mode}", [STRICT, peer_authentication(app, NAMESPACE, of_app(app, mtls={"mode": mode}))]
            port = of_app(app, portLevelMtls={8080: {"mode": mode}}, mtls={"mode": "STRICT"})
            yield f"port of {app} {mode}", [STRICT, peer_authentication(app, NAMESPACE, port)]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    with LocalMesh.start(small(tmp_path_factory.mktemp("mesh") / "logs")) as started:
        yield started


def checks_of(matrix: Sequence[tuple[CheckKind, dict[str, Any]]]) -> list[Check]:
    made: list[Check] = []
    for index, (kind, fields) in enumerate(matrix):
        wanted = expectation(kind.kind.key, build(kind.kind, fields), index)
        made += kind.checks(wanted, context(wanted, lengths=(("observe", 2),), faults=False, loads=()))
    return made


def found_by(mesh: LocalMesh, folder: Path, matrix: Sequence[tuple[CheckKind, dict[str, Any]]]) -> list[Finding]:
    return judged(mesh, folder, checks_of(matrix), NAMESPACE)


@pytest.mark.envoy
def test_a_right_policy_passes(mesh: LocalMesh, tmp_path: Path) -> None:
    given(mesh, [STRICT])
    found = found_by(mesh, tmp_path, MATRIX)
    assert [one.verdict for one in found] == [Verdict.PASS] * len(MATRIX), [one.reason for one in found]
    assert "garbage.that" not in (tmp_path / FILE).read_text()


@pytest.mark.envoy
@pytest.mark.parametrize("policies", [one for _, one in weakened()], ids=[name for name, _ in weakened()])
def test_each_weakening_is_caught(mesh: LocalMesh, tmp_path: Path, policies: list[Manifest]) -> None:
    given(mesh, policies)
    found = found_by(mesh, tmp_path, MATRIX)
    failed = [one for one in found if one.verdict is Verdict.FAIL]
    assert failed, [(one.name, one.verdict, one.reason) for one in found]
    assert all(one.verdict is Verdict.PASS for one in found if one.kind == "allowed"), "nobody was shut out"
    if any(one.kind == "denied" for one in failed):
        denied = next(one for one in failed if one.kind == "denied")
        assert "the application answered 200" in denied.reason


@pytest.mark.envoy
def test_a_call_that_came_through_is_not_made_again(mesh: LocalMesh, tmp_path: Path) -> None:
    given(mesh, [STRICT])
    matrix = [(DENIED, {"to": "api", "from": "web"}), (ALLOWED, {"to": "api", "from": "web"})]
    found = found_by(mesh, tmp_path, matrix)
    assert [one.verdict for one in found] == [Verdict.FAIL, Verdict.PASS], [one.reason for one in found]
    assert found[0].n < 6 <= found[1].n


@pytest.mark.envoy
def test_a_matrix_that_no_policy_can_refuse_is_told(mesh: LocalMesh) -> None:
    given(mesh, [STRICT])
    snapshot = mesh.snapshot()
    open_door = probes_for(ProbeAsk("api", sources=("web", "outside")), snapshot, NAMESPACE)
    plaintext = probes_for(ProbeAsk("web", sources=("outside",)), snapshot, NAMESPACE)
    allowed = probes_for(ProbeAsk("api", sources=("web",), once=False), snapshot, NAMESPACE)
    (line,) = open_doors([open_door, plaintext, allowed], snapshot, NAMESPACE)
    assert "selects api.shop, so nothing can refuse a call of web.shop" in line
    guarded = replace(snapshot, objects=(*snapshot.objects, policy("AuthorizationPolicy", "all", NAMESPACE, {})))
    assert list(open_doors([open_door], guarded, NAMESPACE)) == []


def test_everybody_else_is_every_other_workload_and_outside(mesh: LocalMesh) -> None:
    snapshot = mesh.snapshot()
    record = probes_for(ProbeAsk("api", but=("web",), methods=("GET", "HEAD")), snapshot, NAMESPACE)
    assert [(cell.source, cell.method) for cell in record.cells] == [
        ("api.shop", "GET"),
        ("api.shop", "HEAD"),
        ("outside", "GET"),
        ("outside", "HEAD"),
    ]
    assert {cell.url for cell in record.cells} == {"http://api:80/"}
    every = probes_for(ProbeAsk("*", sources=("outside",)), snapshot, NAMESPACE)
    assert {cell.to for cell in every.cells} == {"api.shop:80", "web.shop:80"}
    by_identity = ProbeAsk("api", sources=("spiffe://cluster.local/ns/shop/sa/web",))
    assert [cell.source for cell in probes_for(by_identity, snapshot, NAMESPACE).cells] == ["web.shop"]
    with pytest.raises(
        UserError, match=r"no workload calls as 'spiffe://.*/sa/wep', did you mean 'spiffe://.*/sa/web'"
    ):
        probes_for(ProbeAsk("api", but=("spiffe://cluster.local/ns/shop/sa/wep",)), snapshot, NAMESPACE)
    with pytest.raises(UserError, match="no route leads from a gateway"):
        probes_for(ProbeAsk("api", sources=("gateway",)), snapshot, NAMESPACE)
    with pytest.raises(UserError, match="did you mean 'web'"):
        probes_for(ProbeAsk("api", sources=("wep",)), snapshot, NAMESPACE)
    with pytest.raises(UserError, match="name fewer"):
        probes_for(ProbeAsk("api", sources=("web",), paths=tuple(f"/{n}" for n in range(201))), snapshot, NAMESPACE)


@pytest.mark.envoy
def test_an_application_that_is_reached_past_its_proxy_is_no_proof(mesh: LocalMesh, tmp_path: Path) -> None:
    def past_the_proxy() -> None:
        (replica,) = [one for one in mesh.world().replicas if one.workload == "api"]
        connection = http.client.HTTPConnection(replica.applications[8080], timeout=5)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()

    given(mesh, [STRICT])
    checks = checks_of([(DENIED, {"to": "api", "from": "outside"}), (DENIED, {"to": "web", "from": "outside"})])
    api, web = judged(mesh, tmp_path, checks, NAMESPACE, between=past_the_proxy)
    assert api.verdict is Verdict.INVALID
    assert "counted 1 requests, and its proxy passed on 0" in api.reason
    assert web.verdict is Verdict.PASS
    assert web.evidence[0].startswith("the applications' own counts agree: web-")
