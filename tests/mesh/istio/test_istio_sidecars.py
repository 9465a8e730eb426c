"""What Sidecar objects hide."""

from __future__ import annotations

from typing import Any

import pytest

from meshchaos.mesh.istio.sidecars import governing, hides
from meshchaos.mesh.objects import Manifest

RATINGS = ("ratings.bookinfo.svc.cluster.local", "bookinfo")


def sidecar(name: str, namespace: str = "bookinfo", created: str = "2026-01-01T00:00:00Z", **spec: Any) -> Manifest:
    return {
        "kind": "Sidecar",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
        "spec": spec,
    }


def test_the_one_that_selects_a_workload_goes_before_the_namespaces_and_the_meshs() -> None:
    own = sidecar("own", workloadSelector={"labels": {"app": "reviews"}})
    older = sidecar("older", created="2025-01-01T00:00:00Z", workloadSelector={"labels": {"app": "reviews"}})
    space, mesh = sidecar("space"), sidecar("mesh", "istio-system")
    objects = [own, space, mesh]
    assert governing(objects, "bookinfo", {"app": "reviews"}) is own
    assert governing([*objects, older], "bookinfo", {"app": "reviews"}) is older
    assert governing(objects, "bookinfo", {"app": "details"}) is space
    assert governing(objects, "shop", {"app": "details"}) is mesh
    assert governing([own], "bookinfo", {"app": "details"}) is None


@pytest.mark.parametrize(
    ("hosts", "hidden"),
    [
        (["*/*"], False),
        (["./*"], False),
        (["bookinfo/*"], False),
        (["./ratings.bookinfo.svc.cluster.local"], False),
        (["*/*.bookinfo.svc.cluster.local"], False),
        (["istio-system/*"], True),
        (["./details.bookinfo.svc.cluster.local"], True),
        (["~/*"], True),
        (["./details.bookinfo.svc.cluster.local", "./*"], False),
    ],
)
def test_egress_hosts(hosts: list[str], *, hidden: bool) -> None:
    assert hides(sidecar("s", egress=[{"hosts": hosts}]), RATINGS, "bookinfo", port=9080) is hidden


def test_a_listener_of_another_port_imports_nothing_for_this_one() -> None:
    other = sidecar("s", egress=[{"port": {"number": 8080}, "hosts": ["*/*"]}])
    assert hides(other, RATINGS, "bookinfo", port=9080)
    assert not hides(other, RATINGS, "bookinfo", port=8080)


def test_without_egress_everything_is_seen() -> None:
    assert not hides(sidecar("s"), RATINGS, "bookinfo", port=9080)
    assert not hides(None, RATINGS, "bookinfo", port=9080)
