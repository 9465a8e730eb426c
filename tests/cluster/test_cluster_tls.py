"""Load over TLS to a real ingress gateway, under a fault; and what is said where its certificate is not believed."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from real_cluster import Cluster, until

from meshchaos.mesh.local.certificates import Authority

pytestmark = pytest.mark.cluster
SECRETS = "/api/v1/namespaces/istio-system/secrets"
AUTHORITY = Authority("cluster.local")


@pytest.fixture
def secure(cluster: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """With a server over TLS at the gateway, and who signed its certificate named in meshchaos.yaml."""
    if not cluster.gateway:
        pytest.skip("there is no gateway")
    host = f"{cluster.namespace}.example"
    made = AUTHORITY.served(f"served-to-clients:{host}")["tls_certificate"]
    parts = {"tls.crt": made["certificate_chain"], "tls.key": made["private_key"]}
    data = {name: base64.b64encode(part["inline_string"].encode()).decode() for name, part in parts.items()}
    secret = {"metadata": {"name": cluster.namespace}, "type": "kubernetes.io/tls", "data": data}
    cluster.api.call("POST", SECRETS, {"apiVersion": "v1", "kind": "Secret", **secret})
    before = cluster.get("Gateway", "httpbin")
    tls = {"mode": "SIMPLE", "credentialName": cluster.namespace}
    server = {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": [host], "tls": tls}
    cluster.put({**before, "spec": {**before["spec"], "servers": [*before["spec"]["servers"], server]}})
    (tmp_path / "ca.pem").write_text(AUTHORITY.root, "utf-8")
    config = yaml.safe_load((cluster.folder / "meshchaos.yaml").read_text("utf-8"))
    config["meshes"]["real"].setdefault("gateway", {})["caFile"] = "ca.pem"
    (tmp_path / "meshchaos.yaml").write_text(yaml.safe_dump(config), "utf-8")
    yield replace(cluster, folder=tmp_path, scheme="https")
    now = cluster.get("Gateway", "httpbin")
    cluster.put({**now, "spec": before["spec"]})
    cluster.api.call("DELETE", f"{SECRETS}/{cluster.namespace}")


def test_a_fault_at_the_gateway_is_proved_over_tls(secure: Cluster) -> None:
    def answers() -> bool:
        """The gateway has its certificate, and the server's name."""
        _, code, output = secure.run("ready", "[]", "success: 99%", warmup="1s", observe="2s")
        return code in {0, 3} and "no answer" not in output and "does not answer" not in output

    until(answers, "the gateway speaks TLS", 60)
    before = secure.state()
    fault = "abort: {to: httpbin, httpStatus: 503, percentage: 50, at: client}"
    result, code, output = secure.run("over-tls", fault, "success: 90%")
    assert (code, result["verdict"]) == (1, "FAIL"), output
    assert ", over TLS, to https://" in output
    assert result["faults"][0]["proof"]["verdict"] == "PASS", output
    assert secure.state() == before


def test_a_certificate_that_is_not_believed_is_told_before_anything_is_done(secure: Cluster) -> None:
    (secure.folder / "ca.pem").write_text(Authority("cluster.local").root, "utf-8")
    before = secure.state()
    result, code, output = secure.run("not-believed", "delay: {to: httpbin, fixedDelay: 10ms}", "success: 1%")
    assert (code, result["faults"]) == (3, []), output
    assert "shows a certificate that is not trusted" in output
    assert secure.state() == before
