"""Which kinds are read and written, and where the API has them, in the newest version that it serves each in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from meshchaos.errors import NotFound, Refused
from meshchaos.mesh.kubernetes.api import Api
from meshchaos.mesh.objects import Manifest, Ref

_NETWORKING: Final = "networking.istio.io"
_SECURITY: Final = "security.istio.io"

GROUPS: Final = {
    "VirtualService": _NETWORKING,
    "DestinationRule": _NETWORKING,
    "Gateway": _NETWORKING,
    "ServiceEntry": _NETWORKING,
    "Sidecar": _NETWORKING,
    "EnvoyFilter": _NETWORKING,
    "WorkloadEntry": _NETWORKING,
    "PeerAuthentication": _SECURITY,
    "RequestAuthentication": _SECURITY,
    "AuthorizationPolicy": _SECURITY,
    "Telemetry": "telemetry.istio.io",
    "Deployment": "apps",
    "Job": "batch",
    "Lease": "coordination.k8s.io",
    "HorizontalPodAutoscaler": "autoscaling",
    "ScaledObject": "keda.sh",
    "PodDisruptionBudget": "policy",
    "HTTPRoute": "gateway.networking.k8s.io",
}
"""Kinds that are read by name, with their groups: other groups have kinds of the same name."""
_CORE: Final = {
    "Namespace": "namespaces",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "Pod": "pods",
    "ConfigMap": "configmaps",
}

_AGGREGATED: Final = ", ".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the API has a kind. ``root``: ``/apis/apps/v1``, or ``/api/v1``."""

    api_version: str
    plural: str
    namespaced: bool

    @property
    def root(self) -> str:
        return f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"


class Kinds:
    """The kinds of one API server, by group and name."""

    def __init__(self, places: Mapping[tuple[str, str], Place]) -> None:
        self._places = dict(places)
        for kind, plural in _CORE.items():
            self._places["", kind] = Place("v1", plural, kind != "Namespace")
        self._groups = {**GROUPS, **dict.fromkeys(_CORE, "")}

    @classmethod
    def ask(cls, api: Api) -> Kinds:
        """By one call; by one for each group of ours from a server older than 1.26. Raises as ``Api.get``."""
        found = api.get("/apis", accept=_AGGREGATED)
        if found.get("kind") == "APIGroupDiscoveryList":
            return cls(_aggregated(found.get("items") or ()))
        wanted = set(GROUPS.values())
        places: dict[tuple[str, str], Place] = {}
        for group in found.get("groups") or ():
            for version in group.get("versions") or () if group.get("name") in wanted else ():
                name = str(version["groupVersion"])
                for one in api.get(f"/apis/{name}").get("resources") or ():
                    if "/" not in str(one["name"]):
                        place = Place(name, str(one["name"]), bool(one.get("namespaced")))
                        places.setdefault((str(group["name"]), str(one["kind"])), place)
        return cls(places)

    def has(self, kind: str) -> bool:
        """Whether the server has such objects at all."""
        return (self._groups.get(kind, ""), kind) in self._places

    def learn(self, manifest: Manifest) -> None:
        """Which group is meant by a kind that the user brings. Raises Refused where the server has none such, and for
        one whose name is another's here.
        """
        kind, group = str(manifest.get("kind")), str(manifest.get("apiVersion") or "").rpartition("/")[0]
        if (group, kind) not in self._places:
            raise Refused(f"the cluster has no kind {kind} in {group or 'the core group'}")
        if self._groups.setdefault(kind, group) != group:
            raise Refused(
                f"{kind} of {group or 'the core group'} cannot be written: {kind} is {self._groups[kind]}'s here"
            )

    def resource(self, kind: str) -> tuple[str, str]:
        """Group and plural, as rights name them. Raises as ``collection``."""
        place = self._place(kind)
        return place.api_version.rpartition("/")[0], place.plural

    def collection(self, kind: str, namespace: str = "") -> str:
        """The path of all objects of a kind, in one namespace. Raises NotFound where the server has none of a kind that
        is known, Refused for one that is not: nobody could say whether such an object is gone.
        """
        place = self._place(kind)
        inside = f"/namespaces/{quote(namespace)}" if place.namespaced and namespace else ""
        return f"{place.root}{inside}/{place.plural}"

    def path(self, ref: Ref) -> str:
        """Of one object. Raises as ``collection``."""
        return f"{self.collection(ref.kind, ref.namespace)}/{quote(ref.name)}"

    def as_served(self, manifest: Manifest) -> dict[str, Any]:
        """With the apiVersion of ``collection``. Raises as it."""
        return {**manifest, "apiVersion": self._place(str(manifest["kind"])).api_version}

    def _place(self, kind: str) -> Place:
        group = self._groups.get(kind)
        if group is None:
            known = [key for key in self._places if key[1] == kind]
            if len(known) != 1:
                raise Refused(f"it is not clear which {kind} of the cluster is meant ({len(known)} groups have one)")
            return self._places[known[0]]
        if (group, kind) not in self._places:
            hint = ": is Istio installed there?" if group.endswith("istio.io") else ""
            raise NotFound(f"the cluster serves no {kind}{f' ({group})' if group else ''}{hint}")
        return self._places[group, kind]


def _aggregated(items: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Place]:
    """The server lists each group's versions with the one it prefers first."""
    places: dict[tuple[str, str], Place] = {}
    for item in items:
        group = str((item.get("metadata") or {}).get("name") or "")
        for version in item.get("versions") or ():
            for one in version.get("resources") or ():
                kind = str((one.get("responseKind") or {}).get("kind") or "")
                place = Place(f"{group}/{version['version']}", str(one["resource"]), one.get("scope") == "Namespaced")
                places.setdefault((group, kind), place)
    return places
