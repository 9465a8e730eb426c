"""``load: existing``: the mesh's own traffic is judged. The users here are a program of the test's, which knows nothing
of meshchaos: it goes on before, during and after each run.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.stage import Stage, kept_up, stage

pytestmark = [pytest.mark.envoy, pytest.mark.e2e]

EXPERIMENT = """\
apiVersion: meshchaos.dev/v1
kind: Experiment
metadata: {name: users}
spec:
  hypothesis: Who looks at the page does not see that the stars are flaky.
  load: existing
  phases: {warmup: 200ms, baseline: 1s, fault: 3s, recovery: 1s}
  faults:
    - abort: {to: stars, httpStatus: 503, percentage: 30}
  expect:
    - success: {from: page, to: stars, atLeast: 90%}
    - latency: {to: page, p80: 500ms}
    - retries: {from: page, to: stars, recovered: 80%}
    - recovery: {within: 200ms}
"""
FILE = "users.chaos.yaml"
POLICY = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stars, namespace: shop}
spec:
  hosts: [stars]
  http: [{route: [{destination: {host: stars}}], retries: {attempts: 5, retryOn: 5xx}}]
"""
USERS = """\
import http.client, sys, time
from meshchaos.mesh.local import starting
from meshchaos.mesh.local.client import LocalMesh

entry = LocalMesh.attach(starting.status()[0]).entry("gateway", "http://shop.example/", "shop")
connection = http.client.HTTPConnection(entry.address, timeout=5)
end = time.monotonic() + 60
print("go", flush=True)
while time.monotonic() < end:
    connection.request("GET", "/", headers={"Host": entry.host})
    connection.getresponse().read()
    time.sleep(0.008)
"""


@pytest.fixture(scope="module")
def up() -> Iterator[Stage]:
    with stage() as made:
        made.add_objects(POLICY)
        made.write(EXPERIMENT, FILE)
        with kept_up(made):
            yield made


@contextmanager
def users(up: Stage) -> Iterator[None]:
    """People who look at the page, for a minute at most."""
    command = [sys.executable, "-c", USERS]
    with subprocess.Popen(command, env=up.environment, cwd=up.folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "go\n"
            yield
            assert process.poll() is None, "the users were there to the end"
        finally:
            process.kill()


def test_real_traffic_is_judged_right_on_a_mesh_that_holds_and_on_one_that_does_not(up: Stage) -> None:
    with users(up):
        up.judges(0, "run", FILE, "--seed", "3")
        result = up.newest()
        assert [one["verdict"] for one in result["expectations"]] == ["PASS"] * 5
        assert min(one["n"] for one in result["expectations"]) > 20
        assert result["load"] == []
        (fault,) = result["faults"]
        assert 0.1 < fault["injected"]["share"] < 0.5
        up.on_mesh(
            "found = mesh.get(Ref('VirtualService', 'shop', 'stars'))\n"
            "found['spec']['http'][0]['retries'] = {'attempts': 0}\n"
            "mesh.replace(found)\n"
        )
        up.judges(1, "run", FILE, "--seed", "3")
        broken = {one["name"]: one["verdict"] for one in up.newest()["expectations"]}
    assert broken["success page -> stars"] == "FAIL"
    assert broken["retries page -> stars"] == "FAIL"
    (newest, *_) = sorted((up.folder / "reports").glob("users-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    up.fails(1, "report", str(newest))


def test_without_traffic_nothing_is_judged(up: Stage) -> None:
    up.fails(3, "run", FILE)
    result = up.newest()
    assert result["verdict"] == "INVALID"
    assert {one["verdict"] for one in result["expectations"]} == {"INVALID"}
