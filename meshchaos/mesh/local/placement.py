"""From Pods of the store to replicas with a place on this machine: addresses, ports, folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from meshchaos.mesh.istio.hosts import is_wildcard
from meshchaos.mesh.istio.injection import role_of
from meshchaos.mesh.istio.service_entries import services_of_entry
from meshchaos.mesh.local.addresses import AddressBlock, free_port
from meshchaos.mesh.local.objects.controller import owner_of
from meshchaos.mesh.local.plain_side import NAME as PLAIN_SIDE
from meshchaos.mesh.local.plain_side import plain_side
from meshchaos.mesh.local.preflight import spare_inotify_instances
from meshchaos.mesh.local.programs import APPLICATION_PORTS_FROM
from meshchaos.mesh.local.replicas import ReplicaState
from meshchaos.mesh.local.spec import MeshSpec, ProgramSpec, StubSpec
from meshchaos.mesh.local.world import DOMAIN, SERVICE_PORTS_FROM, LocalReplica, bind_port
from meshchaos.mesh.objects import Manifest, labels_of, selects

_WATCHES_A_SIDECAR = 2
_WATCHES_KEPT = 24
"""inotify instances left for others: editors, desktops, the next mesh."""


class Placement:
    """Hands out what is given once: addresses of replicas and Services, client ports, folders."""

    def __init__(self, spec: MeshSpec, folder: Path) -> None:
        self.block = AddressBlock()
        self._spec = spec
        self._folder = folder
        self._count = 0
        self._spare_watches = spare_inotify_instances() - _WATCHES_KEPT
        self._service_addresses: dict[str, str] = {}
        self._client_ports: dict[str, int] = {}
        self._gateways: dict[tuple[str, str], list[str]] = {}
        """By workload, addresses of gateways that are gone: a gateway stands for its Service, whose address stays."""

    def service_addresses(self, objects: Iterable[Manifest]) -> dict[str, str]:
        """A virtual address for each Service, the same one through the mesh's life."""
        hosts = [host_of(manifest) for manifest in objects if manifest["kind"] == "Service"]
        for host in hosts:
            if host not in self._service_addresses:
                self._service_addresses[host] = self.block.service()
        return {host: self._service_addresses[host] for host in hosts}

    def replica(self, pod: Manifest, objects: Iterable[Manifest]) -> ReplicaState:
        """A place for a Pod that has none yet."""
        metadata, role = pod["metadata"], role_of(pod)
        owner = owner_of(pod)
        workload = owner.name if owner is not None else str(metadata["name"])
        program: StubSpec | ProgramSpec | None = None
        if role != "gateway":
            program = self._spec.workloads.get(workload, StubSpec())
        free = self._gateways.get((str(metadata["namespace"]), workload))
        address = free.pop(0) if free else self.block.replica()
        self._count += 1
        directory = self._folder / f"p{self._count}"
        objects = list(objects)
        local = LocalReplica(
            name=str(metadata["name"]),
            namespace=str(metadata["namespace"]),
            workload=workload,
            address=address,
            labels=labels_of(pod),
            service_account=str(pod["spec"].get("serviceAccountName") or "default"),
            sidecar=role == "sidecar",
            gateway=role == "gateway",
            serving=False,
            applications=_applications(pod, objects, program, address, sidecar=role == "sidecar"),
            service_ports=self._ports_of_services(objects) if isinstance(program, ProgramSpec) else {},
            directory=str(directory),
            admin=str(directory / "admin.sock"),
            logs=str(Path(self._spec.logs) / f"{metadata['name']}.{metadata['namespace']}"),
            xds=str(directory / "xds.sock"),
            routes=self._watched(directory) if role == "sidecar" else "",
        )
        return ReplicaState(local, program)

    def gone(self, local: LocalReplica) -> None:
        """A replica of which nothing runs any more."""
        if local.gateway:
            self._gateways.setdefault((local.namespace, local.workload), []).append(local.address)

    def _watched(self, directory: Path) -> str:
        """A folder for routes by file while the user has inotify instances to spare; each container port takes one."""
        if self._spare_watches <= 0:
            return ""
        self._spare_watches -= _WATCHES_A_SIDECAR
        return str(directory / "r")

    def plain_side(self) -> LocalReplica:
        """The place of the proxy for clients without a sidecar."""
        return plain_side(self.block.replica(), str(self._folder / "plain"), str(Path(self._spec.logs) / PLAIN_SIDE))

    def _ports_of_services(self, objects: Iterable[Manifest]) -> Mapping[str, int]:
        for manifest in objects:
            keys: list[str] = []
            if manifest["kind"] == "Service":
                keys = [f"{host_of(manifest)}:{port['port']}" for port in manifest["spec"].get("ports") or []]
            elif manifest["kind"] == "ServiceEntry":
                made = services_of_entry(manifest)
                keys = [f"{one.host}:{port.number}" for one in made if not is_wildcard(one.host) for port in one.ports]
            for key in keys:
                self._client_ports.setdefault(key, SERVICE_PORTS_FROM + len(self._client_ports))
        return dict(self._client_ports)


def host_of(service: Manifest) -> str:
    """The full name of a Service."""
    return f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.{DOMAIN}"


def _applications(
    pod: Manifest, objects: list[Manifest], program: StubSpec | ProgramSpec | None, address: str, *, sidecar: bool
) -> dict[int, str]:
    """Container port -> where the one program of this replica listens, whichever port was meant."""
    if program is None:
        return {}
    ports = [int(port["containerPort"]) for c in pod["spec"]["containers"] for port in c.get("ports") or []]
    ports += [port for port in _targets(pod, objects) if port not in ports]
    if isinstance(program, ProgramSpec):
        if program.port not in ports:
            ports.insert(0, program.port)
        listen = f"127.0.0.1:{free_port()}"
    elif not ports:
        return {}
    elif sidecar:
        own = next(n for n in range(APPLICATION_PORTS_FROM, APPLICATION_PORTS_FROM + len(ports) + 1) if n not in ports)
        listen = f"{address}:{own}"
    else:
        listen = f"{address}:{bind_port(ports[0])}"
    return dict.fromkeys(ports, listen)


def _targets(pod: Manifest, objects: list[Manifest]) -> list[int]:
    """Numeric target ports of the Services and ServiceEntries that select the Pod: containers need not declare them."""
    found = []
    for service in objects:
        if service["kind"] == "ServiceEntry" and service["metadata"]["namespace"] == pod["metadata"]["namespace"]:
            selector = (service["spec"].get("workloadSelector") or {}).get("labels")
            if selector and selects(selector, labels_of(pod)):
                found += [int(port.get("targetPort", port["number"])) for port in service["spec"]["ports"]]
        if service["kind"] != "Service" or service["metadata"]["namespace"] != pod["metadata"]["namespace"]:
            continue
        selector = service["spec"].get("selector")
        if selector and selects(selector, labels_of(pod)):
            for port in service["spec"].get("ports") or []:
                target = port.get("targetPort", port["port"])
                if isinstance(target, int):
                    found.append(target)
    return found
