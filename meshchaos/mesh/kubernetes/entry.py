"""How a client on this machine gets into a cluster's mesh for one URL; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from meshchaos.errors import UserError
from meshchaos.mesh.istio.hosts import matches
from meshchaos.mesh.istio.services import find_service
from meshchaos.mesh.istio.workloads import find_workloads
from meshchaos.mesh.kubernetes.caller_pod import OUTSIDE, refusal
from meshchaos.mesh.objects import Manifest, Ref, ref_of, selects
from meshchaos.mesh.seam import Entry, Snapshot, Tls, Workload

_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "grpc": 80}
_SECURE: Final = ("HTTPS", "TLS")
"""Protocols of a Gateway's servers that clients speak TLS to."""


def entry_for(
    snapshot: Snapshot,
    source: str,
    url: str,
    namespace: str,
    *,
    gateway_service: str | None = None,
    gateway_address: str | None = None,
    gateway_tls: Tls | None = None,
) -> Entry:
    """See ``Mesh.entry``. The gateway is the one named in meshchaos.yaml, else the Service of Pods that a Gateway
    object for the URL's host selects. ``gateway_tls``: how TLS is spoken to it, to which the server's name comes from
    the URL. Raises UserError, which lists what exists.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and source != "gateway":
        raise UserError(f"{url}: https is what a gateway speaks; from {source} use http, and the mesh adds mutual TLS")
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise UserError(f"{url} is not a URL of the form http://host[:port]/path")
    if source == "gateway":
        found = _through_gateway(snapshot, parts, gateway_service, gateway_address)
        if parts.scheme != "https":
            return found
        tls = replace(gateway_tls or Tls(""), server_name=str(parts.hostname))
        return replace(found, tls=tls, words=f"{found.words}, over TLS")
    if source == "outside":
        return _from_outside(snapshot, parts, namespace)
    return _from_workload(snapshot, source, parts, namespace)


def _through_gateway(snapshot: Snapshot, parts: SplitResult, name: str | None, address: str | None) -> Entry:
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    if address is not None:
        place = address if _has_port(address) else f"{address}:{port}"
        return Entry(place, parts.netloc, proxied=False, words=f"through the gateway at {place}")
    secure = parts.scheme == "https"
    service = _named(snapshot, name) if name is not None else _serving(snapshot, str(parts.hostname), port, secure)
    meta = service["metadata"]
    return _to(service, port, parts.netloc, f"through the gateway {meta['name']}.{meta['namespace']}")


def _named(snapshot: Snapshot, name: str) -> Manifest:
    short, _, namespace = name.partition(".")
    wanted = Ref("Service", namespace or snapshot.root_namespace, short)
    found = next((one for one in snapshot.of_kind("Service") if ref_of(one) == wanted), None)
    if found is None:
        raise UserError(f"gateway.service: there is no {wanted}")
    return found


def _serving(snapshot: Snapshot, host: str, port: int, secure: bool) -> Manifest:
    """The Service of a gateway that serves a host on a port, over TLS or not."""
    there = []
    for item in snapshot.of_kind("Gateway"):
        spec = item.get("spec") or {}
        workloads = [one for one in snapshot.workloads if one.gateway and selects(spec.get("selector"), one.labels)]
        for server in spec.get("servers") or ():
            hosts = [str(one).rpartition("/")[2] for one in server.get("hosts") or ()]
            number = (server.get("port") or {}).get("number")
            protocol = str((server.get("port") or {}).get("protocol", "")).upper()
            there.append(f"{', '.join(hosts)} on port {number} ({protocol})")
            if number != port or (protocol in _SECURE) != secure:
                continue
            if not any(matches(pattern, host) for pattern in hosts):
                continue
            for service in snapshot.of_kind("Service"):
                if _leads_to(service, workloads) and _port(service, port) is not None:
                    return service
    raise UserError(
        f"no gateway that was found serves {host} on port {port} with {'TLS' if secure else 'HTTP'}; Gateway objects "
        f"name {'; '.join(there) or 'nothing'}. Name the gateway in meshchaos.yaml, as in "
        "gateway: {service: istio-ingressgateway.istio-system}"
    )


def _from_outside(snapshot: Snapshot, parts: SplitResult, namespace: str) -> Entry:
    service = find_service(snapshot.objects, str(parts.hostname), namespace).service
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    wanted = Ref("Service", service.namespace, service.name)
    manifest = next(one for one in snapshot.of_kind("Service") if ref_of(one) == wanted)
    return _to(manifest, port, parts.netloc, f"from outside the mesh, in plaintext, to {service}:{port}")


def away(entry: Entry, source: str, snapshot: Snapshot, url: str, namespace: str) -> Entry:
    """The same from a Pod without a sidecar, for a machine that does not reach it: a balancer's address is for those
    who are not in the cluster.
    """
    place = entry.address
    if entry.tls is not None and entry.tls.cert_file:
        raise UserError("gateway.certFile stays on this machine, which does not reach the gateway: name its address")
    if source == "outside":
        parts = urlsplit(url)
        found = find_service(snapshot.objects, str(parts.hostname), namespace).service
        place = _inside(snapshot, Ref("Service", found.namespace, found.name), parts) or place
    words = f"{entry.words}, from a Pod without a sidecar"
    return replace(entry, address=place, words=words, at=f"{OUTSIDE}.{snapshot.namespaces[0]}")


def _from_workload(snapshot: Snapshot, source: str, parts: SplitResult, namespace: str) -> Entry:
    found = find_workloads(snapshot.workloads, source, namespace)
    able = [one for one in found if one.sidecar and not one.gateway]
    if not able:
        gateway = any(one.gateway for one in found)
        why = "is a gateway: use `from: gateway`" if gateway else "has no sidecar: use `from: outside`"
        raise UserError(f"workload {source} {why}")
    workload = able[0]
    unfit = refusal(workload, snapshot)
    if unfit is not None:
        raise UserError(f"from: {source}: {unfit}")
    host, port = str(parts.hostname), parts.port or _DEFAULT_PORTS[parts.scheme]
    service = find_service(snapshot.objects, host, workload.namespace).service
    place = _inside(snapshot, Ref("Service", service.namespace, service.name), parts) or f"{host}:{port}"
    words = f"from a Pod with the identity of {workload.name}.{workload.namespace}, through its sidecar"
    return Entry(place, parts.netloc, proxied=False, words=words, at=f"{workload.name}.{workload.namespace}")


def _inside(snapshot: Snapshot, ref: Ref, parts: SplitResult) -> str | None:
    """A Service's cluster IP; None for a name that is to be looked up there: a headless one's, or a ServiceEntry's."""
    manifest = next((one for one in snapshot.of_kind("Service") if ref_of(one) == ref), None)
    address = str(((manifest or {}).get("spec") or {}).get("clusterIP") or "None")
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    if manifest is not None and _port(manifest, port) is None:
        there = ", ".join(str(one.get("port")) for one in (manifest.get("spec") or {}).get("ports") or ())
        raise UserError(f"{ref} has no port {port}; it has {there or 'none'}")
    if address == "None":
        return None
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _to(service: Manifest, port: int, host: str, words: str) -> Entry:
    """Its load balancer's address, else its cluster IP, which is reached in the cluster and beside it."""
    ref, found = ref_of(service), _port(service, port)
    if found is None:
        there = ", ".join(str(one.get("port")) for one in (service.get("spec") or {}).get("ports") or ())
        raise UserError(f"{ref} has no port {port}; it has {there or 'none'}")
    ingress: Iterable[Mapping[str, Any]] = ((service.get("status") or {}).get("loadBalancer") or {}).get(
        "ingress"
    ) or ()
    balancer = next((str(one.get("ip") or one.get("hostname")) for one in ingress), None)
    address = balancer or (service.get("spec") or {}).get("clusterIP")
    if not address or address == "None":
        raise UserError(f"{ref} has no address of its own; name one in meshchaos.yaml: gateway: {{address: 10.0.0.5}}")
    place = f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"
    return Entry(place, host, proxied=False, words=f"{words}{'' if balancer else ', at its cluster IP'}")


def _leads_to(service: Manifest, workloads: Iterable[Workload]) -> bool:
    selector = (service.get("spec") or {}).get("selector")
    namespace = service["metadata"]["namespace"]
    return bool(selector) and any(one.namespace == namespace and selects(selector, one.labels) for one in workloads)


def _port(service: Manifest, number: int) -> Mapping[str, Any] | None:
    ports: Iterable[Mapping[str, Any]] = (service.get("spec") or {}).get("ports") or ()
    return next((one for one in ports if one.get("port") == number), None)


def _has_port(address: str) -> bool:
    return address.rpartition(":")[2].isdigit() and (address.startswith("[") or address.count(":") == 1)
