"""Faults of one experiment of which one keeps the other from acting: both would be there, and one would do nothing."""

from __future__ import annotations

from meshchaos.errors import CannotPlace
from meshchaos.faults.kind import ConfigProof, PartitionProof, Placement, Proof, StaleProof, WeightsProof
from meshchaos.faults.mtls import disables


def refuse_masked(one: Placement, other: Placement) -> None:
    """Of two faults that are live together. Raises CannotPlace where one of them cannot act beside the other."""
    for stale, needs in ((one, other), (other, one)):
        if isinstance(stale.proof, StaleProof) and (held := _proxies(needs).intersection(stale.proof.proxies)):
            raise CannotPlace(
                f"{', '.join(sorted(held))} would get nothing of {_words(needs)} while {_words(stale)}: "
                "give them times that do not overlap"
            )
    for plaintext, certificate in ((one, other), (other, one)):
        if certificate.kind != "certificate" or not disables(plaintext):
            continue
        if held := _proxies(certificate) & _proxies(plaintext):
            raise CannotPlace(
                f"nobody would see the certificate of {', '.join(sorted(held))} while their mode of mutual TLS is "
                "DISABLE: give the two faults times that do not overlap"
            )


def _proxies(placement: Placement) -> frozenset[str]:
    """Pod names of the proxies that have to learn of a fault."""
    proof = placement.proof
    if isinstance(proof, Proof | WeightsProof):
        return frozenset(proof.replicas)
    if isinstance(proof, ConfigProof):
        return frozenset(proof.proxies)
    if isinstance(proof, PartitionProof):
        return frozenset(proof.clients)
    return frozenset()


def _words(placement: Placement) -> str:
    return f"{placement.kind} ({placement.edge})"
