"""Which mesh on which cluster: what meshchaos.yaml says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HealerSpec:
    """The Job that heals: its image, and the ServiceAccount in the mesh's first namespace that may put back."""

    service_account: str
    image: str


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Who signed the gateway's certificate, a certificate to show it, and its key; each None where it is not needed."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """``context`` of the kubeconfig, or ``in-cluster``. ``namespaces``: at least one, the first is the mesh's home.
    ``gateway_service``: ``name.namespace``; ``gateway_address``: where this machine reaches it; ``gateway_tls``: files
    that are read once it is spoken to over TLS.
    ``image``: of Pods that send load and probes; None: none are made. ``healer``: None: only a process on the runner's
    machine heals.
    """

    mesh: str
    context: str
    namespaces: tuple[str, ...]
    kubeconfig: Path | None = None
    gateway_service: str | None = None
    gateway_address: str | None = None
    gateway_tls: TlsFiles = TlsFiles()
    image: str | None = None
    healer: HealerSpec | None = None
