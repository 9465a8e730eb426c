"""The tier on a real cluster with a real Istio: ``MESHCHAOS_TEST_CONTEXT`` names a context of the kubeconfig.

Everything happens in a namespace of its own, which is made here and deleted again; ``MESHCHAOS_TEST_IMAGE`` is an image
of httpbin that it can pull, ``MESHCHAOS_TEST_OWN_IMAGE`` one with meshchaos in it. Calls go through the ingress
gateway where the cluster has one that this machine reaches (``MESHCHAOS_TEST_GATEWAY``: its address), else from outside
to the Service.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from real_cluster import Cluster, opened

OWN_IMAGE = os.environ.get("MESHCHAOS_TEST_OWN_IMAGE")
_SECURITY = "/apis/security.istio.io/v1"
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    context = os.environ.get("MESHCHAOS_TEST_CONTEXT")
    for item in items:
        if _HERE in item.path.parents and item.get_closest_marker("cluster") is not None and not context:
            reason = "no cluster: MESHCHAOS_TEST_CONTEXT names a context of the kubeconfig"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with opened(os.environ["MESHCHAOS_TEST_CONTEXT"], tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="module")
def inside(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The same, with an image for callers, and a policy set: mutual TLS alone, and only the sleeper is let in.
    For a module: they are taken away again before others call.
    """
    if not OWN_IMAGE:
        pytest.skip("MESHCHAOS_TEST_OWN_IMAGE names no image with meshchaos in it")
    place = cluster.namespace
    folder = tmp_path_factory.mktemp("inside")
    mesh = {"kubernetes": {"context": cluster.api.context, "namespaces": [place], "image": OWN_IMAGE}}
    (folder / "meshchaos.yaml").write_text(yaml.safe_dump({"meshes": {"real": mesh}}), "utf-8")
    peer = {"metadata": {"name": "default"}, "spec": {"mtls": {"mode": "STRICT"}}}
    source = {"principals": [f"cluster.local/ns/{place}/sa/sleeper"]}
    rule = {"selector": {"matchLabels": {"app": "httpbin"}}, "rules": [{"from": [{"source": source}]}]}
    policy = {"metadata": {"name": "httpbin"}, "spec": rule}
    paths = [f"{_SECURITY}/namespaces/{place}/{plural}" for plural in ("peerauthentications", "authorizationpolicies")]
    kinds = ("PeerAuthentication", "AuthorizationPolicy")
    for path, kind, manifest in zip(paths, kinds, (peer, policy), strict=True):
        cluster.api.call("POST", path, {"apiVersion": "security.istio.io/v1", "kind": kind, **manifest})
    yield replace(cluster, folder=folder, source="sleeper", gateway=False)
    for path, manifest in zip(paths, (peer, policy), strict=True):
        cluster.api.call("DELETE", f"{path}/{manifest['metadata']['name']}")
