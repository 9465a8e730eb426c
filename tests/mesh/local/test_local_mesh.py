"""The local mesh through its seam: real Envoys, real stubs."""

from __future__ import annotations

import http.client
import json
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from small_mesh import NAMESPACE, fault, living, small, until

from meshchaos.errors import (
    AlreadyExists,
    Conflict,
    EvidenceError,
    Locked,
    MeshError,
    NotFound,
    NotLive,
    ProxyRejected,
    Refused,
    UserError,
)
from meshchaos.mesh.apply import apply_change, is_applied, undo_change
from meshchaos.mesh.changes import Create, EditObject
from meshchaos.mesh.edits import SetField
from meshchaos.mesh.local import starting
from meshchaos.mesh.local.client import LocalMesh
from meshchaos.mesh.objects import Ref
from meshchaos.mesh.seam import Entry

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    with LocalMesh.start(small(tmp_path_factory.mktemp("mesh") / "logs")) as started:
        yield started


def get(entry: Entry, path: str = "/", headers: dict[str, str] | None = None) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection(entry.address, timeout=10)
    try:
        target = f"http://{entry.host}{path}" if entry.proxied else path
        connection.request("GET", target, headers={"Host": entry.host, **(headers or {})})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if body.startswith(b"{") else {"text": body.decode()}
    finally:
        connection.close()


def runtime_folder(mesh: LocalMesh) -> Path:
    return Path(next(info for info in starting.status() if info.folder in mesh.world().replicas[0].directory).folder)


def test_a_request_goes_through_both_sidecars(mesh: LocalMesh) -> None:
    marks = {proxy.name: proxy.log_mark() for proxy in mesh.proxies()}
    status, body = get(mesh.entry("web", "http://web/", NAMESPACE), headers={"x-request-id": "through-both"})
    assert status == 200
    assert [called["status"] for called in body["called"]] == [200]  # type: ignore[attr-defined]

    def inbound_at_api() -> bool:
        (api,) = mesh.proxies("api")
        lines, _ = api.access_log(marks[api.name])
        return any(
            line.request_id == "through-both" and line.side == "inbound" and line.peer.endswith("/sa/web")
            for line in lines
        )

    assert until(inbound_at_api, "api's proxy logs the request with web's identity")


def test_a_fault_is_live_when_confirmed_and_gone_when_undone(mesh: LocalMesh) -> None:
    entry = mesh.entry("web", "http://api/", NAMESPACE)
    change = Create(fault("live"))
    apply_change(mesh, change, "run-1")
    seen = mesh.confirm([change], present=True, timeout=5)
    assert get(entry)[0] == 503
    assert [name.rpartition(".")[2] for name in seen.proxies] == [NAMESPACE]
    assert seen.at <= time.time()
    assert undo_change(mesh, change, "run-1") == []
    mesh.confirm([change], present=False, timeout=5)
    assert get(entry)[0] == 200
    assert undo_change(mesh, change, "run-1") == [], "undoing twice is fine"


def test_confirm_says_that_a_fault_vanished(mesh: LocalMesh) -> None:
    change = Create(fault("vanished"))
    apply_change(mesh, change, "run-1")
    mesh.delete(change.ref, mesh.get(change.ref)["metadata"]["uid"])
    assert not is_applied(mesh, change)
    with pytest.raises(NotLive, match="vanished"):
        mesh.confirm([change], present=True, timeout=0)


def test_a_fault_that_selects_nobody_is_not_live(mesh: LocalMesh) -> None:
    change = Create(fault("nobody", app="not-there"))
    apply_change(mesh, change, "run-1")
    with pytest.raises(NotLive, match=r"no proxy took anything new for EnvoyFilter nobody"):
        mesh.confirm([change], present=True, timeout=0)
    assert undo_change(mesh, change, "run-1") == []
    mesh.confirm([change], present=False, timeout=5)


def test_a_log_that_somebody_emptied_is_no_evidence(mesh: LocalMesh) -> None:
    (web,) = mesh.proxies("web")
    entry = mesh.entry("web", "http://web/", NAMESPACE)
    get(entry)
    mark = until(web.log_mark, "the log has lines")
    log = Path(next(one for one in mesh.world().replicas if one.workload == "web").logs) / "access.log"
    os.truncate(log, 0)
    with pytest.raises(EvidenceError, match="shorter than it was"):
        web.access_log(mark)
    with log.open("ab") as file:
        file.write(b"0.25\n")  # the rest of a line
    with pytest.raises(EvidenceError, match="cannot be read"):
        web.access_log(0)
    os.truncate(log, 0)


