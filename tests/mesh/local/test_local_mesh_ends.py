"""Nothing of a local mesh outlives it, whoever is killed; and two of them do not meet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_mesh import NAMESPACE, below, living, small, until

from meshchaos.errors import MeshError, MeshGone, UserError
from meshchaos.mesh.local import runtime, starting
from meshchaos.mesh.local.client import LocalMesh
from meshchaos.mesh.local.spec import MeshSpec, ProgramSpec, StubSpec

pytestmark = pytest.mark.envoy

RUNNER = """
import sys
from pathlib import Path
from meshchaos.mesh.local.client import LocalMesh
from meshchaos.mesh.local.spec import MeshSpec
mesh = LocalMesh.start(MeshSpec.loads(Path(sys.argv[1]).read_text()))
print(mesh._supervisor.folder, mesh._supervisor.process.pid, flush=True)
sys.stdin.read()
"""

WITH_GRANDCHILDREN = """
import os, subprocess, sys, http.server
# One that stays in the session, one that leaves it, as daemons do.
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), http.server.BaseHTTPRequestHandler).serve_forever()
"""


def with_program(tmp_path: Path) -> MeshSpec:
    program = ProgramSpec((sys.executable, "-c", WITH_GRANDCHILDREN), 8080)
    return small(tmp_path / "logs", names=("web",), workloads={"web": program})


@pytest.mark.parametrize("victim", ["runner", "guard", "supervisor"])
def test_kill_9_leaves_nothing(tmp_path: Path, victim: str) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(with_program(tmp_path).dumps())
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(spec)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stdout is not None
        folder, guard = runner.stdout.readline().split()
        pids = below(int(guard))
        # Guard, supervisor, Envoy, program, its two children.
        assert len(pids) == 6, pids
        (supervisor,) = [pid for pid in pids if _parent(pid) == int(guard)]
        victims = {"runner": runner.pid, "guard": int(guard), "supervisor": supervisor}
        os.kill(victims[victim], signal.SIGKILL)
        until(lambda: not living(pids), f"every process of the mesh is gone: {living(pids)}")
        until(lambda: not Path(folder).exists() or victim == "guard", "the runtime folder is gone")
        runner.kill()
    if Path(folder) in runtime.meshes()[1]:
        runtime.sweep(Path(folder))
    assert not Path(folder).exists()


def _parent(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    return int(text[text.rfind(")") + 2 :].split()[1])


def test_a_dead_supervisor_is_told(tmp_path: Path) -> None:
    mesh = LocalMesh.start(small(tmp_path / "logs", names=("web",)))
    assert mesh._supervisor is not None
    guard = mesh._supervisor.process.pid
    (supervisor,) = [pid for pid in below(guard) if pid != guard and _parent(pid) == guard]
    os.kill(supervisor, signal.SIGKILL)
    with pytest.raises(MeshGone):
        mesh.trouble()
    mesh.close()
    mesh.close()


def test_two_meshes_do_not_meet(tmp_path: Path) -> None:
    with (
        LocalMesh.start(small(tmp_path / "one", names=("web",))) as one,
        LocalMesh.start(small(tmp_path / "two", names=("web",))) as two,
    ):
        first, second = (mesh.world().replicas[0] for mesh in (one, two))
        assert first.address.rpartition(".")[0] != second.address.rpartition(".")[0]
        assert first.directory != second.directory
        assert {info.folder for info in starting.status()} >= {
            str(Path(replica.directory).parent) for replica in (first, second)
        }


def test_up_outlives_its_starter_until_down(tmp_path: Path) -> None:
    spec = small(tmp_path / "logs", names=("web",))
    info = starting.up(spec)
    try:
        with pytest.raises(UserError, match="up already"):
            starting.up(spec)
        with LocalMesh.open(spec) as mesh:
            assert mesh.name == "small"
        with LocalMesh.open(spec) as again:
            assert again.entry("web", "http://web/", NAMESPACE).proxied
        pids = below(info.pid)
    finally:
        starting.down(info)
    until(lambda: not living(pids), "every process is gone")
    assert starting.find(spec.mesh, spec.config) is None


def test_a_dead_meshs_journal_is_told_and_cleared(tmp_path: Path) -> None:
    """As after a power cut: guard and supervisor both killed at once."""
    spec = small(tmp_path / "logs", names=("web",))
    info = starting.up(spec)
    with LocalMesh.attach(info) as mesh:
        mesh.journal.open("run-of-the-dead", "tester@here", [], 600)
    pids = below(info.pid)
    for pid in (info.pid, *(pid for pid in pids if pid != info.pid and _parent(pid) == info.pid)):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not living(pids), "every process is gone")
    assert "run-of-the-dead" in [entry.run_id for entry in starting.dead_entries()]
    assert "run-of-the-dead" in [entry.run_id for entry in starting.clear_dead()]
    assert "run-of-the-dead" not in [entry.run_id for entry in starting.clear_dead()]
    assert not Path(info.folder).exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("no-such-program",), "cannot run 'no-such-program': No such file or directory"),
        ((sys.executable, "-c", "raise SystemExit('error: no database')"), "exited with 1: error: no database"),
    ],
)
def test_a_program_that_does_not_start_is_the_users_mistake(
    tmp_path: Path, command: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UserError, match=words) as told:
        LocalMesh.start(small(tmp_path / "logs", names=("web",), workloads={"web": ProgramSpec(command, 8080)}))
    assert "the program of web-" in str(told.value)
    assert "\n" not in str(told.value)
    assert [info for info in starting.status() if info.logs == str(tmp_path / "logs")] == []


def test_logs_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file, not a folder")
    with pytest.raises(UserError, match="cannot write the mesh's logs"):
        LocalMesh.start(small(tmp_path / "logs"))


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """The supervisor's log goes to a full device; what it cannot write it says."""
    spec = small(tmp_path / "logs", names=("web",))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "supervisor.log").symlink_to("/dev/full")
    with LocalMesh.start(spec) as mesh:
        replica = mesh.world().replicas[0]
        journal = Path(replica.directory).parent / "journal.tmp"
        journal.symlink_to("/dev/full")
        with pytest.raises(MeshError, match="No space left on device; nothing was changed"):
            mesh.journal.open("run-1", "tester@here", [], 60)
        journal.unlink(missing_ok=True)
        mesh.journal.open("run-1", "tester@here", [], 60)


