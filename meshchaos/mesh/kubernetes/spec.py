"""Which mesh on which cluster: what meshchaos.yaml says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """``context`` of the kubeconfig, or ``in-cluster``. ``namespaces``: at least one, the first is the mesh's home.
    ``gateway_service``: ``name.namespace``; ``gateway_address``: where this machine reaches it.
    ``image``: of Pods that send load and probes; None: none are made.
    """

    mesh: str
    context: str
    namespaces: tuple[str, ...]
    kubeconfig: Path | None = None
    gateway_service: str | None = None
    gateway_address: str | None = None
    image: str | None = None
