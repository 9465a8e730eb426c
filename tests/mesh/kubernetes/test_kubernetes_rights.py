"""The Roles that experiments need."""

from __future__ import annotations

from typing import Any

from fake_api import FakeApi

from meshchaos.mesh.changes import Create, EditObject
from meshchaos.mesh.kubernetes.client import KubernetesMesh
from meshchaos.mesh.objects import Ref

GATE: dict[str, Any] = {
    "metadata": {"name": "gate", "namespace": "istio-system", "labels": {"app": "gate"}},
    "spec": {"containers": [{"name": "istio-proxy", "args": ["proxy", "router"]}]},
}


def test_what_is_read_and_what_is_written(api: FakeApi, mesh: KubernetesMesh) -> None:
    api.put("pods", GATE)
    made = Create({"kind": "AuthorizationPolicy", "metadata": {"name": "chaos-1", "namespace": "shop"}})
    looking, *found = mesh.rights([made, EditObject(Ref("VirtualService", "other", "v"), ())], ["shop"])
    assert looking["rules"][0]["resourceNames"] == ["shop"]
    verbs = {
        (role["metadata"]["namespace"], resource): rule["verbs"]
        for role in found
        for rule in role["rules"]
        for resource in rule["resources"]
    }
    assert verbs["shop", "authorizationpolicies"] == ["create", "delete", "get", "list", "update"]
    assert verbs["shop", "virtualservices"] == ["list"]
    assert verbs["shop", "pods"] == ["delete", "get", "list"]
    assert verbs["shop", "configmaps"] == ["create", "delete", "get", "list"]
    assert verbs["other", "virtualservices"] == ["get", "update"]
    assert verbs["other", "leases"] == verbs["shop", "leases"] == ["create", "delete", "get", "update"]
    assert ("other", "pods") not in verbs
    assert verbs["istio-system", "configmaps"] == ["get"]
    assert verbs["istio-system", "envoyfilters"] == ["create", "delete", "get", "list"]
    assert ("istio-system", "leases") not in verbs
    assert {place for place, _ in verbs} == {"shop", "other", "istio-system"}
