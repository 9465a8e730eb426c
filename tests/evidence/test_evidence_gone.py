"""A proxy that has ended before the evidence is gathered: what its own lines decide cannot be known, shares can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from test_evidence_injection import LINE, RECORD, FakeProxies, FakeProxy, Proof

from meshchaos.errors import EvidenceError, MeshGone
from meshchaos.evidence.injection import InjectionProver
from meshchaos.evidence.partition import PartitionProver
from meshchaos.evidence.weights import WeightsProver


class Killed(FakeProxy):
    """From ``ended`` on it answers nothing; its log lies where it was."""

    ended = False

    def stats(self, pattern: str) -> dict[str, int]:
        if self.ended:
            raise MeshGone(f"the Pod {self.name} is gone")
        return super().stats(pattern)


@dataclass(frozen=True)
class Weights:
    replicas: tuple[str, ...] = ("ratings-0.bookinfo", "page-0.bookinfo")
    weights: Mapping[str, float] = field(default_factory=lambda: {"v1": 0.5, "v2": 0.5})
    routes: tuple[str, ...] = ()


def test_shares_of_clusters_stand_without_its_last_lines() -> None:
    gone, there = Killed(), FakeProxy("page-0")
    prover = WeightsProver(FakeProxies([gone, there]), Weights(), timeout=5.0)
    sent = replace(LINE, side="outbound", start=101.0)
    gone.log += [replace(sent, cluster="v1")]
    there.log += [replace(sent, cluster="v1"), replace(sent, cluster="v2")]
    gone.ended = True
    shares = prover.finish(RECORD).shares
    assert [(one.cluster, one.count, one.of) for one in shares] == [("v1", 2, 3), ("v2", 1, 3)]


def test_how_many_it_injected_is_not_known() -> None:
    proxy = Killed()
    prover = InjectionProver(FakeProxies([proxy]), Proof())
    proxy.log.append(replace(LINE, start=101.0))
    proxy.ended = True
    with pytest.raises(
        EvidenceError, match=r"ratings-0.bookinfo ended in mid-run, .*the Pod ratings-0.bookinfo is gone"
    ):
        prover.finish(RECORD)


@dataclass(frozen=True)
class Cut:
    clients: tuple[str, ...] = ("ratings-0.bookinfo",)
    servers: tuple[str, ...] = ()
    routes: tuple[str, ...] = ("chaos",)
    dead: str = "dead"
    clusters: str = "alive"
    identities: tuple[str, ...] = ()


def test_nor_whom_it_reached() -> None:
    proxy = Killed()
    prover = PartitionProver(FakeProxies([proxy]), Cut())
    proxy.ended = True
    with pytest.raises(EvidenceError, match="ended in mid-run"):
        prover.finish(RECORD)