def test_a_refused_configuration_changes_nothing(mesh: LocalMesh) -> None:
    entry = mesh.entry("web", "http://api/", NAMESPACE)
    with pytest.raises(MeshError) as refused:
        mesh.create(fault("refused", status=9999))
    assert isinstance(refused.value, ProxyRejected), refused.value
    assert "\n" not in str(refused.value)
    assert "HttpStatus" in str(refused.value) or "FaultAbort" in str(refused.value), refused.value
    with pytest.raises(NotFound):
        mesh.get(Ref("EnvoyFilter", NAMESPACE, "refused"))
    assert get(entry)[0] == 200
    # And the next change is taken as if nothing had been.
    change = Create(fault("after-refusal", status=418))
    apply_change(mesh, change, "run-1")
    assert get(entry)[0] == 418
    undo_change(mesh, change, "run-1")


def test_writes_are_optimistic(mesh: LocalMesh) -> None:
    created = mesh.create(fault("twice"))
    with pytest.raises(AlreadyExists):
        mesh.create(fault("twice"))
    mesh.replace({**created, "metadata": {**created["metadata"], "labels": {"a": "b"}}})
    with pytest.raises(Conflict):
        mesh.replace({**created, "metadata": {**created["metadata"], "labels": {"a": "c"}}})
    with pytest.raises(Conflict):
        mesh.delete(Ref("EnvoyFilter", NAMESPACE, "twice"), "another-uid")
    mesh.delete(Ref("EnvoyFilter", NAMESPACE, "twice"), created["metadata"]["uid"])


def test_a_retry_meets_the_fresh_object(mesh: LocalMesh) -> None:
    """Somebody writes between our read and our write: ours is done on theirs."""
    ref = Ref("EnvoyFilter", NAMESPACE, "raced")
    mesh.create(fault("raced"))

    class Racing:
        def __init__(self) -> None:
            self.raced = False

        def get(self, ref: Ref) -> dict[str, object]:
            found = mesh.get(ref)
            if not self.raced:
                self.raced = True
                mesh.replace({**found, "metadata": {**found["metadata"], "labels": {"their": "label"}}})
            return found

        create, replace, delete = mesh.create, mesh.replace, mesh.delete

    change = EditObject(ref, (SetField(("spec", "workloadSelector", "labels", "app"), "api", "web"),))
    stored = apply_change(Racing(), change, "run-2")
    assert stored["metadata"]["labels"] == {"their": "label"}
    assert stored["metadata"]["annotations"] == {"meshchaos.dev/run-2": "edited"}
    assert undo_change(mesh, change, "run-2") == []
    back = mesh.get(ref)
    assert back["spec"] == mesh.get(ref)["spec"]
    assert "annotations" not in back["metadata"]
    mesh.delete(ref, back["metadata"]["uid"])


def test_the_journal_is_the_lock_and_is_on_disk(mesh: LocalMesh) -> None:
    change = Create(fault("journalled"))
    mesh.journal.open("run-3", "tester@here", [change], 60)
    on_disk = json.loads((runtime_folder(mesh) / "journal.json").read_text())
    assert [entry["run_id"] for entry in on_disk] == ["run-3"]
    assert mesh.journal.entries()[0].changes == (change,)
    with pytest.raises(Locked, match=r"run-3 \(tester@here\) .* meshchaos heal --mesh small"):
        mesh.journal.open("run-4", "other@here", [], 60)
    mesh.journal.close("run-3")
    mesh.journal.close("run-3")
    assert mesh.journal.entries() == []


def test_the_mesh_itself_undoes_what_expired(mesh: LocalMesh) -> None:
    entry = mesh.entry("web", "http://api/", NAMESPACE)
    change = Create(fault("forgotten"))
    mesh.journal.open("run-5", "tester@here", [change], 1.0)
    apply_change(mesh, change, "run-5")
    assert get(entry)[0] == 503
    until(lambda: not mesh.journal.entries(), "the entry is closed")
    assert get(entry)[0] == 200
    with pytest.raises(Locked, match="expired"):
        mesh.journal.renew("run-5", 60)
    assert any("run-5" in line for line in mesh.trouble())


