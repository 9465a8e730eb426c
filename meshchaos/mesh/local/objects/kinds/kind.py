"""What one kind of object is to the local mesh."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from meshchaos.mesh.local.objects.schema import Check, Predicate
from meshchaos.mesh.local.objects.values import object_name
from meshchaos.mesh.objects import Manifest


@dataclass(frozen=True, slots=True)
class Kind:
    """``versions``: the apiVersions taken, the newest first. ``body``: the fields beside apiVersion, kind, metadata and
    status, of which ``required`` must be there. ``defaults`` fills in, on a copy, what the real API server fills in.
    ``whole`` sees an object whose fields are right.
    ``typed``: a kind of Kubernetes' own, where an empty field (null) is the same as none; in Istio's it is a mistake.
    """

    name: str
    versions: tuple[str, ...]
    body: Mapping[str, Check]
    required: Collection[str] = ("spec",)
    defaults: Callable[[Manifest], None] | None = None
    naming: Predicate = object_name
    typed: bool = False
    whole: Check | None = None
