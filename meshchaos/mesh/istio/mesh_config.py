"""Istio's MeshConfig, where Istio keeps it: the ConfigMap ``istio`` of the root namespace, key ``mesh``.

Only external authorizers are read here; what may stand beside them is for admission to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meshchaos.mesh.istio.order import namespace_of
from meshchaos.mesh.istio.policies import ROOT_NAMESPACE
from meshchaos.mesh.objects import Manifest

NAME = "istio"
KEY = "mesh"
AUTHORIZERS = ("envoyExtAuthzHttp", "envoyExtAuthzGrpc")


def is_mesh_config(manifest: Manifest) -> bool:
    """Whether an object is the one that holds MeshConfig."""
    metadata = manifest.get("metadata") or {}
    return (
        manifest.get("kind") == "ConfigMap"
        and metadata.get("name") == NAME
        and namespace_of(manifest) == ROOT_NAMESPACE
    )


def mesh_config(objects: Iterable[Manifest]) -> Mapping[str, Any]:
    """MeshConfig as it is written, empty where there is none. Raises ``yaml.YAMLError`` for what admission refuses."""
    found = next((one for one in objects if is_mesh_config(one)), None)
    text = ((found or {}).get("data") or {}).get(KEY)
    if not text:
        return {}
    import yaml

    document = yaml.safe_load(text)
    return document if isinstance(document, Mapping) else {}


def authorizers(objects: Iterable[Manifest]) -> dict[str, Mapping[str, Any]]:
    """The extension providers that authorize requests, by name; each a mapping with one of ``AUTHORIZERS`` in it."""
    listed = mesh_config(objects).get("extensionProviders") or ()
    return {str(one["name"]): one for one in listed if any(kind in one for kind in AUTHORIZERS)}
