"""Experiments run by pytest on real Envoys: what passes, how a failure reads, and that nothing outlives pytest."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest

from tests.e2e.stage import EXPERIMENT, stuck
from tests.plugin.project import FAILING, Project
from tests.run.shop import wait_for

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

LONG = EXPERIMENT.replace("fault: 1500ms", "fault: 60s").replace("no-stars", "long")
WITH_FIXTURES = """
import httpx
import pytest

def test_by_hand(chaos, mesh):
    result = chaos.run("no-stars.chaos.yaml")
    assert result.verdict.value == "PASS"
    assert result.faults[0].gone_at is not None
    assert result.mesh == mesh.name == "shop"
    assert mesh.journal.entries() == []

def test_what_is_not_there(chaos):
    with pytest.raises(Exception, match="nowhere.chaos.yaml: no such file"):
        chaos.run("nowhere.chaos.yaml")
    with pytest.raises(Exception, match="there is no experiment 'other'"):
        chaos.run("no-stars.chaos.yaml", "other")

@pytest.fixture
def ask(mesh):
    with mesh.client(from_="page") as client:
        yield lambda: client.get("http://stars:8000/").status_code

def test_a_fault_by_hand(chaos, mesh, ask):
    assert ask() == 200
    with chaos.abort(to="stars", httpStatus=503) as fault:
        assert {ask() for _ in range(20)} == {503}
    assert fault.record.injections[0].injected + fault.record.injections[1].injected == 20
    assert ask() == 200
    assert mesh.journal.entries() == []
    with pytest.raises(AttributeError, match="abrot"):
        chaos.abrot(to="stars")

def test_a_fault_that_no_request_met(chaos, mesh):
    with pytest.raises(Exception, match="no request came to"):
        with chaos.abort(to="stars", httpStatus=503):
            pass
    assert mesh.journal.entries() == []

@pytest.mark.chaos(abort={"to": "stars", "httpStatus": 503})
def test_marked(ask):
    assert ask() == 503

@pytest.mark.chaos(delay={"to": "stars", "fixedDelay": "300ms"})
@pytest.mark.chaos(abort={"to": "stars", "httpStatus": 503, "percentage": 50})
def test_marked_twice(mesh):
    entry = mesh.entry("page", "http://stars:8000/")
    answers = [httpx.get("http://stars:8000/", proxy=f"http://{entry.address}", trust_env=False) for _ in range(20)]
    assert {one.status_code for one in answers} == {200, 503}
    assert min(one.elapsed.total_seconds() for one in answers) > 0.2

@pytest.mark.parametrize("kind, fields", [("delay", {"fixedDelay": "10ms"}), ("abort", {"http_status": 500})])
def test_of_several_kinds(chaos, ask, kind, fields):
    with chaos.fault(kind, to="stars", **fields):
        assert ask() == (200 if kind == "delay" else 500)

def test_the_same_mesh(mesh, request):
    assert mesh is request.getfixturevalue("mesh")

def test_together(chaos, ask):
    with chaos.together(chaos.delay(to="stars", fixedDelay="100ms"), chaos.abort(to="stars", httpStatus=500)) as both:
        assert ask() == 500
    assert both.records[0].kind == "delay"
    with pytest.raises(Exception, match="chaos.together needs faults"):
        chaos.together()

def test_clients(mesh):
    with mesh.client(from_="page.shop") as client:
        answer = client.get("http://stars:8000/a?b=c", headers={"x-a": "b"}).json()
    headers = answer["headers"]
    assert "spiffe://cluster.local/ns/shop/sa/page" in headers["x-forwarded-client-cert"], answer
    assert (headers["host"], headers["x-a"]) == ("stars:8000", "b")
    with mesh.client(from_="gateway", base_url="http://shop.example") as client:
        answer = client.get("/").json()
    assert answer["workload"] == "page"
    assert answer["headers"]["host"] == "shop.example"
    with mesh.client(from_="outside") as client:
        assert "x-forwarded-client-cert" not in client.get("http://stars:8000/").json()["headers"]

def test_clients_of_what_is_not_there(mesh):
    with mesh.client(from_="pagee") as client, pytest.raises(Exception, match="no workload 'pagee' .* mean 'page'"):
        client.get("http://stars:8000/")
    with mesh.client(from_="gateway") as client, pytest.raises(Exception, match="no Gateway serves shopp.example"):
        client.get("http://shopp.example/")

def test_a_client_finds_the_replica_that_came_instead(chaos, mesh):
    with mesh.client(from_="page") as client:
        assert client.get("http://stars:8000/").status_code == 200
        with chaos.kill(workload="page"):
            pass
        assert client.get("http://stars:8000/").status_code == 200
"""
BROKEN = """
import os, pathlib, signal, pytest

