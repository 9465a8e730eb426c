"""A fault made by code on a cluster: under a Lease from before the first write, and nothing left of it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from fake_api import FakeApi
from fake_shop import state

from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.kubernetes.spec import ClusterSpec
from meshchaos.run.by_hand import ByHand
from meshchaos.run.rooms import Rooms
from meshchaos.run.vocabulary import load_kinds
from tests.fakes import FakeProver


@pytest.mark.parametrize("inside", [None, ValueError("the test's own")])
def test_a_fault_by_hand_is_made_under_a_lease(api: FakeApi, config: Path, inside: ValueError | None) -> None:
    before = state(api)
    spec = ClusterSpec("real", "fake", ("shop",), config.parent / "kubeconfig")
    rooms = Rooms(
        driver=None,  # type: ignore[arg-type]
        prover=lambda mesh, placement, run_id: FakeProver(1.0),
        log_headers=lambda placements: (),
        probe=lambda load, timeout: None,
    )
    with KubernetesMesh.open(spec, config.parent / "mesh", guarded=False) as mesh:
        hand = ByHand(mesh, load_kinds(), rooms, config.parent / "reports", "meshchaos heal --mesh real")
        fault = hand.fault("abort", {"to": "stars", "httpStatus": 503, "at": "client"})
        expected = pytest.raises(ValueError, match="own") if inside is not None else nullcontext()
        with expected, fault:
            assert fault.record.live_at is not None
            assert state(api) != before
            if inside is not None:
                raise inside
    assert state(api) == before
    first, *_ = api.written
    assert first.startswith("POST /apis/coordination.k8s.io/v1/namespaces/shop/leases")
