"""How the program of a replica is started: command and environment; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshchaos.mesh.istio.order import visible
from meshchaos.mesh.istio.service_entries import services_of_entry
from meshchaos.mesh.local.spec import StubSpec
from meshchaos.mesh.local.world import DOMAIN, OUTBOUND_PORT, LocalReplica, World, bind_port
from meshchaos.mesh.objects import Manifest

APPLICATION_PORTS_FROM = 17000
"""Where stubs behind a sidecar listen, on their replica's own address."""

_PROXY_VARIABLES = frozenset(("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY"))


def envoy_command(binary: str, bootstrap: str, log: str) -> list[str]:
    """Envoy's command line.

    Without hot restart, whose shared memory leaks after kill -9; connections drain at once, so that no pooled one
    keeps old rules; access logs are on disk within 20 ms.
    """
    return [
        binary,
        *("--config-path", bootstrap, "--log-path", log, "--log-level", "warning"),
        *("--disable-hot-restart", "--concurrency", "1"),
        *("--drain-strategy", "immediate", "--drain-time-s", "45", "--file-flush-interval-msec", "20"),
    ]


def stub_document(
    spec: StubSpec, replica: LocalReplica, *, listen: str, admin: str, hosts: Mapping[str, str], seed: int
) -> dict[str, Any]:
    """What the stub is told (see ``stub``); ``hosts`` is for one without a sidecar."""
    return {
        "workload": replica.workload,
        "replica": replica.name,
        "listen": listen,
        "admin": admin,
        "calls": [dict(call) for call in spec.calls],
        "latency": spec.latency,
        "errors": dict(spec.errors) if spec.errors else None,
        "concurrency": spec.concurrency,
        "proxy": f"{replica.address}:{OUTBOUND_PORT}" if replica.sidecar else None,
        "hosts": {} if replica.sidecar else dict(hosts),
        "seed": seed,
        "body": spec.body,
    }


def plain_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment without any proxy setting."""
    return {name: value for name, value in inherited.items() if name.upper() not in _PROXY_VARIABLES}


def program_environment(
    inherited: Mapping[str, str], replica: LocalReplica, world: World, *, port: int
) -> dict[str, str]:
    """What a user's program finds: its port, its sidecar as HTTP proxy, and Kubernetes' variables for the Services of
    its namespace (``RATINGS_SERVICE_HOST``, ``_PORT``, ``_PORT_<NAME>``) and hosts of ServiceEntries, that lead into
    the mesh without a proxy.
    """
    environment = plain_environment(inherited)
    environment["PORT"] = str(port)
    environment["MESHCHAOS_REPLICA"] = replica.name
    if replica.sidecar:
        sidecar = f"http://{replica.address}:{OUTBOUND_PORT}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            environment[name] = environment[name.lower()] = sidecar
    for service in world.objects:
        if service.get("kind") == "Service" and service["metadata"].get("namespace") == replica.namespace:
            environment.update(_service_variables(service, replica, world))
        elif service.get("kind") == "ServiceEntry" and replica.sidecar:
            environment.update(_entry_variables(service, replica))
    return environment


def _entry_variables(entry: Manifest, replica: LocalReplica) -> dict[str, str]:
    """The same for hosts of a ServiceEntry that the replica sees: ``API_EXAMPLE_COM_SERVICE_HOST``."""
    found: dict[str, str] = {}
    for one in services_of_entry(entry) if visible(entry, replica.namespace) else ():
        variable = one.host.upper().replace("-", "_").replace(".", "_")
        for port in one.ports:
            there = replica.service_ports.get(f"{one.host}:{port.number}")
            if there is not None:
                found.setdefault(f"{variable}_SERVICE_HOST", replica.address)
                found.setdefault(f"{variable}_SERVICE_PORT", str(there))
                found[f"{variable}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(there)
    return found


def _service_variables(service: Manifest, replica: LocalReplica, world: World) -> dict[str, str]:
    name = str(service["metadata"]["name"])
    fqdn = f"{name}.{replica.namespace}.svc.{DOMAIN}"
    variable = name.upper().replace("-", "_")
    found: dict[str, str] = {}
    for port in service.get("spec", {}).get("ports") or []:
        number = int(port["port"])
        if replica.sidecar:
            host, there = replica.address, replica.service_ports.get(f"{fqdn}:{number}")
        else:
            host, there = world.service_addresses.get(fqdn, ""), bind_port(number)
        if not host or there is None:
            continue
        found.setdefault(f"{variable}_SERVICE_HOST", host)
        found.setdefault(f"{variable}_SERVICE_PORT", str(there))
        if port.get("name"):
            found[f"{variable}_SERVICE_PORT_{str(port['name']).upper().replace('-', '_')}"] = str(there)
    return found


def plain_hosts(world: World, namespace: str) -> dict[str, str]:
    """``name:port`` -> address of Services as a client without a sidecar in ``namespace`` reaches them."""
    found: dict[str, str] = {}
    for service in world.objects:
        if service.get("kind") != "Service":
            continue
        name, its = str(service["metadata"]["name"]), str(service["metadata"].get("namespace"))
        fqdn = f"{name}.{its}.svc.{DOMAIN}"
        address: Any = world.service_addresses.get(fqdn)
        if address is None:
            continue
        names = [f"{name}.{its}", f"{name}.{its}.svc", fqdn]
        if its == namespace:
            names.append(name)
        for port in service.get("spec", {}).get("ports") or []:
            number = int(port["port"])
            for known in names:
                found[f"{known}:{number}"] = f"{address}:{bind_port(number)}"
    return found
