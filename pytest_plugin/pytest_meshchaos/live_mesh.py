"""What the fixture ``mesh`` gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshchaos.mesh.journal import Journal
from meshchaos.mesh.objects import Manifest, Ref
from meshchaos.mesh.seam import Entry, Mesh, Proxy, Snapshot

if TYPE_CHECKING:
    import httpx

    from pytest_meshchaos.session import ChaosSession


@dataclass(frozen=True)
class LiveMesh:
    """The running mesh of a test session. One that broke is brought up anew, and this stays the way to it. Every method
    raises MeshGone where it ended in the middle.
    """

    session: ChaosSession = field(repr=False)

    @property
    def seam(self) -> Mesh:
        """The mesh itself, for what this class has no method for. Do not keep it: a new one may take its place."""
        return self.session.mesh()

    @property
    def name(self) -> str:
        """As in meshchaos.yaml."""
        return self.seam.name

    @property
    def journal(self) -> Journal:
        """Who holds the mesh, and what he has to put back."""
        return self.seam.journal

    def snapshot(self) -> Snapshot:
        """Its objects and workloads at this moment."""
        return self.seam.snapshot()

    def get(self, ref: Ref) -> Manifest:
        """One object as the mesh stores it. Raises NotFound."""
        return self.seam.get(ref)

    def proxies(self, workload: str | None = None, namespace: str | None = None) -> list[Proxy]:
        """The proxies of one workload, or all, gateways included."""
        return self.seam.proxies(workload, namespace)

    def entry(self, source: str, url: str, namespace: str | None = None) -> Entry:
        """How a client at ``source`` (``gateway``, ``outside``, a workload) requests ``url``, for a client of your own.
        ``namespace`` (the mesh's first) is where short names are looked up. Raises UserError where it cannot.
        """
        mesh = self.seam
        if namespace is None:
            namespaces = mesh.snapshot().namespaces
            namespace = namespaces[0] if namespaces else "default"
        return mesh.entry(source, url, namespace)

    def client(self, *, from_: str, namespace: str | None = None, **options: Any) -> httpx.Client:
        """An ``httpx.Client`` that calls from there: with the identity of the workload ``from_`` (``page``,
        ``page.shop``), through its own sidecar; through the ``gateway``; or from ``outside``, without any sidecar.

        URLs are as that workload would write them, ``http://stars:8000/``; ``options`` are httpx's own (``timeout`` in
        seconds, ``headers``, ``base_url``). Requests raise UserError for a host or a workload that is not there, and
        httpx's own errors. Close it, or use ``with``.
        """
        import httpx

        from meshchaos.run.client import MeshTransport, Ways

        ways = Ways(from_, lambda url: self.entry(from_, url, namespace))
        return httpx.Client(transport=MeshTransport(ways), trust_env=False, **options)

    def async_client(self, *, from_: str, namespace: str | None = None, **options: Any) -> httpx.AsyncClient:
        """The same as ``httpx.AsyncClient``, for ``async with``."""
        import httpx

        from meshchaos.run.client import AsyncMeshTransport, Ways

        ways = Ways(from_, lambda url: self.entry(from_, url, namespace))
        return httpx.AsyncClient(transport=AsyncMeshTransport(ways), trust_env=False, **options)
