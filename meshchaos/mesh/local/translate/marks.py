"""What the marks of a Pod (``mesh.proxy_marks``) change in its proxy's resources."""

from __future__ import annotations

from meshchaos.mesh.local.translate.names import Json
from meshchaos.mesh.local.world import LocalReplica


def renewed(replica: LocalReplica, resource: Json) -> Json:
    """A listener or cluster of a proxy whose certificate has expired. A connection that is open outlives its
    certificate; a listener or cluster that is another one by its metadata ends those it has.
    """
    if not replica.expired:
        return resource
    metadata = resource.get("metadata") or {}
    named = {**metadata.get("filter_metadata", {}), "meshchaos": {"certificate": "expired"}}
    return {**resource, "metadata": {**metadata, "filter_metadata": named}}
