"""``meshchaos.yaml``: the meshes, how workloads run on a local one, the SLOs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from meshchaos.errors import FileError, UserError
from meshchaos.experiment.config_document import (
    ConfigDoc,
    KubernetesDoc,
    LocalDoc,
    MeshDoc,
    SafetyDoc,
    SloDoc,
    WorkloadDoc,
)
from meshchaos.experiment.model import Issuer, Secret, Slo, TextOrSecret, Where
from meshchaos.experiment.problems import Problems, unknown
from meshchaos.experiment.secrets import located
from meshchaos.experiment.specs import validate
from meshchaos.experiment.tree import Loc, plain
from meshchaos.experiment.yaml_source import read_documents
from meshchaos.units import shown

FILE_NAME: Final = "meshchaos.yaml"


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a stub. ``timeout`` in s, None: none of its own."""

    url: str
    timeout: float | None = None
    optional: bool = False
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Stub:
    """``latency`` in s; ``error_share`` 0..1 of answers that are ``error_status``; ``concurrency``: answers under way
    at once at most, None: no limit; ``body``: any JSON, put into the answer's ``body``.
    """

    calls: tuple[Call, ...] = ()
    latency: float = 0.0
    error_share: float = 0.0
    error_status: int = 500
    concurrency: int | None = None
    body: Any = None


@dataclass(frozen=True, slots=True)
class Program:
    """A real program, run from ``folder`` (that of meshchaos.yaml)."""

    command: tuple[str, ...]
    port: int
    env: Mapping[str, TextOrSecret]
    folder: Path


@dataclass(frozen=True, slots=True)
class Workload:
    """How one Deployment runs here; how many of it is the Deployment's to say."""

    name: str
    runs: Stub | Program
    where: Where | None = None


@dataclass(frozen=True, slots=True)
class LocalMeshConfig:
    """``manifests``: absolute files and folders. ``inject``: by Istio's labels, or a sidecar for everybody.
    A Deployment that is not in ``workloads`` is ``Stub()``. ``issuers``: of tokens, whose keys the mesh makes itself.
    ``endpoints``: networks beyond this machine to which ServiceEntries may lead.
    """

    manifests: tuple[Path, ...]
    workloads: Mapping[str, Workload] = field(default_factory=dict)
    inject: Literal["labels", "all"] = "labels"
    issuers: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    service: str | None = None
    address: str | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class PrometheusConfig:
    url: str
    headers: Mapping[str, TextOrSecret] = field(default_factory=dict)
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class HealerConfig:
    service_account: str
    image: str


@dataclass(frozen=True, slots=True)
class KubernetesMeshConfig:
    context: str
    namespaces: tuple[str, ...] = ()
    kubeconfig: Path | None = None
    gateway: GatewayConfig | None = None
    image: str | None = None
    healer: HealerConfig | None = None


@dataclass(frozen=True, slots=True)
class Safety:
    """What experiments on a mesh may not do. ``namespaces`` and ``labels`` are protected; ``percentage`` (0..100) of an
    edge's requests, ``pods`` and ``duration`` (s) of the fault phase at most, None: no cap. ``production``: whether it
    is, None: its context's name says.
    """

    namespaces: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    percentage: float | None = None
    pods: int | None = None
    duration: float | None = None
    production: bool | None = None


@dataclass(frozen=True, slots=True)
class MeshConfig:
    name: str
    kind: LocalMeshConfig | KubernetesMeshConfig
    prometheus: PrometheusConfig | None = None
    where: Where | None = None
    safety: Safety = field(default_factory=Safety)


@dataclass(frozen=True, slots=True)
class Config:
    """``path`` and ``folder`` are absolute; ``path`` is None when there is no file."""

    path: Path | None
    folder: Path
    meshes: Mapping[str, MeshConfig] = field(default_factory=dict)
    default_mesh: str | None = None
    slos: Mapping[str, Slo] = field(default_factory=dict)
    issuers: Mapping[str, Issuer] = field(default_factory=dict)

    def mesh(self, name: str | None) -> MeshConfig:
        """The mesh of that name, or the default one. Raises UserError with those there are."""
        if self.path is None:
            raise UserError(f"there is no {FILE_NAME} in {self.folder} or above: it names the meshes (or use --config)")
        wanted = name or self.default_mesh
        if wanted is None:
            have = ", ".join(self.meshes) or "none"
            raise UserError(f"{self.path}: no mesh is chosen: write `mesh:`, --mesh or defaultMesh (known: {have})")
        if wanted not in self.meshes:
            raise UserError(f"{self.path}: {unknown('there is no mesh', wanted, self.meshes)}")
        return self.meshes[wanted]


def find_config(start: Path) -> Path | None:
    """The nearest meshchaos.yaml in ``start`` or a folder above it."""
    here = start.absolute()
    return next((folder / FILE_NAME for folder in (here, *here.parents) if (folder / FILE_NAME).is_file()), None)