def test_breaks(chaos, mesh):
    result = chaos.run("long.chaos.yaml")
    assert result.verdict.value == "ERROR", result.reason

def test_goes_on(chaos, mesh):
    with mesh.client(from_="page") as client, chaos.abort(to="stars", httpStatus=503):
        assert client.get("http://stars:8000/").status_code == 503
"""


def test_one_passes_and_one_fails_with_its_place(mine: Project) -> None:
    """On a mesh that pytest starts for both, and ends."""
    path = mine.write("needs.chaos.yaml", FAILING)
    line = FAILING.splitlines().index("    - success: 90%") + 1
    ran = mine.pytest(
        ".", "--junitxml=junit.xml", environment={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "s.md"}
    )
    assert (ran.code, ran.outcomes()) == (1, "1 failed, 5 passed")
    assert "Traceback" not in ran.text
    text = ran.text.partition("FAILURES")[2]
    assert f"{path}:{line}: FAIL success: " in text
    assert "    > - success: 90%\n    expected: at least 90 %\n    observed: " in text
    assert "report.html" in text
    (summary,) = [one for one in ran.text.splitlines() if one.startswith("FAILED ")]
    assert summary.startswith("FAILED needs.chaos.yaml::needs-stars::success - FAIL: success: 0 % of ")
    junit = (mine.folder / "junit.xml").read_text("utf-8")
    assert '<property name="meshchaos.verdict" value="FAIL"' in junit
    assert re.search(r'<failure message="FAIL: success: 0 % of [^>]*type="FAIL"', junit)
    (note,) = [one for one in ran.text.splitlines() if one.startswith("::")]
    assert note.startswith(f"::error file=needs.chaos.yaml,line={line},title=needs-stars%3A%3Asuccess::FAIL: ")
    summary = (mine.folder / "s.md").read_text("utf-8")
    assert "| needs-stars | success | FAIL | success: 0 % of " in summary
    assert "| no-stars | success | PASS | success: " in summary
    results = [json.loads(one.read_text("utf-8")) for one in (mine.folder / "reports").glob("*/result.json")]
    assert sorted(result["verdict"] for result in results) == ["FAIL", "PASS"]
    mine.shop.nothing_left()


def test_workers_share_one_run(up: Project) -> None:
    """Each item in the worker that is free; the hooks are called in the one that ran the experiment."""
    up.write(
        "shared/conftest.py",
        "import pathlib\n"
        "def pytest_meshchaos_experiment_finished(config, experiment, result):\n"
        "    path = pathlib.Path(config.rootpath, 'finished.txt')\n"
        "    path.open('a').write(f'{experiment.name} {result.verdict.value}\\n')\n",
    )
    up.write("shared/x.chaos.yaml", EXPERIMENT)
    ran = up.pytest("--rootdir=shared", "shared", "-n", "2", "--meshchaos-output=shared/out", "-v")
    assert (ran.code, ran.outcomes()) == (0, "3 passed")
    assert len(set(re.findall(r"\[gw\d\]", ran.text))) == 2
    assert (up.folder / "shared" / "finished.txt").read_text("utf-8") == "no-stars PASS\n"
    (folder,) = (up.folder / "shared" / "out").iterdir()
    assert (folder / "report.html").is_file()


ON_ONE_MESH = """
import pathlib, pytest

def seen(mesh):
    with pathlib.Path("meshes.txt").open("a") as file:
        file.write(f"{mesh.proxies()[0].replica.address} {mesh.journal.entries() == []}\\n")

@pytest.mark.parametrize("status", [500, 503])
def test_faults(chaos, mesh, status):
    seen(mesh)
    with pytest.raises(Exception, match="no request came to"):
        with chaos.abort(to="stars", httpStatus=status):
            pass

@pytest.mark.parametrize("_", range(4))
def test_looks(mesh, _):
    seen(mesh)