def test_a_run_that_lost_the_mesh_writes_nothing(mesh: LocalMesh) -> None:
    """As one that was suspended between its last look at the journal and its write."""
    change = Create(fault("too-late"))
    mesh.journal.open("run-6", "tester@here", [change], 0.0)
    until(lambda: not mesh.journal.entries(), "the entry is closed")
    with pytest.raises(Locked, match="run-6 does not hold this mesh any more"):
        apply_change(mesh, change, "run-6")
    assert not is_applied(mesh, change)
    mesh.journal.close("run-6")
    apply_change(mesh, change, "by hand")
    assert undo_change(mesh, change, "by hand") == []
    assert any("run-6" in line for line in mesh.trouble())


def test_a_stub_that_got_no_cpu_is_told(mesh: LocalMesh) -> None:
    mesh.strained()
    stubs = mesh._connection.call("stubs")
    name = next(name for name in stubs if name.startswith("api-"))
    begun = stubs[name]["at"]
    os.kill(stubs[name]["pid"], signal.SIGSTOP)
    try:
        until(lambda: time.monotonic() > begun + 1.2, "it stood still for more than a second")
        assert mesh.strained() == [f"the stub {name} does not answer any more"]
    finally:
        os.kill(stubs[name]["pid"], signal.SIGCONT)
    mesh._stubs = stubs
    (line,) = mesh.strained()
    assert line.startswith(f"the stub {name} got no CPU")


