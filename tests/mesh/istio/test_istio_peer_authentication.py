"""Which PeerAuthentication governs a port: mesh, namespace, workload, port, and their ages."""

from __future__ import annotations

from typing import Any

import pytest

from meshchaos.mesh.istio.peer_authentication import mode, namespace_mode


def policy(name: str, spec: dict[str, Any], namespace: str = "shop", created: int = 5) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": f"2026-01-01T00:00:{created:02}Z"}
    return {"kind": "PeerAuthentication", "metadata": metadata, "spec": spec}


def mtls(mode: str) -> dict[str, Any]:
    return {"mtls": {"mode": mode}}


def of_ratings(mode: str, **ports: str) -> dict[str, Any]:
    levels = {port.removeprefix("p"): {"mode": level} for port, level in ports.items()}
    return {
        "selector": {"matchLabels": {"app": "ratings"}},
        **({"mtls": {"mode": mode}} if mode else {}),
        **({"portLevelMtls": levels} if levels else {}),
    }


MESH_STRICT = policy("mesh", mtls("STRICT"), "istio-system")


@pytest.mark.parametrize(
    ("policies", "found"),
    [
        ([], "PERMISSIVE"),
        ([MESH_STRICT], "STRICT"),
        ([MESH_STRICT, policy("ns", mtls("DISABLE"))], "DISABLE"),
        ([MESH_STRICT, policy("ns", mtls("UNSET"))], "STRICT"),
        ([MESH_STRICT, policy("ns", {})], "STRICT"),
        ([MESH_STRICT, policy("other", mtls("DISABLE"), "bank")], "STRICT"),
        ([policy("ns", mtls("STRICT")), policy("w", of_ratings("DISABLE"))], "DISABLE"),
        ([policy("ns", mtls("STRICT")), policy("w", of_ratings("UNSET"))], "STRICT"),
        ([policy("w", of_ratings("STRICT", p9080="DISABLE"))], "DISABLE"),
        ([policy("w", of_ratings("STRICT", p9080="UNSET"))], "STRICT"),
        ([policy("w", of_ratings("", p9080="STRICT"))], "STRICT"),
        ([policy("w", of_ratings("STRICT", p80="DISABLE"))], "STRICT"),
        ([policy("w", {"selector": {"matchLabels": {"app": "page"}}, **mtls("STRICT")})], "PERMISSIVE"),
        # The oldest of one scope; the others do not even fill in what it leaves open.
        ([policy("a", mtls("STRICT"), created=2), policy("b", mtls("DISABLE"), created=1)], "DISABLE"),
        ([policy("a", mtls("STRICT"), created=1), policy("b", mtls("DISABLE"), created=1)], "STRICT"),
        ([policy("a", mtls("STRICT"), created=2), policy("b", mtls("UNSET"), created=1)], "PERMISSIVE"),
        # In the root namespace a selector is no way to name workloads of the mesh.
        ([policy("w", of_ratings("STRICT"), "istio-system")], "PERMISSIVE"),
    ],
)
def test_the_narrowest_and_oldest_that_says_something(policies: list[dict[str, Any]], found: str) -> None:
    assert mode(policies, "shop", {"app": "ratings"}, 9080) == found


def test_a_port_may_be_a_number_or_a_text() -> None:
    spec = {**of_ratings("STRICT"), "portLevelMtls": {9080: {"mode": "DISABLE"}}}
    assert mode([policy("w", spec)], "shop", {"app": "ratings"}, 9080) == "DISABLE"


def test_what_a_namespace_says_leaves_workloads_out() -> None:
    policies = [MESH_STRICT, policy("w", of_ratings("DISABLE"))]
    assert namespace_mode(policies, "shop") == "STRICT"
    assert namespace_mode([policy("ns", mtls("DISABLE")), MESH_STRICT], "shop") == "DISABLE"
    assert namespace_mode(policies, "istio-system") == "STRICT"
    assert namespace_mode([], "shop") == "PERMISSIVE"
