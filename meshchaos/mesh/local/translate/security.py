"""The filters of a proxy's security policies, in the order in which Istio has them (``listener_builder.go``)."""

from __future__ import annotations

from dataclasses import dataclass

from meshchaos.mesh.local.translate import authorization, jwt
from meshchaos.mesh.local.translate.index import Index
from meshchaos.mesh.local.translate.names import Json
from meshchaos.mesh.local.world import LocalReplica


@dataclass(frozen=True, slots=True)
class SecurityFilters:
    """``http``: before all others of a connection manager; ``tcp``: network filters before the TCP proxy."""

    http: tuple[Json, ...]
    tcp: tuple[Json, ...]


def security_filters(index: Index, replica: LocalReplica) -> SecurityFilters:
    """CUSTOM first, then tokens, then AUDIT, DENY and ALLOW; tokens are known of requests only."""
    return SecurityFilters(
        http=(
            *authorization.custom(index, replica, tcp=False),
            *jwt.authentication(index, replica),
            *authorization.local(index, replica, tcp=False),
        ),
        tcp=(
            *authorization.custom(index, replica, tcp=True),
            *authorization.local(index, replica, tcp=True),
        ),
    )
