"""The DestinationRule that acts between a client and a service, as a snapshot shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from meshchaos.mesh.istio import destination_rules
from meshchaos.mesh.istio.services import Service
from meshchaos.mesh.objects import Manifest
from meshchaos.mesh.seam import Snapshot, Workload

T = TypeVar("T")


def effective_rule(service: Service, mesh: Snapshot, client: Workload | None = None) -> Manifest | None:
    """Merged as Istio does it; None without one, else a copy. No client: any beside the service that has no rule of
    its own.
    """
    return _asked(destination_rules.effective, service, mesh, client)


def acting_rules(service: Service, mesh: Snapshot, client: Workload) -> list[Manifest]:
    """What the effective rule is merged of, the first one first."""
    return _asked(destination_rules.rules_for, service, mesh, client)


def _asked(question: Callable[..., T], service: Service, mesh: Snapshot, client: Workload | None) -> T:
    return question(
        mesh.objects,
        service.host,
        service.namespace if client is None else client.namespace,
        {} if client is None else client.labels,
        service_namespace=service.namespace,
        root_namespace=mesh.root_namespace,
        domain=mesh.domain,
    )
