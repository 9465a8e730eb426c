"""A cluster's mesh at one moment: only the namespaces that are named, the root namespace's policies, and gateways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from meshchaos.errors import MeshError, NotFound, UserError
from meshchaos.mesh.istio.mesh_config import KEY
from meshchaos.mesh.kubernetes.api import Api
from meshchaos.mesh.kubernetes.kinds import Kinds
from meshchaos.mesh.kubernetes.status import Forbidden
from meshchaos.mesh.kubernetes.views import in_ambient, living, of_a_run, workloads_of
from meshchaos.mesh.objects import Manifest, Ref
from meshchaos.mesh.seam import Snapshot

ROOT_NAMESPACE: Final = "istio-system"
PROTECTED: Final = frozenset({"kube-system", "kube-public", "kube-node-lease", ROOT_NAMESPACE})
"""Namespaces that no experiment is about."""
ISTIO: Final = (
    "VirtualService",
    "DestinationRule",
    "Gateway",
    "ServiceEntry",
    "Sidecar",
    "EnvoyFilter",
    "PeerAuthentication",
    "RequestAuthentication",
    "AuthorizationPolicy",
    "Telemetry",
)
WORKLOADS: Final = ("Service", "Deployment", "Pod")
OPTIONAL: Final = ("HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget", "HTTPRoute")
_AT_ONCE: Final = 8
_CHUNK: Final = {"Pod": 500}
"""Objects that one answer has at most, by kind: Pods are large."""
_OTHERS: Final = 2500


class Reader:
    """``namespaces``: those of the mesh, the first resolves short names. ``gateways``: others with gateways in them."""

    def __init__(self, api: Api, kinds: Kinds, namespaces: Sequence[str], gateways: Sequence[str] = ()) -> None:
        self._api = api
        self._kinds = kinds
        self.namespaces = tuple(namespaces)
        self._beside = tuple(one for one in gateways if one not in namespaces)
        self._config: Mapping[str, Any] | None = None

    @property
    def root_namespace(self) -> str:
        """Istio's. Raises as ``Api.get``."""
        return str(self.mesh_config().get("rootNamespace") or ROOT_NAMESPACE)

    @property
    def places(self) -> tuple[str, ...]:
        """Namespaces whose Pods are looked at."""
        return tuple(dict.fromkeys((*self.namespaces, *self._beside, self.root_namespace)))

    def mesh_config(self) -> Mapping[str, Any]:
        """Istio's MeshConfig; empty where it cannot be read."""
        if self._config is None:
            import yaml

            try:
                found = self._api.get(self._kinds.path(Ref("ConfigMap", ROOT_NAMESPACE, "istio")))
                document = yaml.safe_load((found.get("data") or {}).get(KEY) or "")
            except (NotFound, Forbidden, yaml.YAMLError):
                document = None
            self._config = document if isinstance(document, dict) else {}
        return self._config

    def check(self) -> dict[str, Manifest]:
        """The namespaces of the mesh. Raises UserError for one that is not there or protected, and without Istio."""
        if not self._kinds.has("VirtualService"):
            raise UserError(f"context {self._api.context}: the cluster has no Istio (no VirtualService is served)")
        found = {}
        for name in self.namespaces:
            if name in PROTECTED:
                raise UserError(f"namespace {name} is protected: no experiment is about it")
            try:
                found[name] = self._api.get(self._kinds.path(Ref("Namespace", "", name)))
            except NotFound:
                raise UserError(
                    f"context {self._api.context}: the cluster has no namespace {name!r}{self._there()}"
                ) from None
            except Forbidden:
                found[name] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        return found

    def pods(self) -> list[Manifest]:
        """Those that live, of every namespace looked at. Raises as ``Api.listing``."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            lists = pool.map(lambda place: self._list("Pod", place, place not in self.namespaces), self.places)
            return [pod for pods in lists for pod in pods if living(pod)]

    def snapshot(self) -> Snapshot:
        """See ``Mesh``. Raises UserError where the context may not read what is needed, MeshError."""
        namespaces = self.check()
        root = self.root_namespace
        asked = [(kind, place, False) for kind in (*ISTIO, *WORKLOADS) for place in self.namespaces]
        asked += [(kind, place, True) for kind in WORKLOADS for place in self.places if place not in self.namespaces]
        asked += [(kind, root, True) for kind in ISTIO if root not in self.namespaces]
        asked += [(kind, place, True) for kind in OPTIONAL if self._kinds.has(kind) for place in self.namespaces]
        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                lists = list(pool.map(lambda one: self._list(*one), asked))
        except Forbidden as error:
            raise UserError(str(error)) from error
        objects = [*namespaces.values(), *(item for items in lists for item in items)]
        pods = [one for one in objects if one["kind"] == "Pod" and living(one) and not of_a_run(one)]
        _refuse_ambient(pods, self.namespaces)
        workloads = workloads_of(
            pods,
            [one for one in objects if one["kind"] == "Deployment"],
            namespaces,
            [one for one in objects if one["kind"] == "Gateway"],
            self.namespaces,
        )
        kept = [one for one in objects if one["kind"] != "Pod" or (living(one) and not of_a_run(one))]
        return Snapshot(
            objects=tuple(self._in_mesh(kept, {(one.namespace, one.name) for one in workloads})),
            workloads=tuple(workloads),
            namespaces=self.namespaces,
            root_namespace=root,
            trust_domain=str(self.mesh_config().get("trustDomain") or "cluster.local"),
        )

    def _in_mesh(self, objects: Iterable[Manifest], workloads: set[tuple[str, str]]) -> Iterable[Manifest]:
        """Beside the mesh's namespaces, only gateways' Deployments are of the mesh: not istiod."""
        for one in objects:
            place = str(one["metadata"].get("namespace") or "")
            beside = one["kind"] == "Deployment" and place not in self.namespaces
            if not beside or (place, str(one["metadata"]["name"])) in workloads:
                yield one

    def _list(self, kind: str, namespace: str, optional: bool) -> list[Manifest]:
        try:
            return self._api.listing(self._kinds.collection(kind, namespace), chunk=_CHUNK.get(kind, _OTHERS))
        except (Forbidden, NotFound):
            if optional:
                return []
            raise

    def _there(self) -> str:
        try:
            names = [str(one["metadata"]["name"]) for one in self._api.listing(self._kinds.collection("Namespace"))]
        except MeshError:
            return ""
        return f"; it has {', '.join(sorted(set(names) - PROTECTED)) or 'none of its users'}"


def _refuse_ambient(pods: Iterable[Manifest], namespaces: Sequence[str]) -> None:
    found = [
        str(pod["metadata"]["name"]) for pod in pods if in_ambient(pod) and pod["metadata"]["namespace"] in namespaces
    ]
    if found:
        raise UserError(
            f"ztunnel takes the traffic of {', '.join(found[:3])}{' and others' if len(found) > 3 else ''} (ambient "
            "mode): meshchaos works with sidecars; take the label istio.io/dataplane-mode away, or name other "
            "namespaces"
        )