def test_nothing_is_readable_by_others(mesh: LocalMesh) -> None:
    folder = runtime_folder(mesh)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "mesh.sock").stat().st_mode) == 0o600
    for path in folder.rglob("*.sock"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or path.name == "admin.sock", path
    logs = Path(mesh.world().replicas[0].logs).parent
    for path in [*folder.rglob("*"), *logs.rglob("*")]:
        if path.is_file():
            assert b"PRIVATE KEY" not in path.read_bytes(), path
    assert "PRIVATE KEY" not in json.dumps(mesh.proxies()[0].config_dump())


def test_endpoints_of_a_service_entry_are_of_this_machine(mesh: LocalMesh) -> None:
    def entry(address: str) -> dict[str, object]:
        return {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": "api", "namespace": NAMESPACE},
            "spec": {
                "hosts": ["api.example"],
                "resolution": "STATIC",
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "endpoints": [{"address": address, "ports": {"http": port}}],
            },
        }

    (api,) = [one for one in mesh.world().replicas if one.workload == "api"]
    host, _, text = api.applications[8080].rpartition(":")
    port = int(text)
    with pytest.raises(Refused, match=r"^ServiceEntry api.shop: spec.endpoints\[0\].address: 10.1.1.1 is not of this"):
        mesh.create(entry("10.1.1.1"))
    change = Create(entry(host))
    there = mesh.entry("web", "http://api.example/", NAMESPACE)
    assert get(there)[0] == 502
    apply_change(mesh, change, "run-1")
    assert len(mesh.confirm([change], present=True, timeout=5).proxies) == 2
    assert get(there)[1]["workload"] == "api"
    assert undo_change(mesh, change, "run-1") == []
    mesh.confirm([change], present=False, timeout=5)
    assert get(there)[0] == 502


def test_headers_to_observe_are_logged(mesh: LocalMesh) -> None:
    mesh.observe(["X-Tester"])
    (api,) = mesh.proxies("api")
    mark = api.log_mark()
    web = mesh.entry("web", "http://web/", NAMESPACE)

    def logged() -> bool:
        # A pooled connection to the listener before may take one more request.
        get(web, headers={"x-tester": "me", "x-request-id": "observed"})
        lines, _ = api.access_log(mark)
        return any(line.request_id == "observed" and line.headers.get("x-tester") == "me" for line in lines)

    assert until(logged, "the header is forwarded by the stub and logged by api's proxy")


def test_outside_speaks_plaintext_to_the_service(mesh: LocalMesh) -> None:
    entry = mesh.entry("outside", "http://api/", NAMESPACE)
    (api,) = mesh.proxies("api")
    mark = api.log_mark()
    assert get(entry, headers={"x-request-id": "plain"})[0] == 200

    def logged() -> bool:
        return any(line.request_id == "plain" and line.peer == "" for line in api.access_log(mark)[0])

    assert until(logged, "api's proxy logs a request without identity")


@pytest.mark.parametrize(
    ("source", "url", "words"),
    [
        ("wbe", "http://api/", "did you mean 'web'.*there are api, web"),
        ("outside", "http://apo/", "did you mean 'api'"),
        ("outside", "http://api:81/", "it has 80"),
        ("gateway", "http://shop.example/", "gateway"),
        ("web", "api", "not a URL"),
    ],
)
def test_a_wrong_entry_is_the_users_mistake(mesh: LocalMesh, source: str, url: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        mesh.entry(source, url, NAMESPACE)


def test_a_killed_replica_is_no_trouble_and_comes_back_elsewhere(mesh: LocalMesh) -> None:
    (before,) = [replica for replica in mesh.world().replicas if replica.workload == "api"]
    mesh.kill([f"{before.name}.{before.namespace}"], restart_after=0.2)
    assert get(mesh.entry("web", "http://api/", NAMESPACE))[0] == 503
    (after,) = until(
        lambda: [replica for replica in mesh.world().replicas if replica.workload == "api" and replica.serving],
        "api is back",
    )
    assert (after.name, after.address) != (before.name, before.address)
    until(lambda: get(mesh.entry("web", "http://api/", NAMESPACE))[0] == 200, "api answers")
    assert mesh.trouble() == []


def test_a_dry_run_refuses_what_a_write_would_and_changes_nothing(mesh: LocalMesh) -> None:
    before = mesh.world().objects
    good, bad = Create(fault("dry")), Create({**fault("dry-2"), "spec": {"configPatchez": []}})
    mesh.dry_run([good])
    with pytest.raises(Refused, match=r"EnvoyFilter dry-2.*configPatchez"):
        mesh.dry_run([good, bad])
    with pytest.raises(AlreadyExists):
        mesh.dry_run([good, good])
    edit = EditObject(Ref("Service", NAMESPACE, "nobody"), (SetField(("spec", "x"), "a", "b"),))
    with pytest.raises(NotFound):
        mesh.dry_run([edit])
    assert mesh.world().objects == before


@pytest.mark.parametrize("what", ["app", "proxy"])
def test_a_killed_container_is_no_endpoint_until_it_runs_again_in_its_place(
    mesh: LocalMesh, what: Literal["app", "proxy"]
) -> None:
    (before,) = [replica for replica in mesh.world().replicas if replica.workload == "api"]
    mesh.kill([f"{before.name}.{before.namespace}"], what, restart_after=0.2)
    assert get(mesh.entry("web", "http://api/", NAMESPACE))[0] == 503
    (after,) = until(
        lambda: [replica for replica in mesh.world().replicas if replica.workload == "api" and replica.serving],
        "api is back",
    )
    assert (after.name, after.address, after.restarts) == (before.name, before.address, before.restarts + 1)
    until(lambda: get(mesh.entry("web", "http://api/", NAMESPACE))[0] == 200, "api answers")
    change = Create(fault(f"after-{what}"))
    apply_change(mesh, change, "run-1")  # what is written later reaches what was started again
    mesh.confirm([change], present=True, timeout=5)
    until(lambda: get(mesh.entry("web", "http://api/", NAMESPACE))[0] == 503, "the new fault is there")
    undo_change(mesh, change, "run-1")
    until(lambda: get(mesh.entry("web", "http://api/", NAMESPACE))[0] == 200, "the new fault is gone")
    assert mesh.trouble() == []


def test_what_a_replica_has_not_cannot_be_killed(mesh: LocalMesh) -> None:
    with pytest.raises(NotFound, match=r"no replica nobody\.shop"):
        mesh.kill(["nobody.shop"])


def test_an_envoy_that_dies_is_trouble(tmp_path: Path) -> None:
    with LocalMesh.start(small(tmp_path / "logs")) as mesh:
        (api,) = [replica for replica in mesh.world().replicas if replica.workload == "api"]
        (envoy,) = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and api.directory.encode() + b"/bootstrap.json" in _command(entry)
        ]
        assert mesh.trouble() == []
        os.kill(envoy, signal.SIGKILL)
        until(lambda: not living({envoy}), "the Envoy is dead")
        (line,) = until(mesh.trouble, "it is told")
        assert f"the proxy of {api.name}.{NAMESPACE} was killed by SIGKILL" in line
        assert mesh.trouble() == [], "told once"


def _command(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""
