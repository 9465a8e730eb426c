"""The demo on a real cluster: its manifests and its experiment as they are, with the verdicts of the local mesh.

``MESHCHAOS_TEST_BOOKINFO=1``: the cluster has the images that the manifests name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from real_cluster import Cluster, until

from meshchaos.errors import NotFound
from meshchaos.mesh.objects import Manifest, Ref

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]
NAMESPACE = "bookinfo"
SLOW = ROOT / "experiments" / "slow-ratings.chaos.yaml"


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if os.environ.get("MESHCHAOS_TEST_BOOKINFO") != "1":
        pytest.skip("MESHCHAOS_TEST_BOOKINFO is not 1: the images of the demo are not there")
    folder = tmp_path_factory.mktemp("bookinfo")
    config = yaml.safe_load((cluster.folder / "meshchaos.yaml").read_text("utf-8"))
    config["meshes"]["real"]["kubernetes"]["namespaces"] = [NAMESPACE]
    config["slos"] = yaml.safe_load((ROOT / "meshchaos.yaml").read_text("utf-8"))["slos"]
    (folder / "meshchaos.yaml").write_text(yaml.safe_dump(config), "utf-8")
    found = replace(cluster, namespace=NAMESPACE, folder=folder)
    try:
        for file in sorted(
            (ROOT / "experiments" / "bookinfo").rglob("*.yaml"), key=lambda one: "namespace" not in one.name
        ):
            for manifest in yaml.safe_load_all(file.read_text("utf-8")):
                _apply(found, manifest)
        names = [one["metadata"]["name"] for one in found.api.listing(found.kinds.collection("Deployment", NAMESPACE))]
        until(lambda: all(map(found.ready, names)), "the shop is ready", 180)
        yield found
    finally:
        cluster.api.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


def _apply(cluster: Cluster, manifest: Manifest) -> None:
    """Instead of what is there."""
    place, meta = manifest["metadata"].get("namespace", ""), manifest["metadata"]
    try:
        there = cluster.api.get(cluster.kinds.path(Ref(manifest["kind"], place, meta["name"])))
    except NotFound:
        cluster.api.call("POST", cluster.kinds.collection(manifest["kind"], place), cluster.kinds.as_served(manifest))
        return
    version = there["metadata"]["resourceVersion"]
    cluster.put({**manifest, "metadata": {**meta, "resourceVersion": version}})


@pytest.mark.parametrize(
    ("routes", "verdict", "code"), [("bookinfo/routes", "PASS", 0), ("bookinfo-naive", "FAIL", 1)], ids=["", "naive"]
)
def test_the_demos_experiment_says_what_it_says_on_a_laptop(
    shop: Cluster, routes: str, verdict: str, code: int
) -> None:
    for file in sorted((ROOT / "experiments" / routes).glob("ratings.yaml")):
        for manifest in yaml.safe_load_all(file.read_text("utf-8")):
            _apply(shop, manifest)
    before = shop.state()
    told = shop.folder / f"{verdict}.json"
    process = shop.command("run", str(SLOW), "--mesh", "real", "--json", str(told))
    output, _ = process.communicate(timeout=180)
    assert process.returncode == code, output
    (result,) = yaml.safe_load(told.read_text("utf-8"))["runs"]
    assert result["verdict"] == verdict
    if verdict == "FAIL":
        assert [one["name"] for one in result["expectations"] if one["verdict"] == "FAIL"] == ["slo page latency p99"]
    assert shop.state() == before
