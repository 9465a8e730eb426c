"""``plan`` and ``rbac`` of the command, against an API server of the tests: what they say, and that nothing changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_api import Failure, FakeApi
from fake_shop import experiment

from meshchaos.run.api import make_suite
from meshchaos.run.catalog import open_catalog

EXPERIMENT = """
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: slow-web}
spec:
  hypothesis: Slow answers are answers.
  load: {target: "http://web:8000/", from: outside, rate: 50}
  phases: {warmup: 1s, baseline: 5s, fault: 5s}
  faults: [{delay: {to: web, fixedDelay: 1s}}]
  expect: [success: 90%]
"""


@pytest.fixture
def folder(api: FakeApi, tmp_path: Path) -> Path:
    labels = {"app": "web"}
    ports = [{"name": "http", "port": 8000, "targetPort": 8080}]
    spec: dict[str, Any] = {"selector": labels, "ports": ports, "clusterIP": "127.0.0.1"}
    api.put("services", {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web"}]}}
    deployment = {"selector": {"matchLabels": labels}, "template": template}
    api.put("deployments", {"metadata": {"name": "web", "namespace": "shop"}, "spec": deployment})
    owner = {"kind": "ReplicaSet", "name": "web-5", "controller": True}
    meta = {"name": "web-5-a", "namespace": "shop", "labels": {**labels, "pod-template-hash": "5"}}
    pod = {"containers": [{"name": "web", "ports": [{"containerPort": 8080}]}, {"name": "istio-proxy"}]}
    status = {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    api.put("pods", {"metadata": {**meta, "ownerReferences": [owner]}, "spec": pod, "status": status})
    cluster = {"context": "fake", "namespaces": ["shop"], "kubeconfig": str(api.kubeconfig(tmp_path))}
    meshes = {"real": {"kubernetes": cluster}, "near": {"local": {"manifests": ["."]}}}
    (tmp_path / "meshchaos.yaml").write_text(yaml.safe_dump({"meshes": meshes, "defaultMesh": "real"}), "utf-8")
    (tmp_path / "slow.chaos.yaml").write_text(EXPERIMENT, "utf-8")
    return tmp_path


def meshchaos(folder: Path, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "meshchaos", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_a_plan_is_asked_of_the_server_and_writes_nothing(api: FakeApi, folder: Path) -> None:
    before = {key: dict(one) for key, one in api.objects.items()}
    code, out, err = meshchaos(folder, "plan", "slow.chaos.yaml")
    assert (code, err) == (0, ""), out
    assert "inbound|http|8000" in out
    assert "from outside the mesh, in plaintext, to web.shop:8000" in out
    assert api.objects == before
    assert [line.rpartition("/")[0] for line in api.requests if not line.startswith("GET")] == [
        "POST /apis/networking.istio.io/v1alpha3/namespaces/shop",
        "DELETE /apis/networking.istio.io/v1alpha3/namespaces/shop/envoyfilters",
    ]
    assert api.written == []


def test_what_the_server_refuses_is_told_in_its_place(api: FakeApi, folder: Path) -> None:
    api.fail = [Failure("POST /apis/networking.istio.io/v1alpha3/namespaces/shop/envoyfilters", 403, 9)]
    code, out, err = meshchaos(folder, "plan", "slow.chaos.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("meshchaos: slow.chaos.yaml:9:")
    assert "context fake may not do this (403)" in err


def test_the_roles_are_printed_for_a_cluster_alone(api: FakeApi, folder: Path) -> None:
    code, out, err = meshchaos(folder, "rbac", "slow.chaos.yaml")
    assert (code, err) == (0, "")
    assert [role["kind"] for role in yaml.safe_load_all(out)] == ["ClusterRole", "Role", "Role"]
    code, _, err = meshchaos(folder, "rbac", "slow.chaos.yaml", "--mesh", "near")
    assert (code, err) == (2, "meshchaos: mesh near is a local one: it knows no rights\n")


def crowd(api: FakeApi) -> None:
    """A thousand services, each with a VirtualService, a DestinationRule and policies: 5,000 objects of Istio's."""
    for number in range(1000):
        name = f"s{number}"
        meta, istio = {"name": name, "namespace": "shop"}, "networking.istio.io/v1"
        destination = {"host": name, "subset": "all"}
        specs: dict[str, tuple[str, str, dict[str, Any]]] = {
            "services": ("v1", "Service", {"selector": {"app": name}, "ports": [{"name": "http", "port": 8000}]}),
            "virtualservices": (
                istio,
                "VirtualService",
                {"hosts": [name], "http": [{"route": [{"destination": destination}]}]},
            ),
            "destinationrules": (istio, "DestinationRule", {"host": name, "subsets": [{"name": "all"}]}),
            "serviceentries": (istio, "ServiceEntry", {"hosts": [f"{name}.example"], "resolution": "DNS"}),
            "peerauthentications": (
                "security.istio.io/v1",
                "PeerAuthentication",
                {"selector": {"matchLabels": {"app": name}}, "mtls": {"mode": "STRICT"}},
            ),
            "authorizationpolicies": (
                "security.istio.io/v1",
                "AuthorizationPolicy",
                {"selector": {"matchLabels": {"app": name}}, "rules": [{}]},
            ),
        }
        for plural, (version, kind, spec) in specs.items():
            api.put(plural, {"apiVersion": version, "kind": kind, "metadata": dict(meta), "spec": spec})


@pytest.mark.parametrize(
    ("fault", "most"),
    [("delay: {to: stars, fixedDelay: 1s}", 35), ("abort: {to: stars, httpStatus: 503, at: client}", 34)],
)
def test_a_plan_asks_no_more_of_a_large_mesh(api: FakeApi, config: Path, fault: str, most: int) -> None:
    catalog = open_catalog(config=config, mesh="real")
    (chosen,) = catalog.read([experiment(config.parent, "large", fault)], ())
    found = []
    for crowded in (False, True):
        if crowded:
            crowd(api)
        asked = len(api.requests)
        with make_suite(catalog, [chosen]) as suite:
            found.append(suite.plan(chosen)[0].diffs[0].ref)
        assert len(api.requests) - asked <= most
    assert found[0].kind == found[1].kind
