"""Which Telemetry objects decide on a workload's access logs."""

from __future__ import annotations

from typing import Any

import pytest

from meshchaos.mesh.istio.telemetry import AccessLogging, Mode, access_logging
from meshchaos.mesh.objects import Manifest

ENVOY = {"providers": [{"name": "envoy"}]}
OFF = {"disabled": True}
RATINGS = {"selector": {"matchLabels": {"app": "ratings"}}}
ALL = AccessLogging()


def telemetry(name: str, namespace: str, *elements: dict[str, Any], age: int = 0, **spec: Any) -> Manifest:
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": f"2026-01-01T00:00:{age:02}Z"}
    return {"kind": "Telemetry", "metadata": metadata, "spec": {"accessLogging": list(elements), **spec}}


def found(*objects: Manifest, side: Mode = "SERVER", app: str = "ratings") -> AccessLogging | None:
    return access_logging(objects, "shop", {"app": app}, side)


MESH = telemetry("mesh", "istio-system", ENVOY)


def test_nothing_is_logged_unasked() -> None:
    assert found() is None
    assert found(telemetry("empty", "shop", {})) is None, "Istio has no provider of its own choice"
    assert found(telemetry("elsewhere", "other", ENVOY)) is None


@pytest.mark.parametrize(
    "objects",
    [[MESH], [telemetry("ns", "shop", ENVOY)], [telemetry("w", "shop", ENVOY, **RATINGS)]],
    ids=["mesh", "namespace", "workload"],
)
def test_scopes(objects: list[Manifest]) -> None:
    assert found(*objects) == ALL


def test_a_selector_chooses_workloads_of_its_own_namespace() -> None:
    assert found(telemetry("w", "shop", ENVOY, **RATINGS), app="page") is None
    assert found(telemetry("w", "istio-system", ENVOY, **RATINGS)) is None


def test_the_narrower_scope_turns_off_what_the_wider_turned_on() -> None:
    off = telemetry("off", "shop", OFF, **RATINGS)
    assert found(MESH, off) is None, "an element without providers is about those before it"
    assert found(MESH, off, app="page") == ALL
    assert found(telemetry("off", "istio-system", {**ENVOY, **OFF}), telemetry("on", "shop", ENVOY)) == ALL


def test_the_oldest_of_a_scope_counts() -> None:
    older, younger = telemetry("b", "shop", ENVOY, age=1), telemetry("a", "shop", {**ENVOY, **OFF}, age=2)
    assert found(younger, older) == ALL


def test_sides() -> None:
    client = telemetry("c", "shop", {**ENVOY, "match": {"mode": "CLIENT"}})
    assert (found(client), found(client, side="CLIENT")) == (None, ALL)
    both = telemetry("c", "shop", ENVOY, {**OFF, "match": {"mode": "SERVER"}})
    assert (found(both), found(both, side="CLIENT")) == (None, ALL)


def test_the_narrower_filter_counts() -> None:
    wide = telemetry("mesh", "istio-system", {**ENVOY, "filter": {"expression": "response.code >= 500"}})
    assert found(wide) == AccessLogging("response.code >= 500")
    narrow = telemetry("ns", "shop", {**ENVOY, "filter": {"expression": "response.code >= 400"}})
    assert found(wide, narrow) == AccessLogging("response.code >= 400")
    assert found(wide, telemetry("ns", "shop", ENVOY)) == ALL