def read_config(path: Path | None = None, *, start: Path | None = None) -> Config:
    """The given file, or the nearest one from ``start`` (default: the working folder) upwards; without any an
    empty Config. Raises FileError, or FileErrors with a line for each mistake.
    """
    start = start or Path.cwd()
    found = path if path is not None else find_config(start)
    if found is None:
        return Config(None, start.absolute())
    documents = read_documents(found)
    file = str(found)
    if not documents:
        raise FileError("is empty: it names meshes, as in meshes: {shop: {local: {manifests: [shop/]}}}", file=file)
    problems = Problems(file, documents[0])
    if len(documents) > 1:
        raise Problems(file, documents[1]).alone(f"{FILE_NAME} has one document, and here begins another")
    doc = validate(ConfigDoc, plain(documents[0]), problems, ())
    if doc is None:
        raise problems.error()
    folder = found.absolute().parent
    meshes = {name: _mesh(name, mesh, problems, folder) for name, mesh in doc.meshes.items()}
    default = doc.default_mesh or (next(iter(meshes)) if len(meshes) == 1 else None)
    if default is not None and default not in meshes:
        problems.add(unknown("there is no mesh", default, meshes), ("defaultMesh",))
    if problems.errors:
        raise problems.error()
    return Config(
        path=found.absolute(),
        folder=folder,
        meshes=meshes,
        default_mesh=default,
        slos={name: _slo(name, slo) for name, slo in doc.slos.items()},
        issuers={name: Issuer(name, str(_path(one.key_file, folder)), one.key_id) for name, one in doc.issuers.items()},
    )


def _mesh(name: str, doc: MeshDoc, problems: Problems, folder: Path) -> MeshConfig:
    loc: Loc = ("meshes", name)
    prometheus = None
    if doc.prometheus is not None:
        headers = dict(doc.prometheus.headers)
        if doc.prometheus.token is not None:
            token = located(doc.prometheus.token, folder)
            headers["Authorization"] = Secret(token.source, token.name, prefix="Bearer ")
        prometheus = PrometheusConfig(doc.prometheus.url, headers, _path(doc.prometheus.ca_file, folder))
    kind: LocalMeshConfig | KubernetesMeshConfig
    if doc.local is not None:
        kind = _local(doc.local, problems, (*loc, "local"), folder)
    else:
        assert doc.kubernetes is not None
        gateway = None
        if doc.gateway is not None:
            files = (_path(one, folder) for one in (doc.gateway.ca_file, doc.gateway.cert_file, doc.gateway.key_file))
            gateway = GatewayConfig(doc.gateway.service, doc.gateway.address, *files)
        kind = KubernetesMeshConfig(
            doc.kubernetes.context,
            doc.kubernetes.namespaces,
            _path(doc.kubernetes.kubeconfig, folder),
            gateway,
            doc.kubernetes.image,
            _healer(doc.kubernetes),
        )
    return MeshConfig(name, kind, prometheus, problems.where(loc), _safety(doc.safety or SafetyDoc()))


def _healer(doc: KubernetesDoc) -> HealerConfig | None:
    if doc.healer is None:
        return None
    image = doc.healer.image or doc.image
    assert image is not None  # its document was checked
    return HealerConfig(doc.healer.service_account, image)


def _safety(doc: SafetyDoc) -> Safety:
    caps = doc.caps
    return Safety(
        doc.protected.namespaces,
        doc.protected.labels,
        caps.percentage,
        caps.pods,
        caps.duration,
        doc.production,
    )


def _local(doc: LocalDoc, problems: Problems, loc: Loc, folder: Path) -> LocalMeshConfig:
    paths = []
    for index, text in enumerate(doc.manifests):
        path = folder / Path(text).expanduser()
        if not path.exists():
            problems.add(f"there is no {shown(text)} beside {FILE_NAME}", (*loc, "manifests", index))
        paths.append(path)
    workloads = {
        name: Workload(name, _runs(workload, folder), problems.where((*loc, "workloads", name)))
        for name, workload in doc.workloads.items()
    }
    return LocalMeshConfig(tuple(paths), workloads, doc.inject, doc.issuers, tuple(doc.endpoints))


def _runs(doc: WorkloadDoc, folder: Path) -> Stub | Program:
    if doc.stub is None:
        env: dict[str, Any] = {
            key: located(value, folder) if isinstance(value, Secret) else value for key, value in doc.env.items()
        }
        return Program(doc.command, doc.port or 0, env, folder)
    stub, errors = doc.stub, doc.stub.errors
    return Stub(
        calls=tuple(Call(call.url, call.timeout, call.optional, call.method) for call in stub.calls),
        latency=stub.latency,
        error_share=errors.share if errors else 0.0,
        error_status=errors.status if errors else 500,
        concurrency=stub.concurrency,
        body=stub.body,
    )


def _path(text: str | None, folder: Path) -> Path | None:
    return None if text is None else folder / Path(text).expanduser()


def _slo(name: str, doc: SloDoc) -> Slo:
    limits = doc.latency.limits if doc.latency else {}
    return Slo(name, doc.success, {round(float(key[1:]) / 100, 12): limit for key, limit in limits.items()}, doc.window)