"""


def test_workers_share_one_mesh(mine: Project) -> None:
    """Which one of them starts, and ends when all are through; nobody looks at it while another has a fault on it."""
    mine.write("test_one.py", ON_ONE_MESH)
    ran = mine.pytest("test_one.py", "no-stars.chaos.yaml", "-n", "2", "-v")
    assert (ran.code, ran.outcomes()) == (0, "9 passed")
    assert len(set(re.findall(r"\[gw\d\]", ran.text))) == 2
    seen = (mine.folder / "meshes.txt").read_text("utf-8").splitlines()
    assert len(seen) == 6
    assert len(set(seen)) == 1, seen
    assert seen[0].endswith(" True")
    mine.shop.nothing_left()


def test_inconclusive_fails_or_is_skipped(up: Project) -> None:
    up.write("few/x.chaos.yaml", EXPERIMENT.replace("success: 90%", "success: 99.99%"))
    ran = up.pytest("few")
    assert (ran.code, ran.outcomes()) == (1, "1 failed, 2 passed")
    assert "FAILED few/x.chaos.yaml::no-stars::success - INCONCLUSIVE: success: " in ran.text
    ran = up.pytest("few", "--meshchaos-inconclusive=skip", "-rs", "-k", "success")
    assert (ran.code, ran.outcomes()) == (0, "1 skipped, 2 deselected")
    assert f"SKIPPED [1] few/x.chaos.yaml:{len(EXPERIMENT.splitlines())}: INCONCLUSIVE: success: " in ran.text


def test_fixtures(up: Project) -> None:
    up.write("tests/test_shop.py", WITH_FIXTURES)
    up.write("tests/no-stars.chaos.yaml", EXPERIMENT)
    ran = up.pytest("tests/test_shop.py")
    assert (ran.code, ran.outcomes()) == (0, "13 passed")


def test_a_mesh_that_broke_is_brought_up_anew(mine: Project) -> None:
    """Also for faults by hand and clients of the tests that come after."""
    mine.write("t/long.chaos.yaml", LONG)
    mine.write("t/test_it.py", BROKEN)
    with mine.running("t/test_it.py") as (process, output):
        in_fault_phase(mine, "long")
        os.kill(mine.shop.supervisor(), signal.SIGKILL)
        assert process.wait(90) == 0, output.read_text("utf-8")
    assert "2 passed" in output.read_text("utf-8")
    mine.shop.nothing_left()


def test_options_and_ini_keys(up: Project) -> None:
    up.write("elsewhere/meshchaos.yaml", (up.folder / "meshchaos.yaml").read_text("utf-8"))
    up.write("elsewhere/shop.yaml", (up.folder / "shop.yaml").read_text("utf-8"))
    up.write(
        "ini/pytest.ini",
        "[pytest]\nmeshchaos_config = ../meshchaos.yaml\nmeshchaos_output = out\nmeshchaos_mesh = shop\n",
    )
    up.write("ini/x.chaos.yaml", EXPERIMENT)
    ran = up.pytest("-c", "ini/pytest.ini", "ini", "--meshchaos-seed", "7")
    assert (ran.code, ran.outcomes()) == (0, "3 passed")
    (result,) = (up.folder / "ini" / "out").glob("*/result.json")
    assert json.loads(result.read_text("utf-8"))["seed"] == 7
    ran = up.pytest("no-stars.chaos.yaml", "--meshchaos-mesh", "shopp")
    assert ran.code == 1
    assert "there is no mesh 'shopp', did you mean 'shop'?" in ran.text
    assert "Traceback" not in ran.text
    ran = up.pytest("no-stars.chaos.yaml", "--meshchaos-config", "nowhere.yaml")
    assert "nowhere.yaml: there is no such file" in ran.text


def test_the_configuration_is_found_from_rootdir(up: Project) -> None:
    (up.folder / "other").mkdir()
    ran = up.pytest(str(up.folder / "no-stars.chaos.yaml"), "--collect-only", "-q", where="other")
    assert ran.code == 0
    ran = up.pytest(f"--rootdir={up.folder}", str(up.folder / "no-stars.chaos.yaml"), where="other")
    assert (ran.code, ran.outcomes()) == (0, "3 passed")
    assert list((up.folder / "other").iterdir()) == [], "reports go into rootdir"


def test_names_that_the_mesh_does_not_know(up: Project) -> None:
    up.write("a/starz.chaos.yaml", EXPERIMENT.replace("to: stars", "to: starz"))
    ran = up.pytest("a/starz.chaos.yaml")
    assert ran.code == 1
    assert "Traceback" not in ran.text
    assert "starz.chaos.yaml:9:7: spec.faults[0].abort: there is no service 'starz'" in ran.text


def test_ctrl_c_heals_and_ends_the_session(mine: Project) -> None:
    mine.write("a.chaos.yaml", LONG)
    with mine.running("a.chaos.yaml", "no-stars.chaos.yaml") as (process, output):
        in_fault_phase(mine, "long")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 2, output.read_text("utf-8")
    text = output.read_text("utf-8")
    assert "KeyboardInterrupt" in text
    assert "Traceback" not in text
    (result,) = (mine.folder / "reports").glob("*/result.json")
    found = json.loads(result.read_text("utf-8"))
    assert found["reason"] == "interrupted by SIGINT; everything was put back"
    mine.shop.nothing_left()


def test_kill_9_of_pytest_leaves_nothing(mine: Project) -> None:
    mine.write("a.chaos.yaml", LONG)
    with mine.running("a.chaos.yaml") as (process, _):
        in_fault_phase(mine, "long")
        process.kill()
        process.wait(60)
    mine.shop.nothing_left()


HOLDS = """
import pathlib, threading

