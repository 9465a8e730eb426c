"""The matrix of experiments/policies/zero-trust.chaos.yaml finds each single weakening of the policies beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from meshchaos.checks.kind import Check, Verdict
from meshchaos.experiment.model import Phase
from meshchaos.mesh.local.client import LocalMesh
from meshchaos.mesh.local.objects import manifests
from meshchaos.mesh.objects import Manifest
from meshchaos.run.catalog import Catalog, open_catalog
from meshchaos.run.meshes import local_spec
from meshchaos.run.plan import make_checks
from tests.probes.matrix import POLICIES, given, judged
from tests.probes.weakenings import weakenings

pytestmark = pytest.mark.envoy

ROOT: Final = Path(__file__).parents[2]
EXPERIMENTS: Final = ROOT / "experiments" / "policies"
NAMESPACE: Final = "bookinfo"
APPS: Final = ("productpage", "details", "reviews", "ratings", "promotions")
NO_WEAKER: Final = {
    "AuthorizationPolicy details-internal: selector dropped": "it denies more, and nobody else has such a path",
    "AuthorizationPolicy productpage: selector dropped": "only the gateway may call, which leads nowhere else",
    "RequestAuthentication productpage: selector dropped": "wrong tokens are refused elsewhere too",
    "RequestAuthentication productpage: jwtRules[0].forwardOriginalToken dropped": "no policy behind the page reads it",
}
"""Changes that let nobody through who was not let through before, with the reason."""


def right() -> list[Manifest]:
    """The policies as the files have them."""
    loaded = manifests.load([ROOT / "experiments" / "bookinfo", EXPERIMENTS / "zero-trust"])
    return [one for one in loaded if one["kind"] in POLICIES]


WEAKENED: Final = dict(weakenings(right(), [(app, 9080) for app in APPS], NAMESPACE))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return open_catalog(config=ROOT / "meshchaos.yaml")


@pytest.fixture(scope="module")
def mesh(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    """One replica of each, and a connection for each request, so that every one meets the policies of the moment."""
    spec = local_spec(catalog, "zero-trust", tmp_path_factory.mktemp("mesh") / "logs")
    for one in spec.manifests:
        if one["kind"] == "Deployment":
            one["spec"]["replicas"] = 1
    others = [one for one in spec.manifests if one["kind"] != "DestinationRule"]
    with LocalMesh.start(replace(spec, manifests=(*others, *map(unpooled, APPS)))) as started:
        yield started


def unpooled(app: str) -> Manifest:
    pool = {"connectionPool": {"http": {"maxRequestsPerConnection": 1}}}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": app, "namespace": NAMESPACE},
        "spec": {"host": app, "trafficPolicy": pool},
    }


@pytest.fixture(scope="module")
def checks(catalog: Catalog) -> tuple[Check, ...]:
    """The experiment's expectations, about a time without faults."""
    (experiment,) = catalog.read([EXPERIMENTS / "zero-trust.chaos.yaml"], [])
    expect = tuple(replace(one, during=None) for one in experiment.expect)
    quiet = replace(experiment, faults=(), phases=(Phase("observe", 10.0),), expect=expect)
    return make_checks(quiet, catalog.kinds, {})


def test_every_kind_of_weakening_is_made() -> None:
    for words in (
        "AuthorizationPolicy allow-nothing: dropped",
        "AuthorizationPolicy details-internal: dropped",
        "AuthorizationPolicy productpage: rules[2].when[0] request.auth.claims[groups] editors -> *",
        "AuthorizationPolicy productpage: rules[0].from[0].namespaces istio-system -> *",
        "AuthorizationPolicy ratings: rules[0].to[0].paths /ratings/* -> *",
        "PeerAuthentication default: mode DISABLE",
        "PeerAuthentication of port of reviews: PERMISSIVE",
        "RequestAuthentication productpage: jwtRules[1].audiences dropped",
    ):
        assert words in WEAKENED
    assert set(NO_WEAKER) <= set(WEAKENED)


def test_the_right_policies_pass(mesh: LocalMesh, checks: tuple[Check, ...], tmp_path: Path) -> None:
    given(mesh, right())
    found = judged(mesh, tmp_path, checks, NAMESPACE)
    assert [one.name for one in found if one.verdict is not Verdict.PASS] == [], [one.reason for one in found]


@pytest.mark.parametrize("name", [name for name in WEAKENED if name not in NO_WEAKER])
def test_each_weakening_is_caught(mesh: LocalMesh, checks: tuple[Check, ...], tmp_path: Path, name: str) -> None:
    given(mesh, WEAKENED[name])
    found = judged(mesh, tmp_path, checks, NAMESPACE, calls=1)
    assert [one.name for one in found if one.verdict is Verdict.FAIL], f"survived: {name}"


@pytest.mark.parametrize("name", NO_WEAKER)
def test_what_is_said_to_be_no_weaker_opens_nothing(
    mesh: LocalMesh, checks: tuple[Check, ...], tmp_path: Path, name: str
) -> None:
    given(mesh, WEAKENED[name])
    found = judged(mesh, tmp_path, checks, NAMESPACE, calls=1)
    assert [(one.name, one.reason) for one in found if one.verdict is Verdict.FAIL] == []
