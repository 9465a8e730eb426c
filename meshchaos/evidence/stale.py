"""Does a proxy not get what others get: by the clusters that each of them runs, while a fault is live."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Protocol

from meshchaos.errors import EvidenceError, MeshError
from meshchaos.evidence.config_change import resources
from meshchaos.history.records import FaultRecord
from meshchaos.mesh.seam import Proxy


class Proof(Protocol):
    """``meshchaos.faults.kind.StaleProof`` is one and describes the fields."""

    @property
    def proxies(self) -> tuple[str, ...]: ...
    @property
    def cluster(self) -> str: ...


class Asked(Protocol):
    """The part of ``Mesh`` that is needed here."""

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]: ...


class StaleProver:
    """The proof of one fault; made before its first change. ``collect`` looks at who has the cluster."""

    def __init__(self, mesh: Asked, proof: Proof) -> None:
        """Raises EvidenceError where no proxy is there that could be kept from anything, or no other one."""
        self._mesh = mesh
        self._proof = proof
        there = {proxy.name for proxy in mesh.proxies()}
        self._kept = there & set(proof.proxies)
        if not self._kept or there == self._kept:
            raise EvidenceError("no proxy to ask whether it is kept from updates, or no other one that gets them")
        self._got: set[str] = set()

    def collect(self) -> None:
        """Raises EvidenceError."""
        for proxy in self._mesh.proxies():
            if proxy.name in self._kept or not self._got - self._kept:
                try:
                    found = dict(resources(proxy.config_dump(), "clusters", re.compile(re.escape(self._proof.cluster))))
                except MeshError as error:
                    raise EvidenceError(f"{proxy.name} does not tell what it runs: {error}") from error
                if found:
                    self._got.add(proxy.name)

    def finish(self, record: FaultRecord) -> FaultRecord:
        """The record with what was seen. Raises EvidenceError where a proxy got it all the same, or nobody did."""
        took = sorted(self._got & self._kept)
        if took:
            raise EvidenceError(f"{', '.join(took)} got an update while the {record.kind} was live")
        others = sorted(self._got - self._kept)
        if not others:
            raise EvidenceError(f"no proxy got the update that shows who is kept from it ({self._proof.cluster})")
        who = ", ".join(sorted(self._kept))
        return replace(record, shown=(f"{who} did not get the cluster {self._proof.cluster}, which {others[0]} runs",))
