"""What a Sidecar lets its workloads' proxies see (``pilot/pkg/model/sidecar.go``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from meshchaos.mesh.istio.hosts import DOMAIN, fqdn
from meshchaos.mesh.istio.order import namespace_of, oldest_first
from meshchaos.mesh.istio.peer_authentication import ROOT_NAMESPACE
from meshchaos.mesh.objects import Manifest, selects


def governing(
    objects: Iterable[Manifest], namespace: str, labels: Mapping[str, str], root_namespace: str = ROOT_NAMESPACE
) -> Manifest | None:
    """The Sidecar of a workload: the oldest of its namespace that selects it, else the oldest there that selects
    nobody, else that of the root namespace.
    """
    ordered = oldest_first(objects, "Sidecar")
    own = [one for one in ordered if namespace_of(one) == namespace]
    named = [one for one in own if _selector(one) and selects(_selector(one), labels)]
    general = [one for one in own if not _selector(one)]
    mesh = [one for one in ordered if namespace_of(one) == root_namespace and not _selector(one)]
    return next(iter([*named, *general, *mesh]), None)


def hides(sidecar: Manifest | None, service: tuple[str, str], client_namespace: str, *, port: int) -> bool:
    """Whether none of its egress listeners imports a service (its full host, its namespace) at that port. One without
    egress imports everything.
    """
    listeners: Sequence[Mapping[str, object]] = ((sidecar or {}).get("spec") or {}).get("egress") or ()
    if not listeners:
        return False
    for listener in listeners:
        given = listener.get("port")
        number = given.get("number") if isinstance(given, Mapping) else None
        hosts = listener.get("hosts")
        here = hosts if number in (None, 0, port) and isinstance(hosts, list) else []
        if any(_imports(str(item), service, client_namespace) for item in here):
            return False
    return True


def _imports(item: str, service: tuple[str, str], client_namespace: str) -> bool:
    """``namespace/host``; ``.`` is the Sidecar's own namespace, ``~`` none, ``*`` any."""
    place, _, name = item.rpartition("/")
    host, namespace = service
    if place not in ("", "*") and (client_namespace if place == "." else place) != namespace:
        return False
    if name == "*":
        return True
    if name.startswith("*."):
        return host.endswith(name[1:])
    return fqdn(name, namespace, DOMAIN) == host or name == host


def _selector(sidecar: Manifest) -> Mapping[str, str]:
    return ((sidecar.get("spec") or {}).get("workloadSelector") or {}).get("labels") or {}
