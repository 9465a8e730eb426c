"""What a context must be allowed to do for some experiments, as Roles: this and no more; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from meshchaos.mesh.changes import Change, Create
from meshchaos.mesh.kubernetes import healer_job
from meshchaos.mesh.kubernetes.kinds import Kinds
from meshchaos.mesh.kubernetes.observing import log_filters
from meshchaos.mesh.kubernetes.reading import ISTIO, OPTIONAL, WORKLOADS
from meshchaos.mesh.objects import CLUSTER_SCOPED, Manifest
from meshchaos.mesh.seam import Snapshot

_RBAC = "rbac.authorization.k8s.io"
Rules = dict[tuple[str, str], set[str]]
"""(group, resource) -> verbs."""


def roles(
    kinds: Kinds,
    mesh: Snapshot,
    changes: Iterable[Change],
    killed: Iterable[str],
    name: str,
    *,
    calling: Iterable[str] = (),
    healer: bool = False,
) -> list[Manifest]:
    """A Role for each namespace that is read or written, and a ClusterRole for looking at the namespaces themselves.
    ``killed``: namespaces where Pods are ended; ``calling``: where Pods of ours call; ``healer``: a Job is made.
    """
    home, root = mesh.namespaces[0], mesh.root_namespace
    found: dict[str, Rules] = {}

    def allow(namespace: str, kind: str, *verbs: str) -> None:
        found.setdefault(namespace, {}).setdefault(kinds.resource(kind), set()).update(verbs)

    def proxies(namespace: str) -> None:
        rules = found.setdefault(namespace, {})
        rules.setdefault(("", "pods/log"), set()).add("get")
        rules.setdefault(("", "pods/portforward"), set()).update(("get", "create"))
        allow(namespace, "EnvoyFilter", "get", "create", "delete")

    gateways = sorted({one.namespace for one in mesh.workloads if one.gateway})
    for place in dict.fromkeys((*mesh.namespaces, root, *gateways)):
        for kind in WORKLOADS:
            allow(place, kind, "list")
    for place in dict.fromkeys((*mesh.namespaces, root)):
        for kind in ISTIO:
            allow(place, kind, "list")
    for place in mesh.namespaces:
        allow(place, "Lease", "get")
        for kind in (one for one in OPTIONAL if kinds.has(one)):
            allow(place, kind, "list")
    for place in dict.fromkeys((*mesh.namespaces, *gateways)):
        proxies(place)
    allow(root, "ConfigMap", "get")
    allow(home, "ConfigMap", "get", "list", "create", "delete")
    touched = {home}
    for change in changes:
        verbs = ("create", "get", "update", "delete") if isinstance(change, Create) else ("get", "update")
        if change.ref.kind not in CLUSTER_SCOPED:
            allow(change.ref.namespace, change.ref.kind, *verbs)
            touched.add(change.ref.namespace)
    for place in touched:
        allow(place, "Lease", "get", "create", "update", "delete")
    for place in killed:
        allow(place, "Pod", "get", "delete")
    for place in calling:
        allow(place, "Pod", "get", "create", "delete")
        allow(place, "ConfigMap", "get", "create", "delete")
    if healer:
        allow(home, "Job", "get", "create")
        allow(home, "ServiceAccount", "get")
    return [_looking(mesh.namespaces, f"{name}-{home}"), *(_role(name, place, found[place]) for place in found)]


def healer_account(
    kinds: Kinds, mesh: Snapshot, changes: Iterable[Change], account: str, *, calling: Iterable[str] = ()
) -> list[Manifest]:
    """The ServiceAccount of the Job that heals, with what putting these changes back takes and no more."""
    home = mesh.namespaces[0]
    subjects = [{"kind": "ServiceAccount", "name": account, "namespace": home}]
    found: list[Manifest] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": home}}
    ]
    logging = log_filters("0", mesh.workloads, (), mesh.root_namespace)
    for place, rules in healer_job.rights(kinds, mesh.namespaces, (*changes, *logging), calling).items():
        metadata = {"name": account, "namespace": place}
        role = {"apiGroup": _RBAC, "kind": "Role", "name": account}
        found.append(_role(account, place, rules))
        found.append(
            {
                "apiVersion": f"{_RBAC}/v1",
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": role,
                "subjects": subjects,
            }
        )
    return found


def _looking(namespaces: Sequence[str], name: str) -> Manifest:
    rule = {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": list(namespaces), "verbs": ["get"]}
    return {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule]}


def _role(name: str, namespace: str, rules: Rules) -> Manifest:
    """Resources of one group with equal verbs in one rule."""
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), verbs in sorted(rules.items()):
        alike.setdefault((group, tuple(sorted(verbs))), []).append(resource)
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": [
            {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}
            for (group, verbs), resources in alike.items()
        ],
    }