def test_a_user_program_finds_the_mesh_in_its_environment(tmp_path: Path) -> None:
    script = """
import http.server, json, os, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        by_proxy = urllib.request.urlopen("http://api/").status
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        place = os.environ["API_SERVICE_HOST"] + ":" + os.environ["API_SERVICE_PORT"]
        by_port = direct.open("http://" + place + "/").status
        names = [name for name in os.environ if name.lower() in ("no_proxy", "all_proxy")]
        body = json.dumps([by_proxy, by_port, names, os.environ["GREETING"]]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
    import http.client

    program = ProgramSpec((sys.executable, "-c", script), 8080, {"GREETING": "hello", "PORT": "1"})
    spec = small(tmp_path / "logs", workloads={"web": program, "api": StubSpec(body={"stars": 5})})
    os.environ["NO_PROXY"] = "*"
    try:
        mesh = LocalMesh.start(spec)
    finally:
        del os.environ["NO_PROXY"]
    with mesh:
        entry = mesh.entry("api", "http://web/", NAMESPACE)
        connection = http.client.HTTPConnection(entry.address, timeout=10)
        connection.request("GET", "http://web/", headers={"Host": "web"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert (answer.status, body) == (200, b'[200, 200, [], "hello"]'), Path(mesh.world().replicas[0].logs)
        (web,) = mesh.proxies("web")
        there = mesh.entry("web", "http://api/", NAMESPACE)
        connection = http.client.HTTPConnection(there.address, timeout=10)
        connection.request("GET", "http://api/", headers={"Host": "api"})
        assert json.loads(connection.getresponse().read())["body"] == {"stars": 5}
        connection.close()

        def outbound() -> bool:
            return [line.side for line in web.access_log()[0]].count("outbound") == 3

        assert until(outbound, "all went through the sidecar")
