"""With the rights that ``meshchaos rbac`` prints, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from real_cluster import Cluster

from meshchaos.errors import NotFound

pytestmark = pytest.mark.cluster
FAULT = "delay: {to: httpbin, fixedDelay: 300ms, percentage: 50}"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
def runner(cluster: Cluster) -> Iterator[Path]:
    """A kubeconfig of a service account with those rights."""
    place = cluster.namespace
    accounts = f"/api/v1/namespaces/{place}/serviceaccounts"
    cluster.api.call("POST", accounts, {"metadata": {"name": "runner"}})
    made = [f"{accounts}/runner"]
    try:
        experiment = cluster.experiment("limited", FAULT, "success: 90%")
        process = cluster.command("rbac", str(experiment))
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        for role in yaml.safe_load_all(output):
            made += _grant(cluster, role)
        token = cluster.api.call("POST", f"{accounts}/runner/token", {"spec": {}})["status"]["token"]
        yield _kubeconfig(cluster, token)
    finally:
        for path in reversed(made):
            try:
                cluster.api.call("DELETE", path)
            except NotFound:
                continue


def _grant(cluster: Cluster, role: dict[str, Any]) -> list[str]:
    kind, name = role["kind"], role["metadata"]["name"]
    namespace = role["metadata"].get("namespace")
    root = f"{_RBAC}/namespaces/{namespace}" if namespace else _RBAC
    roles, bindings = ("roles", "rolebindings") if namespace else ("clusterroles", "clusterrolebindings")
    cluster.api.call("POST", f"{root}/{roles}", role)
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "runner", "namespace": cluster.namespace}],
    }
    cluster.api.call("POST", f"{root}/{bindings}", binding)
    return [f"{root}/{roles}/{name}", f"{root}/{bindings}/{name}"]


def _kubeconfig(cluster: Cluster, token: str) -> Path:
    configuration = cluster.api._dynamic.configuration
    server = {"server": configuration.host, "certificate-authority": configuration.ssl_ca_cert}
    form = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": server}],
        "users": [{"name": "runner", "user": {"token": token}}],
        "contexts": [{"name": "limited", "context": {"cluster": "c", "user": "runner"}}],
    }
    path = cluster.folder / "limited.kubeconfig"
    path.write_text(yaml.safe_dump(form), "utf-8")
    return path


def test_a_run_needs_no_more_than_what_is_printed(cluster: Cluster, runner: Path) -> None:
    before = cluster.state()
    config = yaml.safe_load((cluster.folder / "meshchaos.yaml").read_text("utf-8"))
    limited = {"context": "limited", "namespaces": [cluster.namespace], "kubeconfig": str(runner)}
    config["meshes"]["limited"] = {**config["meshes"]["real"], "kubernetes": limited}
    file = cluster.folder / "limited.yaml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    process = cluster.command(
        "run", str(cluster.folder / "limited.chaos.yaml"), "--config", str(file), "--mesh", "limited"
    )
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert cluster.state() == before
    # A fault in the gateway's proxy changes a VirtualService, which is not among those rights: told, and nothing done.
    refused = cluster.experiment("refused", "abort: {to: httpbin, httpStatus: 503, at: client}", "success: 1%")
    process = cluster.command("run", str(refused), "--config", str(file), "--mesh", "limited")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert "may not do this (403)" in output
    assert cluster.state() == before
