"""The only module that knows which kinds of mesh there are: opening one by its name, keeping local ones running."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from meshchaos.errors import MeshchaosError, MeshGone, UserError
from meshchaos.mesh.objects import Manifest
from meshchaos.mesh.seam import Mesh

if TYPE_CHECKING:
    from meshchaos.experiment.config import Config, Workload
    from meshchaos.mesh.kubernetes.spec import ClusterSpec
    from meshchaos.mesh.local.client import LocalMesh
    from meshchaos.mesh.local.runtime import MeshInfo
    from meshchaos.mesh.local.spec import MeshSpec, ProgramSpec, StubSpec
    from meshchaos.run.catalog import Catalog


def open_mesh(catalog: Catalog, name: str, logs: Path) -> Mesh:
    """The mesh of that name: a cluster's; the local one that ``mesh up`` keeps running, else one that ends with this
    process. What proxies log is left in ``logs``. Raises UserError, MeshError, ProxyRejected.
    """
    cluster = cluster_spec(catalog.config, name)
    if cluster is not None:
        from meshchaos.mesh.kubernetes.client import KubernetesMesh

        return KubernetesMesh.open(cluster, logs)
    from meshchaos.mesh.local.client import LocalMesh

    return LocalMesh.open(local_spec(catalog, name, logs))


def joinable(mesh: Mesh) -> str | None:
    """What ``join_mesh`` takes: of a local mesh that this process started; None for one that everybody finds."""
    from meshchaos.mesh.local.client import LocalMesh

    return str(mesh.folder) if isinstance(mesh, LocalMesh) and mesh.owned else None


def join_mesh(found: str) -> Mesh | None:
    """The local mesh that another process of this user started, and which ends with that; None when it has ended."""
    from meshchaos.mesh.local import starting
    from meshchaos.mesh.local.client import LocalMesh

    info = next((one for one in starting.status() if one.folder == found), None)
    try:
        return LocalMesh.attach(info) if info is not None else None
    except MeshGone:
        return None


def cluster_spec(config: Config, name: str) -> ClusterSpec | None:
    """Of a mesh on a cluster; None for a local one. Raises UserError where it does not say which namespaces."""
    from meshchaos.experiment.config import KubernetesMeshConfig
    from meshchaos.mesh.kubernetes.spec import ClusterSpec, HealerSpec, TlsFiles

    kind = config.mesh(name).kind
    if not isinstance(kind, KubernetesMeshConfig):
        return None
    if not kind.namespaces:
        raise UserError(
            f"{config.path}: meshes.{name}.kubernetes: name the namespaces that experiments may be about, "
            "as in namespaces: [shop]"
        )
    gateway = kind.gateway
    return ClusterSpec(
        name,
        kind.context,
        kind.namespaces,
        kind.kubeconfig,
        gateway.service if gateway is not None else None,
        gateway.address if gateway is not None else None,
        TlsFiles(gateway.ca_file, gateway.cert_file, gateway.key_file) if gateway is not None else TlsFiles(),
        kind.image,
        HealerSpec(kind.healer.service_account, kind.healer.image) if kind.healer is not None else None,
    )


def local_spec(catalog: Catalog, name: str, logs: Path) -> MeshSpec:
    """What the supervisor of a local mesh is told. Raises UserError for a mesh that is none, and for its manifests."""
    from meshchaos.mesh.local.objects import manifests
    from meshchaos.mesh.local.spec import MeshSpec

    local = catalog.local(name)
    objects = manifests.load(list(local.manifests), local.endpoints)
    _check_names(local.workloads.values(), objects)
    return MeshSpec(
        mesh=name,
        config=str(catalog.config.path),
        folder=str(catalog.config.folder),
        logs=str(logs.absolute()),
        manifests=tuple(objects),
        workloads={workload: _runs(one) for workload, one in local.workloads.items()},
        inject_all=local.inject == "all",
        issuers=local.issuers,
        endpoints=local.endpoints,
    )


def _check_names(workloads: Iterable[Workload], objects: Iterable[Manifest]) -> None:
    """Raises UserError for a workload that no Deployment is: its settings would go nowhere, silently."""
    from meshchaos.mesh.istio.services import did_you_mean

    known = sorted(str(one["metadata"]["name"]) for one in objects if one.get("kind") == "Deployment")
    for workload in workloads:
        if workload.name not in known:
            raise UserError(
                f"{_place(workload)}: the manifests have no Deployment {workload.name!r}"
                f"{did_you_mean(workload.name, known)}; they have {', '.join(known) or 'none'}"
            )


def _place(workload: Workload) -> str:
    where = workload.where
    return f"{where.file}:{where.line}:{where.col}: {where.path}" if where else workload.name


def _runs(workload: Workload) -> StubSpec | ProgramSpec:
    from meshchaos.experiment.config import Stub
    from meshchaos.experiment.secrets import resolve
    from meshchaos.mesh.local.spec import ProgramSpec, StubSpec

    runs = workload.runs
    if isinstance(runs, Stub):
        calls = [
            {"url": call.url, "timeout": call.timeout, "optional": call.optional, "method": call.method}
            for call in runs.calls
        ]
        errors = {"share": runs.error_share, "status": runs.error_status} if runs.error_share else None
        return StubSpec(tuple(calls), runs.latency, errors, runs.concurrency, runs.body)
    try:
        return ProgramSpec(runs.command, runs.port, {key: resolve(value) for key, value in runs.env.items()})
    except UserError as error:
        raise UserError(f"{_place(workload)}.env: {error}") from error


def mesh_up(catalog: Catalog, logs: Path | None) -> MeshInfo:
    """Starts the mesh that the catalog is about and leaves it running. Raises UserError when it runs already."""
    from meshchaos.mesh.local import starting

    name = catalog.default_name()
    return starting.up(local_spec(catalog, name, logs or Path("reports") / f"mesh-{name}"))


def mesh_down(name: str | None, *, everything: bool) -> list[MeshInfo]:
    """Ends meshes that ``mesh up`` started. Raises UserError when it is not clear which, or none runs."""
    from meshchaos.mesh.local import starting

    running = [info for info in starting.status() if info.detached]
    chosen = running if everything else [info for info in running if name in (None, info.mesh)]
    if not chosen and not everything:
        there = f"; these do: {', '.join(info.mesh for info in running)}" if running else ""
        raise UserError(f"no mesh{f' {name}' if name else ''} was left running by `mesh up`{there}")
    if len(chosen) > 1 and not everything:
        there = ", ".join(f"{info.mesh} ({info.config})" for info in chosen)
        raise UserError(f"several meshes run: {there}; name one, or say --all")
    for info in chosen:
        starting.down(info)
    return chosen


def mesh_status() -> list[str]:
    """One line a running local mesh of this user, where its metrics are, and one for each run that holds it."""
    from meshchaos.mesh.local import starting
    from meshchaos.mesh.local.client import LocalMesh

    lines = []
    for info in starting.status():
        since = datetime.fromtimestamp(info.started, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        how = "kept up" if info.detached else "of a running command"
        lines.append(f"{info.mesh}: {how} since {since}, process {info.pid}, {info.config}, logs in {info.logs}")
        try:
            mesh = LocalMesh.attach(info)
        except MeshchaosError as error:
            lines.append(f"  does not answer: {error}")
            continue
        with mesh:
            workloads = mesh.snapshot().workloads
            replicas = [replica for workload in workloads for replica in workload.replicas]
            ready = sum(replica.ready for replica in replicas)
            sidecars = sum(replica.sidecar for replica in replicas)
            lines.append(
                f"  {len(workloads)} workloads, {ready} of {len(replicas)} replicas ready, {sidecars} sidecars"
            )
            lines += _metrics(mesh, Path(info.logs))
            lines += [f"  held by run {entry.run_id} ({entry.owner})" for entry in mesh.journal.entries()]
    return lines


def _metrics(mesh: LocalMesh, logs: Path) -> list[str]:
    """Where a Prometheus finds them, all together and one by one."""
    from meshchaos.mesh.local.metrics.scrape import CONFIG
    from meshchaos.mesh.local.world import METRICS_PATH, METRICS_PORT

    proxies = [one for one in mesh.world().replicas if one.sidecar or one.gateway]
    return [
        f"  metrics: prometheus --config.file={logs / CONFIG}, or one by one:",
        *(f"    http://{one.address}:{METRICS_PORT}{METRICS_PATH} ({one.name}.{one.namespace})" for one in proxies),
    ]
