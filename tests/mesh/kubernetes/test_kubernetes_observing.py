"""The access log that a run adds: journalled, taken back, and without the gateways that may not be written to."""

from __future__ import annotations

from typing import Any

import pytest
from fake_api import Failure, FakeApi

from meshchaos.errors import EvidenceError
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.status import Forbidden

FILTERS = "/apis/networking.istio.io/v1alpha3/namespaces"


def pod(name: str, namespace: str, role: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "labels": {"app": name}}
    return {"metadata": meta, "spec": {"containers": [{"name": "istio-proxy", "args": ["proxy", role]}]}, "status": {}}


@pytest.fixture(autouse=True)
def _pods(api: FakeApi) -> None:
    api.put("pods", pod("web", "shop", "sidecar"))
    api.put("pods", pod("gate", "istio-system", "router"))


def filters(api: FakeApi) -> list[str]:
    return sorted(f"{name}.{place}" for plural, place, name in api.objects if plural == "envoyfilters")


def test_filters_are_journalled_and_go_with_the_journal(api: FakeApi, mesh: KubernetesMesh) -> None:
    mesh.journal.open("7", "me", [], 30)
    mesh.observe(["x-user"])
    assert len(mesh.journal.entries()[0].changes) == 2
    assert filters(api) == ["chaos-7-log-gate.istio-system", "chaos-7-log.shop"]
    mesh.journal.close("7")
    assert filters(api) == []
    assert not [key for key in api.objects if key[0] in ("leases", "configmaps")]


def test_a_gateway_that_may_not_be_written_to_logs_nothing_and_that_is_said(api: FakeApi, mesh: KubernetesMesh) -> None:
    api.fail = [Failure(f"POST {FILTERS}/istio-system", 403, 99, reason="Forbidden")]
    mesh.journal.open("7", "me", [], 30)
    mesh.observe([])
    assert filters(api) == ["chaos-7-log.shop"]
    gate, web = sorted(mesh.proxies(), key=lambda one: one.name)
    with pytest.raises(
        EvidenceError, match=r"the proxy of gate\.istio-system logs nothing for this run: no EnvoyFilter"
    ):
        gate.log_mark()
    assert web.log_mark() == 0
    mesh.journal.close("7")
    assert filters(api) == []


def test_where_the_mesh_itself_may_not_be_written_to_nothing_is(api: FakeApi, mesh: KubernetesMesh) -> None:
    api.fail = [Failure(f"POST {FILTERS}/shop", 403, 99, reason="Forbidden")]
    mesh.journal.open("7", "me", [], 30)
    with pytest.raises(Forbidden, match=r"may not do this \(403\)"):
        mesh.observe([])
    mesh.journal.close("7")
    assert filters(api) == []
