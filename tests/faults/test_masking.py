"""Faults of which one keeps the other from acting are refused; those that only look like it are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from snapshots import NAMESPACE, bookinfo

from meshchaos.errors import CannotPlace
from meshchaos.faults.control_plane import CERTIFICATES, CONTROL_PLANE, CertificateSpec, ControlPlaneSpec
from meshchaos.faults.http_fault import ABORT, AbortSpec
from meshchaos.faults.kill import KILL, KillSpec
from meshchaos.faults.kind import FaultContext, Placement
from meshchaos.faults.masking import refuse_masked
from meshchaos.faults.mtls import MTLS, MtlsSpec
from meshchaos.faults.partition import PARTITION, PartitionSpec
from meshchaos.mesh.proxy_marks import CERTIFICATE, UPDATES

MESH = replace(bookinfo(), marks=frozenset({CERTIFICATE, UPDATES}))
CONTEXT = FaultContext("chaos-r1-0", 0, 7, NAMESPACE)
ABORT_RATINGS = ABORT.place(AbortSpec(to="ratings", http_status=503), MESH, CONTEXT)


def stale(workload: str) -> Placement:
    return CONTROL_PLANE.place(ControlPlaneSpec(workload=workload), MESH, CONTEXT)


def expired(workload: str) -> Placement:
    return CERTIFICATES.place(CertificateSpec(workload=workload), MESH, CONTEXT)


def mtls(mode: str, **where: object) -> Placement:
    return MTLS.place(MtlsSpec(mode=mode, **where), MESH, CONTEXT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (stale("ratings-v1"), ABORT_RATINGS),
        (stale("ratings-v1"), expired("ratings-v1")),
        (stale("ratings-v1"), mtls("STRICT", workload="ratings-v1")),
        (stale("reviews-v2"), PARTITION.place(PartitionSpec(from_=("reviews-v2",), to="ratings"), MESH, CONTEXT)),
    ],
)
def test_a_proxy_that_gets_nothing_new_gets_no_other_fault(one: Placement, other: Placement) -> None:
    with pytest.raises(CannotPlace, match=r"would get nothing of .* while controlPlane \(.*, stale\)"):
        refuse_masked(one, other)
    with pytest.raises(CannotPlace, match=r"would get nothing of .* while controlPlane \(.*, stale\)"):
        refuse_masked(other, one)


@pytest.mark.parametrize("where", [{"workload": "ratings-v1"}, {"namespace": NAMESPACE}, {"mesh_wide": True}])
def test_nobody_sees_a_certificate_where_nobody_speaks_tls(where: dict[str, object]) -> None:
    with pytest.raises(CannotPlace, match="nobody would see the certificate of ratings-v1-0"):
        refuse_masked(mtls("DISABLE", **where), expired("ratings-v1"))


def test_a_port_that_speaks_no_tls_hides_a_certificate_too() -> None:
    with pytest.raises(CannotPlace, match="nobody would see the certificate"):
        refuse_masked(expired("ratings-v1"), mtls("DISABLE", workload="ratings-v1", port=9080))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (stale("productpage-v1"), ABORT_RATINGS),
        (stale("productpage-v1"), KILL.place(KillSpec(workload="productpage-v1"), MESH, CONTEXT)),
        (expired("ratings-v1"), mtls("STRICT", namespace=NAMESPACE)),
        (expired("ratings-v1"), mtls("DISABLE", workload="reviews-v1")),
        (expired("ratings-v1"), ABORT_RATINGS),
    ],
)
def test_faults_that_act_beside_each_other_are_taken(one: Placement, other: Placement) -> None:
    refuse_masked(one, other)
    refuse_masked(other, one)
