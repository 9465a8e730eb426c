"""What a first experiment on some manifests can be about: a way in, and the service that it leads to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshchaos.errors import UserError
from meshchaos.mesh.istio.injection import injected, is_gateway, template_labels
from meshchaos.mesh.istio.ports import may_be_http
from meshchaos.mesh.istio.services import Service, did_you_mean, find_service, services
from meshchaos.mesh.objects import Manifest, selects

_REMEDY = "name a port of your Service `http` (or appProtocol: http), and the Deployment's labels in its selector"
_SCHEMES = {"HTTP": "http", "HTTP2": "http", "HTTPS": "https"}
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Found:
    """``mesh``: a name for it. ``url`` is requested from ``source`` (``gateway``, or a workload) and leads to
    ``service`` (``ratings.shop``). ``inject_all``: by their labels, those who must have a sidecar would have none.
    ``workloads``: how many there are, gateways left out.
    """

    mesh: str
    url: str
    source: str
    service: str
    inject_all: bool
    workloads: int

    @property
    def name(self) -> str:
        """The service's, for files."""
        return self.service.partition(".")[0]


def survey(objects: Sequence[Manifest], source: str | None) -> Found:
    """``source``: the workload that requests come from, instead of the gateway. Raises UserError, with a remedy, where
    there is no HTTP service, no way in, or no such workload.
    """
    gateways = [one for one in objects if one["kind"] == "Gateway"]
    deployments = [
        one
        for one in objects
        if one["kind"] == "Deployment" and not is_gateway(one["spec"]["template"], gateways) and _runs(one)
    ]
    serving = [service for service in services(objects) if _port(service) is not None and _behind(service, deployments)]
    if not serving:
        raise UserError(f"the manifests have no HTTP service with a Deployment behind it: {_REMEDY}")
    if source is not None:
        caller = _caller(deployments, source)
        name = f"{caller['metadata']['name']}.{caller['metadata']['namespace']}"
        others = [service for service in serving if caller not in _behind(service, deployments)]
        if not others:
            raise UserError(f"--from {source}: there is no other HTTP service that it could call: {_REMEDY}")
        service = others[0]
        url = f"http://{service.name}.{service.namespace}:{_port(service)}/"
        concerned = [caller, *_behind(service, deployments)]
    else:
        ways = _ways_in(objects, serving)
        way = next(ways, None)
        if way is None:
            there = ", ".join(f"{one['metadata']['name']}" for one in deployments)
            raise UserError(
                "no Gateway with a VirtualService leads to an HTTP service of the manifests: add them, or say which "
                f"workload requests come from, as in meshchaos init --from {deployments[0]['metadata']['name']} "
                f"(there are {there})"
            )
        url, service = way
        name, concerned = "gateway", _behind(service, deployments)
    namespaces = {one["metadata"]["name"]: one for one in objects if one["kind"] == "Namespace"}
    with_sidecar = all(
        injected(namespaces.get(one["metadata"]["namespace"]), one["spec"]["template"]) for one in concerned
    )
    mesh = service.namespace if service.namespace != "default" else service.name
    return Found(mesh, url, name, f"{service.name}.{service.namespace}", not with_sidecar, len(deployments))


def _ways_in(objects: Sequence[Manifest], serving: Sequence[Service]) -> Iterator[tuple[str, Service]]:
    """URLs that a Gateway's server and a VirtualService on it lead to one of these services."""
    by_name = {f"{one['metadata']['namespace']}/{one['metadata']['name']}": one for one in objects if _is_gateway(one)}
    for item in (one for one in objects if one["kind"] == "VirtualService"):
        spec, namespace = item.get("spec") or {}, str(item["metadata"]["namespace"])
        for reference in spec.get("gateways") or ():
            gateway = by_name.get(reference if "/" in reference else f"{namespace}/{reference}")
            server = _http_server(gateway) if gateway is not None else None
            if server is None:
                continue
            scheme, number, hosts = server
            host = _host([*(spec.get("hosts") or ()), *hosts])
            for route in spec.get("http") or ():
                path = _path(route.get("match") or ())
                service = _destination(objects, route, namespace, serving)
                if path is not None and service is not None:
                    port = "" if number == _DEFAULT_PORTS[scheme] else f":{number}"
                    yield f"{scheme}://{host}{port}{path}", service


def _is_gateway(manifest: Manifest) -> bool:
    return bool(manifest["kind"] == "Gateway" and str(manifest["apiVersion"]).startswith("networking.istio.io/"))


def _http_server(gateway: Manifest) -> tuple[str, int, list[str]] | None:
    """The first that answers by itself, and does not send its clients to another one: scheme, port, hosts."""
    for server in (gateway.get("spec") or {}).get("servers") or ():
        port, tls = server.get("port") or {}, server.get("tls") or {}
        scheme = _SCHEMES.get(str(port.get("protocol")).upper())
        if scheme is not None and not tls.get("httpsRedirect"):
            return scheme, int(port["number"]), [str(host).rpartition("/")[2] for host in server.get("hosts") or ()]
    return None


def _host(hosts: Sequence[str]) -> str:
    """The first that is a name; else one that a pattern lets through."""
    for host in hosts:
        if "*" not in host:
            return host
    return next((f"www{host[1:]}" for host in hosts if host.startswith("*.")), "www.example.com")


def _path(matches: Sequence[Mapping[str, Any]]) -> str | None:
    """A path that the route takes without anything else; None where it asks for more than a path."""
    if not matches:
        return "/"
    for match in matches:
        uri = match.get("uri") or {}
        if set(match) - {"uri", "name", "gateways", "port"} or not set(uri) <= {"exact", "prefix"}:
            continue
        return str(next(iter(uri.values()), "/"))
    return None


def _destination(
    objects: Sequence[Manifest], route: Mapping[str, Any], namespace: str, serving: Sequence[Service]
) -> Service | None:
    for target in route.get("route") or ():
        try:
            found = find_service(objects, str((target.get("destination") or {}).get("host", "")), namespace).service
        except UserError:
            continue
        if any(one.host == found.host for one in serving):
            return found
    return None


def _caller(deployments: Sequence[Manifest], source: str) -> Manifest:
    name, _, namespace = source.partition(".")
    for one in deployments:
        if one["metadata"]["name"] == name and namespace in ("", one["metadata"]["namespace"]):
            return one
    known = [str(one["metadata"]["name"]) for one in deployments]
    hint = did_you_mean(source, known)
    raise UserError(f"--from {source}: the manifests have no such Deployment{hint}; they have {', '.join(known)}")


def _behind(service: Service, deployments: Sequence[Manifest]) -> list[Manifest]:
    return [
        one
        for one in deployments
        if one["metadata"]["namespace"] == service.namespace
        and service.selector
        and selects(dict(service.selector), template_labels(one))
    ]


def _runs(deployment: Manifest) -> bool:
    return int(deployment["spec"].get("replicas", 1)) > 0


def _port(service: Service) -> int | None:
    """Of its first port that carries HTTP."""
    return next((port.number for port in service.ports if may_be_http(port.protocol)), None)