def test_holds(chaos):
    with chaos.abort(to="stars", httpStatus=503):
        pathlib.Path("inside").touch()
        threading.Event().wait(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_fault_by_hand_when_pytest_ends(up: Project, number: signal.Signals) -> None:
    """Interrupted, it heals; killed, the mesh that lives on has what `heal` needs."""
    up.write("by_hand/test_holds.py", HOLDS)
    inside = up.folder / "inside"
    with up.running("by_hand") as (process, output):
        wait_for(inside.exists, "the fault is live", 60)
        inside.unlink()
        process.send_signal(number)
        assert process.wait(60) == (-9 if number == signal.SIGKILL else 2), output.read_text("utf-8")
    healed = up.shop.command("heal")
    assert healed.returncode == 0, healed.stdout
    assert ("put back and verified: EnvoyFilter" in healed.stdout) is (number == signal.SIGKILL), healed.stdout
    assert up.shop.command("heal").stdout == "nothing to heal\n"


LIVES = """
import pathlib, threading, time
import meshchaos.run.fault_by_hand
meshchaos.run.fault_by_hand.LIFETIME = 3.0

def test_holds(chaos, mesh):
    with chaos.abort(to="stars", httpStatus=503) as fault:
        (first,) = mesh.journal.entries()
        deadline = time.monotonic() + 60
        while mesh.journal.entries()[0].expires < first.expires + 6:
            assert time.monotonic() < deadline
            threading.Event().wait(0.1)
        pathlib.Path("inside").touch()
        threading.Event().wait(60)
"""


def test_the_mesh_itself_takes_back_what_a_killed_pytest_left(up: Project) -> None:
    """The entry is renewed while the test lasts, and expires when nobody does so any more."""
    up.write("lives/test_lives.py", LIVES)
    inside = up.folder / "inside"
    with up.running("lives") as (process, output):
        wait_for(lambda: inside.exists() or process.poll() is not None, "the fault outlives its first time", 60)
        assert process.poll() is None, output.read_text("utf-8")
        inside.unlink()
        assert "held by run" in up.shop.command("mesh", "status").stdout
        process.kill()
        process.wait(60)
    wait_for(lambda: "held by run" not in up.shop.command("mesh", "status").stdout, "the mesh puts it back", 60)
    assert up.shop.command("heal").stdout == "nothing to heal\n"
    up.write("lives/test_after.py", AFTER)
    ran = up.pytest("lives/test_after.py")
    assert (ran.code, ran.outcomes()) == (0, "1 passed")


AFTER = """
def test_put_back(mesh):
    with mesh.client(from_="page") as client:
        assert client.get("http://stars:8000/").status_code == 200
    assert [one for one in mesh.snapshot().of_kind("EnvoyFilter") if one["metadata"]["name"].startswith("chaos-")] == []
"""


def test_leftovers_fail_the_test_and_end_the_session(up: Project) -> None:
    """The mesh hangs while the run heals, and the user does not wait."""
    up.write("z/a.chaos.yaml", LONG)
    up.write("z/b.chaos.yaml", EXPERIMENT)
    serving = up.shop.supervisor()
    with up.running("z") as (process, output):
        in_fault_phase(up, "long")
        os.kill(serving, signal.SIGSTOP)
        try:
            process.send_signal(signal.SIGINT)
            wait_for(lambda: "FaultChanged removed" in told(up, "long"), "the heal begins", 60)
            wait_for(lambda: stuck(process.pid), "the run waits for the mesh")
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: process.poll() is not None, "pytest ends", 60)
        finally:
            os.kill(serving, signal.SIGCONT)
    text = output.read_text("utf-8")
    assert process.returncode == 1, text
    assert "left behind: " in text
    assert "meshchaos heal --mesh shop" in text
    assert "b.chaos.yaml" not in text.partition("FAILURES")[2]
    healed = up.shop.command("heal", "--force")
    assert healed.returncode == 0, healed.stdout


def in_fault_phase(mine: Project, name: str) -> None:
    wait_for(lambda: "PhaseStarted fault" in told(mine, name), "the fault phase", 60)


def told(mine: Project, name: str) -> set[str]:
    """The events of a run, what phase and what step of a fault: of its history, which is written as it happens."""
    events = [
        json.loads(line)
        for path in (mine.folder / "reports").glob(f"{name}-*/history.jsonl")
        for line in path.read_text("utf-8").splitlines(keepends=True)
        if line.endswith("\n")
    ]
    more = {"PhaseStarted": "name", "FaultChanged": "step"}
    return {f"{one['event']} {one[more[one['event']]]}" if one["event"] in more else one["event"] for one in events}
