"""Security of the local mesh through its seam: issuers' keys, certificates, policies as changes."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from small_mesh import NAMESPACE, small, until
from tokens import Issuer

from meshchaos.mesh.apply import apply_change, undo_change
from meshchaos.mesh.changes import Create, EditObject, recorded
from meshchaos.mesh.edits import MISSING, SetField
from meshchaos.mesh.local.admin import AdminClient
from meshchaos.mesh.local.client import LocalMesh
from meshchaos.mesh.local.spec import ProgramSpec
from meshchaos.mesh.local.world import LocalReplica
from meshchaos.mesh.objects import Manifest, Ref
from meshchaos.mesh.proxy_marks import CERTIFICATE, EXPIRED

pytestmark = pytest.mark.envoy
ISSUER = "https://issuer.example"


class KeyServer:
    """Serves ``documents`` by their path; what is not there is a 404."""

    def __init__(self) -> None:
        self.documents: dict[str, str] = {}
        documents = self.documents

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = documents.get(self.path)
                self.send_response(404 if found is None else 200)
                self.end_headers()
                self.wfile.write((found or "").encode())

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def issuer() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.close()


INSIDE = Issuer(ISSUER)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    folder = tmp_path_factory.mktemp("mesh")
    (folder / "keys.json").write_text(INSIDE.jwks)
    serve = "h.test(h.SimpleHTTPRequestHandler, port=int(os.environ['PORT']), bind='127.0.0.1')"
    keys = ProgramSpec((sys.executable, "-c", f"import os, http.server as h; {serve}"), 8080)
    with LocalMesh.start(small(folder / "logs", ("web", "api", "keys"), {"keys": keys})) as started:
        yield started


@pytest.fixture(autouse=True)
def clean(mesh: LocalMesh) -> Iterator[None]:
    yield
    for one in mesh.snapshot().objects:
        if one["apiVersion"].startswith(("security.istio.io", "networking.istio.io")):
            mesh.delete(Create(one).ref, one["metadata"]["uid"])


def made(kind: str, name: str, spec: dict[str, Any]) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE}
    group = "networking" if kind == "DestinationRule" else "security"
    return {"apiVersion": f"{group}.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def tokens(**rule: Any) -> Manifest:
    return made("RequestAuthentication", "tokens", {"jwtRules": [{"issuer": ISSUER, **rule}]})


def one_request() -> Manifest:
    """A connection for each request, so that every one meets what runs now."""
    pool = {"connectionPool": {"http": {"maxRequestsPerConnection": 1}}}
    return made("DestinationRule", "api", {"host": "api", "trafficPolicy": pool})


def get(mesh: LocalMesh, token: str = "", source: str = "web") -> int:
    entry = mesh.entry(source, "http://api/", NAMESPACE)
    connection = http.client.HTTPConnection(entry.address, timeout=10)
    try:
        headers = {"Host": entry.host, **({"Authorization": f"Bearer {token}"} if token else {})}
        connection.request("GET", f"http://{entry.host}/" if entry.proxied else "/", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def replica(mesh: LocalMesh, workload: str) -> LocalReplica:
    return next(one for one in mesh.world().replicas if one.workload == workload)


class TestKeys:
    def test_by_uri_and_renewed(self, mesh: LocalMesh, issuer: KeyServer) -> None:
        first, second = Issuer(ISSUER), Issuer(ISSUER)
        issuer.documents["/keys"] = first.jwks
        mesh.create(one_request())
        mesh.create(tokens(jwksUri=f"{issuer.url}/keys"))
        assert (get(mesh), get(mesh, first.token()), get(mesh, second.token())) == (200, 200, 401)
        issuer.documents["/keys"] = second.jwks
        assert get(mesh, first.token()) == 200, "what is there is kept"
        mesh.refresh_keys()
        assert (get(mesh, first.token()), get(mesh, second.token())) == (401, 200)

    def test_an_issuer_that_is_away(self, mesh: LocalMesh, issuer: KeyServer) -> None:
        one = Issuer(ISSUER)
        mesh.create(one_request())
        mesh.create(tokens(jwksUri=f"{issuer.url}/keys"))
        assert (get(mesh), get(mesh, one.token())) == (200, 401)
        issuer.documents["/keys"] = "no JSON"
        mesh.refresh_keys()
        assert get(mesh, one.token()) == 401
        issuer.documents["/keys"] = one.jwks
        mesh.refresh_keys()
        assert get(mesh, one.token()) == 200
        log = Path(replica(mesh, "api").logs).parent / "supervisor.log"
        assert f"keys of {issuer.url}/keys cannot be fetched" in log.read_text()

    def test_by_discovery(self, mesh: LocalMesh, issuer: KeyServer) -> None:
        one = Issuer(issuer.url)
        issuer.documents["/.well-known/openid-configuration"] = json.dumps({"jwks_uri": f"{issuer.url}/mine"})
        issuer.documents["/mine"] = one.jwks
        mesh.create(one_request())
        mesh.create(tokens(issuer=issuer.url))
        assert (get(mesh, one.token()), get(mesh, Issuer(issuer.url).token())) == (200, 401)

    @pytest.mark.parametrize("host", ["keys.shop.svc.cluster.local", "keys.shop"])
    def test_from_a_service_of_the_mesh(self, mesh: LocalMesh, host: str) -> None:
        mesh.create(one_request())
        mesh.create(tokens(jwksUri=f"http://{host}/keys.json"))
        assert (get(mesh, INSIDE.token()), get(mesh, Issuer(ISSUER).token())) == (200, 401)


class TestCertificates:
    def serial(self, mesh: LocalMesh, workload: str) -> str:
        one = replica(mesh, workload)
        client = AdminClient(one.admin, one.name)
        try:
            found = json.loads(client.get("/certs"))
        finally:
            client.close()
        return str(found["certificates"][0]["cert_chain"][0]["serial_number"])

    def handshakes(self, mesh: LocalMesh) -> int:
        one = replica(mesh, "api")
        client = AdminClient(one.admin, one.name)
        try:
            found = client.get("/stats?filter=^listener.*ssl.handshake$")
        finally:
            client.close()
        return sum(int(line.rpartition(b":")[2]) for line in bytes(found).splitlines())

    def test_rotation_keeps_connections(self, mesh: LocalMesh) -> None:
        assert get(mesh) == 200
        before, shaken = {name: self.serial(mesh, name) for name in ("web", "api")}, self.handshakes(mesh)
        names = [f"{replica(mesh, name).name}.{NAMESPACE}" for name in ("web", "api")]
        mesh.certify(names)
        until(lambda: all(self.serial(mesh, name) != before[name] for name in before), "both proxies have new ones")
        assert get(mesh) == 200
        assert self.handshakes(mesh) == shaken, "the pooled connection is the one from before"
        mesh.create(one_request())
        assert get(mesh) == 200
        assert self.handshakes(mesh) > shaken

    @pytest.mark.parametrize("workload", ["web", "api"])
    def test_an_expired_one_is_refused_until_it_is_replaced(self, mesh: LocalMesh, workload: str) -> None:
        mesh.create(one_request())
        assert get(mesh) == 200
        name = f"{replica(mesh, workload).name}.{NAMESPACE}"
        mesh.certify([name], expired=True)
        until(lambda: get(mesh) == 503, "new connections are refused")
        mesh.certify([name])
        until(lambda: get(mesh) == 200, "the mesh is whole again")


def test_the_mesh_itself_renews_a_certificate_whose_run_is_gone(mesh: LocalMesh) -> None:
    assert get(mesh) == 200
    pod = Ref("Pod", NAMESPACE, replica(mesh, "api").name)
    mark = EditObject(pod, (SetField(("metadata", "annotations", CERTIFICATE), MISSING, EXPIRED),))
    change = recorded(mesh.get(pod), mark)
    mesh.journal.open("run-9", "tester@here", [change], 2.0)
    apply_change(mesh, change, "run-9")
    assert mesh.confirm([change], present=True, timeout=5).proxies == (f"{pod.name}.{NAMESPACE}",)
    until(lambda: get(mesh) == 503, "new connections are refused")
    until(lambda: not mesh.journal.entries(), "the entry is closed")
    until(lambda: get(mesh) == 200, "the mesh is whole again")
    assert CERTIFICATE not in mesh.get(pod)["metadata"].get("annotations", {})
    assert any("run-9" in line for line in mesh.trouble())
    mesh.journal.close("run-9")


def test_policies_are_changes_that_are_confirmed_and_undone(mesh: LocalMesh) -> None:
    shut = Create(made("AuthorizationPolicy", "shut", {"selector": {"matchLabels": {"app": "api"}}}))
    mesh.create(one_request())
    apply_change(mesh, shut, "run-1")
    seen = mesh.confirm([shut], present=True, timeout=5)
    assert seen.proxies == (f"{replica(mesh, 'api').name}.{NAMESPACE}",)
    assert (get(mesh), get(mesh, source="outside")) == (403, 403)
    assert undo_change(mesh, shut, "run-1") == []
    mesh.confirm([shut], present=False, timeout=5)
    assert (get(mesh), get(mesh, source="outside")) == (200, 200)


def test_strict_is_a_change_like_any_other(mesh: LocalMesh) -> None:
    strict = Create(made("PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}))
    assert get(mesh, source="outside") == 200
    apply_change(mesh, strict, "run-2")
    mesh.confirm([strict], present=True, timeout=5)
    with pytest.raises(OSError, match=r"reset|closed"):
        get(mesh, source="outside")
    assert get(mesh) == 200
    assert undo_change(mesh, strict, "run-2") == []
    mesh.confirm([strict], present=False, timeout=5)
    assert get(mesh, source="outside") == 200
